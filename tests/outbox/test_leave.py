"""What a person let out to a cloud that is away waits for it; a try that nobody saw the end of ends the leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.approval import SENDING, Verdict
from orchestrator.serve.steps.outward import MAYBE_SENT
from orchestrator.testing.endpoint import simulated
from tests.outbox.parts import Kept, far, kept
from tests.outbox.test_forward import away
from tests.policy.test_leave import wanted
from tests.serve.engine.parts import Wanted

pytestmark = pytest.mark.anyio


def let_out() -> Wanted:
    """An agent in the cloud whose requests wait for it."""
    return wanted(*far().parts)


async def approve(it: Kept, approval: str) -> None:
    """As a person who saw it."""
    call = (await it.desk.find(approval)).call
    await it.desk.decide(approval, Verdict("approve", "ana", "", call.digest if call else ""))


async def deferred(folder: Path) -> tuple[str, str]:
    """A run that a person let out, with the delivery that it waits on."""
    async with kept(folder, let_out(), away(10**6), works=False) as it:
        run = await it.served.run("explain it")
        await approve(it, run.approval)
        found = await it.end_of(run.id, run.approval)
    assert found["approval"].startswith("dlv_")
    return run.id, found["approval"]


async def test_it_is_forwarded_under_its_leave(tmp_path: Path) -> None:
    """Nothing had arrived there."""
    run, _ = await deferred(tmp_path)
    async with kept(tmp_path, let_out(), simulated(["m"])) as it:
        assert (await it.end_of(run))["text"] == "explain it"
        assert len(it.served.server.records) == 1


@pytest.mark.parametrize("gone", [False, True])
async def test_a_try_that_nobody_saw_the_end_of_is_not_made_again_before_a_person_is_asked(
    tmp_path: Path, gone: bool
) -> None:
    """The runtime ended while the cloud was asked. With ``gone``, its next life has no model for it at first."""
    run, delivery = await deferred(tmp_path)
    async with kept(tmp_path, let_out(), simulated(["m"], faults=["hang-before@1"])) as it:
        await it.until(lambda: bool(it.served.server.records))
    if gone:
        async with kept(tmp_path, wanted(*far().parts, bound={})) as it:
            await it.until(lambda: bool(it.events("delivery.tried")))
            assert "no model serves" in it.events("delivery.tried")[0].fields["error"]
    async with kept(tmp_path, let_out(), simulated(["m"])) as it:
        found: Any = await it.end_of(run, delivery)
        asked = await it.desk.find(found["approval"])
        assert (asked.call is not None and asked.call.function, asked.state) == ("cloud.send", "pending")
        assert asked.why.startswith(MAYBE_SENT) and it.served.server.records == []
        await approve(it, asked.id)
        assert (await it.end_of(run))["text"] == "explain it"
        assert len(it.served.server.records) == 1


async def test_within_one_life_it_is_tried_again_under_the_same_leave(tmp_path: Path) -> None:
    """A link that breaks is waited for, as for every run that a person decided on: one leave, many tries."""
    async with kept(tmp_path, wanted(), simulated(["m"], faults=["drop-mid:1@1-9"])) as it:
        run = await it.served.run("hello")
        await approve(it, run.approval)
        ended = await it.end_of(run.id, run.approval)
        assert (ended["status"], ended["text"]) == ("completed", "hello"), ended["error"]
        assert len(it.served.server.records) == 10 and len(it.events("approval.asked")) == 1
        assert [step["kind"] for step in ended["steps"]].count("person") == 1


async def test_a_try_that_a_stop_cut_off_needs_a_new_leave_too(tmp_path: Path) -> None:
    """Its run was cancelled before the cloud had answered, in order."""
    run, delivery = await deferred(tmp_path)
    async with kept(tmp_path, let_out(), simulated(["m"], faults=["hang-before@1"])) as it:
        await it.until(lambda: bool(it.served.server.records))
        it.served.engine.cancel("the runtime stops")
        found: Any = await it.end_of(run, delivery)
        asked = await it.desk.find(found["approval"])
        assert asked.why.startswith(MAYBE_SENT) and len(it.served.server.records) == 1


async def test_what_one_try_began_no_later_one_gives_back(tmp_path: Path) -> None:
    """Four answers broke off, and then the server fails for good: nobody knows what came of the four. Each try of the desk is a
    resume of its own in the same life."""
    async with kept(tmp_path, wanted(), simulated(["m"], faults=["drop-mid:1@1-4", "server-error@5-1000"])) as it:
        run = await it.served.run("hello")
        await approve(it, run.approval)
        await it.until(lambda: len(it.served.server.records) >= 9)
        spent = await it.desk.find(run.approval)
        assert spent.begun is not None and SENDING in spent.held
    async with kept(tmp_path, wanted(), simulated(["m"])) as it:
        found = await it.end_of(run.id, run.approval)
        asked = await it.desk.find(found["approval"])
        assert (asked.state, it.served.server.records) == ("pending", []) and asked.why.startswith(MAYBE_SENT)


async def test_a_life_in_which_nothing_was_done_leaves_the_leave_to_the_next(tmp_path: Path) -> None:
    """However often it tried."""
    async with kept(tmp_path, wanted(), simulated(["m"], faults=["server-error@1-1000"])) as it:
        run = await it.served.run("hello")
        await approve(it, run.approval)
        await it.until(lambda: len(it.served.server.records) >= 9)
    async with kept(tmp_path, wanted(), simulated(["m"])) as it:
        assert (await it.end_of(run.id))["text"] == "hello" and it.events("approval.asked") == []
