"""Killed with SIGKILL while something is sent under a person's leave: no start after it sends again before a person is asked."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import orchestrator.plugins.stores.sqlite  # noqa: F401 - declares its failpoints
from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.core.approval import Verdict
from orchestrator.core.errors import RuntimeUnavailable
from orchestrator.core.failpoint import FAILPOINTS
from orchestrator.core.request import Request, Result
from orchestrator.deploy.wanted import Wanted
from orchestrator.serve.steps.outward import MAYBE_SENT
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.cli.serving import answering
from tests.runtime.conftest import home
from tests.runtime.living import Home, eventually
from tests.runtime.test_people import PAY, paid

__all__ = ["home"]

PAYS: Mapping[str, Any] = {"tools": [{"name": "bank", "python": "pay:pay", "approval": "always"}]}


@contextmanager
def compiled(folder: Path, cloud: SimulatedEndpoint, more: Mapping[str, Any]) -> Iterator[Wanted]:
    """One agent in the cloud, which a person must let out; ``more`` is of its deployment."""
    with answering(cloud, "openai") as address:
        (folder / "pay.py").write_text(PAY)
        model = {"alias": "far", "provider": "openai-compatible", "model": "m", "endpoint": f"{address}/v1"}
        agent: dict[str, Any] = {"name": "desk", "model": "far", "instructions": "Answer.", "max_tokens": 50}
        agent |= {"tools": [each["name"] for each in more.get("tools", ())]}
        deployment: dict[str, Any] = {"type": "single-device", "models": [model | {"zone": "cloud"}], "agents": [agent]}
        deployment |= {"escalation": {"approval": "always"}, **more}
        path = folder / "shop.yaml"
        path.write_text(json.dumps({"metadata": {"name": "shop"}, "deployment": deployment}))
        yield Wanted(compile_files([str(path)], environment={}).blueprint)


def approve(client: RuntimeClient, approval: str) -> None:
    """As a person who saw it."""
    client.decide(approval, Verdict("approve", "ana", "", client.approval(approval)["digest"]))


def after(client: RuntimeClient, run: str, approval: str) -> dict[str, Any]:
    """The run, once it has its end or waits for something else than this."""
    found: dict[str, Any] = {}

    def moved() -> bool:
        found.update(client.find_run(run))
        return (found["status"], found["approval"]) != ("waiting", approval)

    eventually(moved, 20)
    return found


def waiting_with(client: RuntimeClient, wanted: Wanted, text: str) -> Result:
    """A run that waits for the leave to send this."""
    client.apply(wanted)
    waiting = client.run("shop", Request(text, session="s"))
    assert client.approval(waiting.approval)["function"] == "cloud.send"
    return waiting


def test_killed_while_the_cloud_answers_a_person_is_asked_again(home: Home, tmp_path: Path) -> None:
    """Nothing more is sent before; the person hears why it is the second time, and that one leave is for one send too."""
    cloud = simulated(["m"], faults=["hang-before@1", "hang-before@2"])
    with compiled(tmp_path, cloud, {}) as wanted:
        client = home.start()
        waiting = waiting_with(client, wanted, "hello")
        before = waiting.approval
        for sent in (1, 2):
            approve(client, before)
            eventually(lambda sent=sent: len(cloud.records) == sent)  # type: ignore[misc] # of this round
            assert client.approval(before)["begun"]
            home.kill()
            client = home.start()
            again = after(client, waiting.id, before)
            assert (again["status"], len(cloud.records)) == ("waiting", sent)
            asked = client.approval(again["approval"])
            assert (asked["function"], asked["state"]) == ("cloud.send", "pending")
            assert asked["why"].startswith(MAYBE_SENT)
            assert asked["arguments"]["messages"][-1] == {"role": "user", "content": "hello"}
            assert client.approval(before)["delivered"]
            before = again["approval"]
        approve(client, before)
        ended = after(client, waiting.id, before)
        assert (ended["status"], ended["text"], len(cloud.records)) == ("completed", "hello", 3)
        assert home.stop() == 0


GIVEN_BACK = ("leave.in-give-back", "leave.given-back")


@pytest.mark.parametrize("point", sorted(point for point in FAILPOINTS if point.startswith("leave.")))
def test_killed_there_nothing_is_sent_twice_under_one_leave(home: Home, tmp_path: Path, point: str) -> None:
    """What is not on the disk was not sent; a leave that was given back serves once more, as the server had refused the call."""
    cloud = simulated(["m"], faults=["unavailable@1"] if point in GIVEN_BACK else [])
    with compiled(tmp_path, cloud, {}) as wanted:
        client = home.start(ORCHESTRATOR_FAIL_AT=point)
        waiting = waiting_with(client, wanted, "hello")
        with suppress(RuntimeUnavailable):
            approve(client, waiting.approval)
        assert home.processes[-1].wait(10) == -signal.SIGKILL, f"{point} was never passed"
        assert len(cloud.records) == (point in GIVEN_BACK)
        client = home.start()
        ended = after(client, waiting.id, waiting.approval)
        if point in ("leave.spent", "leave.in-give-back"):
            assert (ended["status"], len(cloud.records)) == ("waiting", int(point in GIVEN_BACK))
            approve(client, ended["approval"])
            ended = after(client, waiting.id, ended["approval"])
        assert (ended["status"], ended["text"]) == ("completed", "hello")
        assert len(cloud.records) == 1 + (point in GIVEN_BACK)
        assert home.stop() == 0


def test_killed_after_a_call_that_was_allowed_too_it_is_not_made_again(home: Home, tmp_path: Path) -> None:
    """The leave came before it, and went with what the call gave; a person allows that anew, and the run goes on from there."""
    script = Script([Rule("pay", say="it said: {result}", calls=(("bank_pay", {"amount": 8}),))])
    cloud = simulated(["m"], script, faults=["hang-before@2"])
    with compiled(tmp_path, cloud, PAYS) as wanted:
        client = home.start()
        waiting = waiting_with(client, wanted, "pay it")
        approve(client, waiting.approval)
        call = after(client, waiting.id, waiting.approval)
        assert client.approval(call["approval"])["function"] == "bank.pay"
        approve(client, call["approval"])
        eventually(lambda: len(cloud.records) == 2)
        home.kill()
        client = home.start()
        again = after(client, waiting.id, call["approval"])
        assert (again["status"], len(cloud.records), paid(tmp_path)) == ("waiting", 2, ["8"])
        asked = client.approval(again["approval"])
        assert asked["function"] == "cloud.send" and asked["why"].startswith(MAYBE_SENT)
        assert asked["arguments"]["messages"][-1]["content"] == "paid 8"
        approve(client, again["approval"])
        ended = after(client, waiting.id, again["approval"])
        assert (ended["text"], len(cloud.records), paid(tmp_path)) == ("it said: paid 8", 3, ["8"])
        assert home.stop() == 0
