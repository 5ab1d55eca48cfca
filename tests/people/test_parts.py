"""A part of a request that waits for a person goes on as a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.people.parts import PERSON, desked, shop
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, router_spec, rule

pytestmark = pytest.mark.anyio
BOTH = "pay 5 please, and when do you open"


def wanted(payer: Any, *tools: FakeTool) -> Wanted:
    """One agent that waits for a person, and one that answers at once."""
    front = router_spec("front", {payer["name"]: "pay", "hours": "open"})
    front["several"] = True
    return Wanted([front, payer, agent_spec("hours", models=[], reflex=[rule("Nine to six.")])], tools, bound={})


def payer() -> Any:
    """Its call must be allowed."""
    pay = rule("done: {{ result }}", call="shop.pay", arguments={"amount": "{{ n }}"}, extract={"n": "([0-9]+)"})
    return agent_spec("payer", models=[], tools=["shop"], reflex=[pay])


async def test_a_question_of_one_part_is_answered_later_and_said_in_the_session(tmp_path: Path) -> None:
    """The reply is complete; the person's words come as a turn after it, once."""
    asked = wanted(agent_spec("desk", models=[], human=PERSON))
    async with desked(tmp_path, asked) as it:
        result = await it.served.run(BOTH, session="s")
        waits, told = result.parts
        found = await it.after(_as_result(result), "answer", "we will")
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
        run = it.stores.runs.find(waits.run)
    assert (result.status, result.approval, waits.status, told.status) == ("completed", "", "waiting", "completed")
    assert result.text == f"desk:\nwait: {waits.approval}\n\nhours:\nNine to six."
    assert waits.run not in ("", result.id)
    assert (found["id"], found["text"], found["path"]) == (waits.run, "we will", ["router.front", "agent.desk"])
    assert turns == [BOTH, result.text, "we will"]
    assert run is not None and run["request"] == "pay 5 please"


async def test_a_call_of_one_part_is_made_once_it_is_allowed(tmp_path: Path) -> None:
    """And only that part is done again from where it waited."""
    tool = shop()
    async with desked(tmp_path, wanted(payer(), tool)) as it:
        result = await it.served.run(BOTH)
        assert not tool.calls
        found = await it.after(_as_result(result), "approve")
    assert [arguments for _, arguments, _ in tool.calls] == [{"amount": 5}]
    assert (found["status"], found["text"], found["agent"]) == ("completed", "done: paid", "payer")
    assert found["id"] == result.parts[0].run


def _as_result(result: Any) -> Any:
    """The part that waits, as whoever waits for it knows it."""
    from dataclasses import replace

    waits = result.parts[0]
    return replace(result, id=waits.run, approval=waits.approval, status="waiting", parts=())
