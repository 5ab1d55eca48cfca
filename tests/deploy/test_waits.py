"""What a deployment that is applied waits for: which step or server, since when, what failed, and when it is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import DeployError
from orchestrator.core.event import Event
from orchestrator.deploy.server_effects import Answer, Ask
from orchestrator.deploy.status import status
from orchestrator.deploy.supervisor import Supervisor
from orchestrator.deploy.supervisor_rules import SupervisorRules
from orchestrator.deploy.trouble import Wait
from orchestrator.deploy.waits import Doings, Moment, waits_for
from orchestrator.deploy.wanted import Wanted
from tests.deploy.fakes import stage
from tests.plan.parts import agent, blueprint, tool

BOOT = 1_000_000.0
"""When the loop's clock of these tests was 0, in seconds since 1970."""


def waits(supervisor: Supervisor, now: float) -> list[Wait]:
    """What the deployment desk waits for at this moment of the loop."""
    return list(waits_for("desk", None, None, supervisor.wards, Moment(now, BOOT + now)))


def test_a_server_that_loads_is_waited_for_since_it_was_wanted() -> None:
    """However often it is asked; what it said last is told."""
    supervisor = Supervisor(SupervisorRules(), lambda: 0.0)
    supervisor.on_want("desk/tiny", "one", 300.0, 10.0)
    supervisor.on_want("shop/tiny", "one", 300.0, 10.0)
    supervisor.on_spawned("desk/tiny", 11.0)
    supervisor.on_tick(11.0)
    supervisor.on_asked(Ask("desk/tiny", 1), Answer(False, "Loading model"), 12.0)
    assert waits(supervisor, 100.0) == [Wait("server.tiny", "its first token (Loading model)", BOOT + 10.0)]
    supervisor.on_tick(100.0)
    supervisor.on_asked(Ask("desk/tiny", 1), Answer(True), 101.0)
    assert waits(supervisor, 102.0) == []
    supervisor.on_doubt("desk/tiny", 200.0)
    assert [each.since for each in waits(supervisor, 201.0)] == [BOOT + 200.0]


def test_a_server_that_ends_tells_why_and_when_it_is_started_again() -> None:
    """The reason stays while the next try runs, until one succeeds."""
    supervisor = Supervisor(SupervisorRules(), lambda: 0.0)
    supervisor.on_want("desk/tiny", "one", 300.0, 10.0)
    supervisor.on_spawned("desk/tiny", 11.0)
    supervisor.on_exit("desk/tiny", "exit code 1: no memory", 12.0)
    due = supervisor.due
    failed = Wait("server.tiny", "to be started again", BOOT + 10.0, "exit code 1: no memory", BOOT + due)
    assert due > 12.0 and waits(supervisor, 12.0) == [failed]
    supervisor.on_tick(due)
    supervisor.on_spawned("desk/tiny", due)
    assert waits(supervisor, due) == [Wait("server.tiny", "its first token", BOOT + 10.0, "exit code 1: no memory")]
    supervisor.on_tick(due)
    supervisor.on_asked(Ask("desk/tiny", 2), Answer(True), due)
    assert waits(supervisor, due) == [] and supervisor.wards["desk/tiny"].failure == ""
    supervisor.on_exit("desk/tiny", "signal 9", 500.0)
    assert [(each.since, each.error) for each in waits(supervisor, 501.0)] == [(BOOT + 500.0, "signal 9")]


def test_a_server_that_was_given_up_is_tried_again_after_its_rest() -> None:
    """The moment is told."""
    supervisor = Supervisor(SupervisorRules(), lambda: 0.0)
    supervisor.on_want("desk/tiny", "one", 300.0, 0.0)
    now = 0.0
    while supervisor.wards["desk/tiny"].state != "failed":
        supervisor.on_not_spawned("desk/tiny", "no such program", now)
        if supervisor.wards["desk/tiny"].state == "waiting":
            now = supervisor.due
            supervisor.on_tick(now)
    [wait] = waits(supervisor, now)
    assert (wait.what, wait.error) == ("a rest after too many tries", "no such program")
    assert wait.again == BOOT + now + SupervisorRules().rests and wait.since == BOOT


def test_only_what_is_begun_and_not_ended_is_being_done() -> None:
    """One step at a time; a step of a server is told by the server."""
    doings = Doings(lambda: 5.0)
    step = {"address": "agent.a", "does": "start"}
    doings.heard("shop", "started", {"address": "server.m", "does": "start llama-server"})
    assert doings.step("shop") is None
    doings.heard("shop", "started", step)
    assert doings.step("shop") == Wait("agent.a", "start", 5.0) and doings.step("other") is None
    doings.heard("shop", "failed", step)
    assert doings.step("shop") is None
    assert doings.failed("shop") == Wait("agent.a", "start", 5.0) and doings.failed("shop") is None
    doings.heard("shop", "started", step)
    doings.heard("shop", "done", step)
    assert doings.step("shop") is None and doings.failed("shop") is None


SHOP = blueprint(tool("tickets"), agent("a", tools=["tickets"]), name="shop")


@pytest.mark.anyio
async def test_the_status_tells_the_step_that_is_carried_out(tmp_path: Path) -> None:
    """Whoever asks while it takes long sees which one; nothing is waited for when all is done."""
    async with stage(tmp_path) as s:
        seen: dict[str, Any] = {}

        def look(event: Event) -> None:
            if event.fields.get("state") == "started":
                [told] = status(s.reconciler)
                seen[event.fields["address"]] = (told["state"], [each["address"] for each in told["waits"]])

        await s.reconciler.apply(Wanted(SHOP), look)
        assert seen["tool.tickets"] == ("starting", ["tool.tickets"])
        assert seen["agent.a"] == ("starting", ["agent.a"])
        assert status(s.reconciler)[0]["waits"] == []


@pytest.mark.anyio
async def test_the_status_tells_what_failed_and_when_it_is_tried_again(tmp_path: Path) -> None:
    """Since the first failure, however often it has failed since."""
    async with stage(tmp_path, every=10.0) as s:
        s.surroundings.broken_tools.add("tickets")
        for _ in range(2):
            with pytest.raises(DeployError):
                await s.apply(SHOP)
        [told] = status(s.reconciler)
        [wait] = told["waits"]
        assert (wait["address"], wait["error"]) == ("tool.tickets", "tickets does not open")
        trouble = s.reconciler.trouble["shop"]
        assert wait["since"] == trouble.since and wait["what"].startswith("open")
        now = s.reconciler.rules.now()
        assert wait["again"] == pytest.approx(now + trouble.again - anyio.current_time(), abs=1.0)
        assert trouble.pause == 20.0


@pytest.mark.anyio
async def test_one_that_is_desired_and_not_begun_waits_for_its_turn(tmp_path: Path) -> None:
    """While the runtime looks around; and a runtime that ends brings nothing back."""
    async with stage(tmp_path) as s:
        await s.reconciler.desired.record(Wanted(SHOP))
        [told] = status(s.reconciler)
        assert told["state"] == "starting"
        assert [(each["address"], each["what"][:8]) for each in told["waits"]] == [("deployment.shop", "its turn")]
        await s.reconciler.close(0.1)
        [told] = status(s.reconciler)
        assert (told["state"], told["waits"]) == ("stopping", [])
