"""A run that waits on another node, and then waits once more, fails there as this node may fail, or is over when this one wakes.

All waiting is of virtual time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from orchestrator.core.errors import NoModel, RunCancelled, RunError, StateUnusable
from orchestrator.core.request import Result
from orchestrator.serve.steps.there import as_ended
from orchestrator.testing.endpoint import simulated
from tests.mesh.test_engines import elsewhere
from tests.outbox.test_there import _decide, fleet
from tests.people.parts import by_model, paying, shop
from tests.serve.engine.parts import Wanted, agent_spec, router_spec

pytestmark = pytest.mark.anyio


async def test_a_second_question_is_waited_for_at_the_node_that_was_asked(tmp_path: Path) -> None:
    """That one has handed it on to a third, whose people are asked: the third knows nothing of what the first calls it."""
    front = Wanted([router_spec("front", {"b": "pay"}), elsewhere("b")], bound={})
    between = Wanted([agent_spec("b", escalate_to="a"), elsewhere("a")], bound={})
    async with fleet(tmp_path, front, between) as nodes:
        third = await nodes.start("n3", by_model(shop()), simulated(["m"], paying(5, 6)))
        await anyio.sleep(2)
        first = nodes.at["n1"]
        result = await first.served.run("pay 5 and 6", session="s")
        assert (result.status, result.node) == ("waiting", "n3")
        await _decide(third, result, "approve")
        waits = await first.end_of(result.id, result.approval)
        assert (waits["status"], waits["error"]) == ("waiting", None)
        [row] = await first.forwarder.newest("shop", 9, closed=False)
        assert row.there == "n2"
        await _decide(third, replace(result, approval=waits["approval"]), "approve")
        ended = await first.end_of(result.id)
    assert (ended["status"], ended["error"]) == ("completed", None)


async def test_what_ended_there_while_this_device_slept_is_asked_for_once_more(tmp_path: Path) -> None:
    """Its time is over, and its answer lies there."""
    async with fleet(tmp_path) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("a human please", session="s")
        await _decide(second, result, "answer", "At three.")
        await second.end_of(f"{result.id}.1")
        first.clock.now += 90_000
        first.forwarder.wake()
        ended = await first.end_of(result.id)
    assert (ended["status"], ended["text"]) == ("completed", "At three.")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StateUnusable("the disk is full", cure="make room"), "HeldRunLost"),
        (RunCancelled("it was stopped"), "HeldRunLost"),
        (NoModel("no model serves it"), "NoModel"),
    ],
)
def test_a_fault_after_which_this_node_asks_again_was_the_end_there(error: RunError, kind: str) -> None:
    """Else the run would be asked for again and again, though it has ended."""
    told = as_ended(Result("run_1", "shop", 1, "failed", "", agent="a", node="n2", error=error.as_json()))
    assert told is not None and told["kind"] == kind
    assert (told["message"] == f"it failed on n2: {error.message}") == (kind == "HeldRunLost")


async def test_an_answer_that_is_too_large_to_come_ends_the_run(tmp_path: Path) -> None:
    """It would be as large at every look."""
    async with fleet(tmp_path) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("a human please", session="s")
        await _decide(second, result, "answer", "x" * 1_500_000)
        ended = await first.end_of(result.id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "ORC581")
