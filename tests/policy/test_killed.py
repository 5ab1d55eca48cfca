"""Killed with SIGKILL while a call to the cloud is paid: no start after it spends the same money twice."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from tests.cli.serving import answering
from tests.runtime.conftest import home
from tests.runtime.living import Home

__all__ = ["home"]


@pytest.fixture
def cloud() -> SimulatedEndpoint:
    return simulated(["m"])


NONE: Mapping[str, Any] = {}


def compiled(folder: Path, address: str, budget: Mapping[str, Any], **more: Mapping[str, Any]) -> Wanted:
    """One agent in the cloud. ``more``: ``own`` is its own budget, ``redaction`` the deployment's."""
    model = {
        "alias": "far",
        "provider": "openai-compatible",
        "model": "m",
        "endpoint": f"{address}/v1",
        "zone": "cloud",
    }
    deployment = {
        "type": "single-device",
        "models": [model],
        "agents": [
            {
                "name": "desk",
                "model": "far",
                "instructions": "Answer.",
                "max_tokens": 50,
                "budget": more.get("own", NONE),
            }
        ],
        "escalation": {"budget": budget},
        "security": {"redaction": more.get("redaction", NONE)},
    }
    path = folder / "shop.yaml"
    path.write_text(json.dumps({"metadata": {"name": "shop"}, "deployment": deployment}))
    return Wanted(compile_files([str(path)], environment={}).blueprint)


@pytest.fixture
def wanted(cloud: SimulatedEndpoint, tmp_path: Path) -> Iterator[Wanted]:
    """It may be called once a day."""
    with answering(cloud, "openai") as address:
        yield compiled(tmp_path, address, {"per_day": {"calls": 1, "tokens": 500}})


def posted(client: RuntimeClient, text: str) -> tuple[int, str | None, str]:
    """What the front door answers: the status, whether to repeat it, the body."""
    body = json.dumps({"model": "shop", "messages": [{"role": "user", "content": text}]}).encode()
    address = f"{client.status()['runtime']['url']}/chat/completions"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, None, str(answer.read(), "utf-8")
    except urllib.error.HTTPError as error:
        return error.code, error.headers["x-should-retry"], str(error.read(), "utf-8")


@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ("spending.reserved", ("not sent", "as reserved")),
        ("spending.before-settle", ("sent", "as reserved")),
        ("spending.settled", ("sent", "as told")),
    ],
)
def test_killed_there_the_day_has_one_call_less(
    home: Home, wanted: Wanted, cloud: SimulatedEndpoint, point: str, kept: tuple[str, str]
) -> None:
    """Before it is sent, before it is settled and after that: the next start knows that the one call is spent."""
    client = home.start(ORCHESTRATOR_FAIL_AT=point)
    client.apply(wanted)
    with suppress(OrchestratorError):
        client.run("shop", Request("hello"))
    assert home.processes[-1].wait(10) == -signal.SIGKILL, f"{point} was never passed"
    client = home.start()
    again = client.run("shop", Request("hello"))
    assert again.error is not None and again.error["code"] == "ORC551"
    assert "the budget of today is used up: 1 of 1 calls are made" in again.error["message"]
    sent = "sent" if cloud.records else "not sent"
    spending = client.status()["deployments"][0]["spending"]
    assert (spending["spent"]["calls"], spending["limits"]) == (1, {"calls": 1, "tokens": 500})
    counted = "as reserved" if spending["spent"]["tokens"] > 50 else "as told"
    assert (sent, counted) == kept and len(cloud.records) <= 1
    assert home.stop() == 0


def test_status_says_what_went_to_the_cloud_today(home: Home, wanted: Wanted) -> None:
    """And the run's story what it has cost, and by which ruling."""
    from tests.cli.commands import apart

    client = home.start()
    client.apply(wanted)
    client.run("shop", Request("hello"))
    environment = {"ORCHESTRATOR_HOME": str(home.path), "ORCHESTRATOR_SERVERS": ""}
    shown = apart("status", folder=home.path, environment=environment).out
    assert "\n  in the cloud today: 1 of 1 calls, " in shown and " of 500 tokens\n" in shown
    story = apart("explain", "run", folder=home.path, environment=environment).out
    assert "desk, by policy, chose openai-compatible@" in story
    assert "zone: the manifest names a model in the cloud; privacy: not restricted; budget: 1 call, " in story
    assert "spent 1 call, " in story
    status, retry, body = posted(client, "hello")
    assert (status, retry) == (402, "false")
    assert json.loads(body)["error"]["code"] == "ORC551"
    assert home.stop() == 0


def test_a_policy_that_changes_takes_effect_with_the_next_apply(
    home: Home, cloud: SimulatedEndpoint, tmp_path: Path
) -> None:
    """Nothing else of the manifest does. What was spent before counts."""
    with answering(cloud, "openai") as address:
        client = home.start()
        client.apply(compiled(tmp_path, address, {"per_day": {"calls": 5}}, redaction={"cloud": False}))
        client.run("shop", Request("I am a@x.org"))
        client.apply(compiled(tmp_path, address, {"per_day": {"calls": 2}}))
        told = client.run("shop", Request("I am a@x.org"))
        refused = client.run("shop", Request("hello"))
        client.apply(compiled(tmp_path, address, {}, own={"per_day": {"calls": 2}}))
        own = client.run("shop", Request("hello"))
    assert own.error is not None and "the budget of desk today is used up: 2 of 2 calls" in own.error["message"]
    assert [each.asked.messages[-1]["content"] for each in cloud.records] == ["I am a@x.org", "I am [EMAIL_1]"]
    assert told.text == "I am a@x.org"
    assert refused.error is not None and "2 of 2 calls" in refused.error["message"]
    assert home.stop() == 0
