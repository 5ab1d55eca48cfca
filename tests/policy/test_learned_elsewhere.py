"""What one node of a fleet learned from its tools, another one hides from the cloud: it comes with the turns of the session."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.message import Message
from orchestrator.core.request import Request, Result
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.serve.session import Sessions
from tests.policy.test_learned import TABLE, cloud, leaked, near, sent, wanted
from tests.serve.engine.parts import Served, agent_spec, serving
from tests.serve.engine.test_elsewhere import Link, elsewhere

pytestmark = pytest.mark.anyio


class Written(Link):
    """The other node, told as it is over the wire."""

    async def answer(self, request: Request, say: Callable[[str], None] | None, *more: Any, **fields: Any) -> Result:
        told = Request.from_json(json.loads(json.dumps(request.as_json())))
        result = await super().answer(told, say, *more, **fields)
        return Result.from_json(json.loads(json.dumps(result.as_kept())))


@asynccontextmanager
async def two(here: list[Any], there: list[Any], sessions: Sessions) -> AsyncIterator[tuple[Served, Served]]:
    """The node that is asked, and the one that holds the rest."""
    async with (
        serving(wanted(*there), near(), cloud()) as holder,
        serving(wanted(*here), near(), cloud(), sessions=sessions) as asked,
    ):
        asked.engine.elsewhere = Written("edge-1", holder, "edge-2")
        yield asked, holder


async def test_a_session_that_goes_on_at_another_node_is_hidden_there(tmp_path: Path) -> None:
    """Its turns are in the database of the first node, with their marks."""
    stores = open_stores(tmp_path / "state.db")
    far = agent_spec("far", models=["big"])
    here = [agent_spec("a", tools=["db"]), elsewhere("far")]
    async with two(here, [far], Sessions(stores.sessions)) as (asked, _):
        await asked.run("look for Canella, Eva [2]", session="s", agent="a")
    async with two(here, [far], Sessions(stores.sessions)) as (asked, holder):
        result = await asked.run("thanks", session="s", agent="far")
        (got,) = sent(holder.servers[1])
        assert leaked(holder.servers[1]) == [] and "1 | [PATIENT_2] | [TAX_CODE_1] | [SMOKES_1]" in got
    stores.close()
    assert result.text == "done"


async def test_what_another_node_answered_is_hidden_in_the_next_turn() -> None:
    """The table was looked up there; this node's agent in the cloud gets the turn as history."""
    sessions = Sessions()
    here, there = [agent_spec("far", models=["big"]), elsewhere("a")], [agent_spec("a", tools=["db"])]
    async with two(here, there, sessions) as (asked, _):
        first = await asked.run("look", session="s", agent="a")
        await asked.run("thanks", session="s", agent="far")
        far = asked.servers[1]
    assert first.text == f"it says: {TABLE}" and first.as_json().get("marks") is None
    assert leaked(far) == [] and "1 | [PATIENT_1] | [TAX_CODE_1]" in sent(far)[0]


@pytest.mark.parametrize("marks", [7, [[0, 1]], [[0, 99, "f"]], [["x", 1, "f"]], [[3, 1, "f"]], [[0, 1, ""]]])
def test_marks_that_are_none_are_refused(marks: Any) -> None:
    """A node that cannot know what to hide does not guess."""
    with pytest.raises(ValueError, match="has marks that are"):
        Message.from_kept({"role": "user", "content": "hello", "marks": marks})


def test_marks_come_back_as_they_were_kept() -> None:
    marked = Message("user", "hello Anna", marks=((6, 10, "patient"),))
    assert Message.from_kept(json.loads(json.dumps(marked.as_kept()))) == marked
    assert "marks" not in marked.as_json() and b"marks" not in marked.encoded()
    plain = replace(marked, marks=())
    assert plain.as_kept() == plain.as_json()
