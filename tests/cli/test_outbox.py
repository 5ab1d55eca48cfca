"""``orchestrator outbox`` against a real runtime whose cloud is away: seen, retried, taken back, and every way to say it wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.cli.commands import Ran, apart
from tests.cli.serving import Switch, switched

SHOP = """\
deployment:
  type: single-device
  models: [{{alias: far, provider: openai, model: m, endpoint: '{url}/v1', api_key: 'file:key', zone: cloud}}]
  agents:
    - {{name: expert, instructions: You explain., model: far, store_and_forward: {{say: 'later: {{{{ delivery }}}}'}}}}
"""
Run = Callable[..., Ran]


@pytest.fixture
def cloud() -> Iterator[Switch]:
    """Off at first."""
    with switched(simulated(["m"], Script([Rule("why", say="Because.")])), "openai") as switch:
        switch.off()
        yield switch


@pytest.fixture
def orchestrator(tmp_path: Path, cloud: Switch) -> Iterator[Run]:
    """Runs a verb as a user with a runtime that serves the shop."""
    (tmp_path / "shop.yaml").write_text(SHOP.format(url=cloud.url))
    environment = {"ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": "", "USER": "maria"}
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("k")

    def run(*words: str) -> Ran:
        return apart(*words, folder=tmp_path, environment=environment)

    assert run("apply", "shop.yaml").code == 0
    yield run
    assert run("runtime", "stop", "--drain", "1s").code == 0


def shown(ran: Ran) -> dict[str, Any]:
    """What a verb printed as JSON."""
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_a_request_waits_is_seen_retried_and_answered(orchestrator: Run, cloud: Switch) -> None:
    """From the promise to the answer, as a user sees it."""
    ran = orchestrator("run", "shop", "why?")
    delivery = ran.out.removeprefix("later: ").strip()
    assert ran.code == 0 and delivery.startswith("dlv_")
    assert f"it waits for its target, which is away: orchestrator outbox show {delivery}" in ran.err
    head, row = orchestrator("outbox", "list").out.splitlines()
    assert head.split()[:4] == ["DELIVERY", "DEPLOYMENT", "AGENT", "STATE"]
    assert row.split()[:4] == [delivery, "shop", "expert", "waiting"] and row.endswith("why?")
    told = orchestrator("outbox", "show", delivery[:8]).out
    assert told.startswith(f"{delivery}: a request for expert, waiting") and "deferred" in told
    status = orchestrator("status", "shop").out
    assert "1 request waits for its model, tried again" in status and "orchestrator outbox list" in status
    cloud.on()
    assert orchestrator("outbox", "retry", delivery[:10]).out == "1 is tried now\n"
    found = ended(orchestrator, delivery)
    assert found["state"] == "delivered"
    story = orchestrator("explain", "run", found["run"]).out
    assert "Because." in story and "completed" in story and "forward" in story
    assert orchestrator("outbox", "list").out == "nothing waits for its target\n"
    assert orchestrator("outbox", "retry").out == "nothing waits for its target\n"
    (kept,) = json.loads(orchestrator("outbox", "list", "shop", "--all", "--json").out)
    assert (kept["id"], kept["agent"], kept["request"]) == (delivery, "expert", "why?")


def test_who_waits_on_the_terminal_reads_the_promise_on_a_line_of_its_own(orchestrator: Run) -> None:
    """Whatever is told after it."""
    ran = orchestrator("run", "shop", "why?", "--wait", "--timeout", "4s")
    assert re.fullmatch(r"later: dlv_\w+\n", ran.out), ran.out


def test_the_delivery_that_is_named_is_tried_before_older_ones(orchestrator: Run) -> None:
    """Its turn would come after five tries of the one before it."""
    first, second = (shown(orchestrator("run", "shop", text, "--json"))["approval"] for text in ("why?", "why not?"))
    assert "  in its turn  " in orchestrator("outbox", "list").out.splitlines()[1], (
        "the newest stands behind the other one"
    )
    assert f"after {first}, at the earliest " in orchestrator("outbox", "show", second).out
    assert orchestrator("outbox", "retry", second).out == "1 is tried now\n"
    for _ in range(200):
        if shown(orchestrator("outbox", "show", second, "--json"))["tries"]:
            break
        time.sleep(0.05)  # another process tries it; it gives no sign that could be waited for
    else:
        raise AssertionError("it was not tried")
    assert shown(orchestrator("outbox", "show", first, "--json"))["state"] == "waiting"


def test_all_of_a_deployment_are_tried_by_its_name(orchestrator: Run, cloud: Switch) -> None:
    delivery = shown(orchestrator("run", "shop", "why?", "--json"))["approval"]
    assert orchestrator("outbox", "retry", "other").out == "nothing of other waits for its target\n"
    cloud.on()
    assert orchestrator("outbox", "retry", "shop").out == "1 is tried now\n"
    assert ended(orchestrator, delivery)["state"] == "delivered"


def ended(run: Run, delivery: str) -> dict[str, Any]:
    """What became of it."""
    for _ in range(200):
        found = shown(run("outbox", "show", delivery, "--json"))
        if found["state"] != "waiting":
            return found
        time.sleep(0.05)  # another process answers; it gives no sign that could be waited for
    raise AssertionError("it still waits")


def test_it_is_taken_back_once(orchestrator: Run) -> None:
    """The run fails with who did it; a second time, and what is not there, are told."""
    result = shown(orchestrator("run", "shop", "why?", "--json"))
    ran = orchestrator("outbox", "cancel", result["approval"], "--by", "lea")
    assert ran.out == f"{result['approval']} is cancelled; run {result['id']} has failed\n"
    story = shown(orchestrator("explain", "run", result["id"], "--json"))
    assert (story["status"], story["error"]["code"]) == ("failed", "ORC546")
    again = orchestrator("outbox", "cancel", result["approval"])
    assert (again.code, f"{result['approval']} is cancelled already" in again.err, "ORC443" in again.err) == (
        4,
        True,
        True,
    )
    for words in (("show", "dlv_nothing"), ("cancel", "dlv_nothing"), ("retry", "dlv_nothing")):
        ran = orchestrator("outbox", *words)
        assert (ran.code, "ORC442" in ran.err, "outbox list --all" in ran.err) == (4, True, True)
