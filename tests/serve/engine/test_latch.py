"""A conversation stays with the agent that took over twice in a row, and comes back at its task's end."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.request import Result
from orchestrator.serve.latch import IDLE, IN_A_ROW, Conversation, Latches
from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Said, Script
from tests.serve.engine.parts import Served, Wanted, agent_spec, model_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
BOTH = ("agent.small", "agent.large")
STAYS = "its last 2 answers in this conversation were not kept: it stays with large until its task ends"


class Small(Script):
    """Knows what is easy."""

    def answer(self, asked: Asked, chance: Any) -> Said:
        del chance
        return Said("easy" if "easy" in asked.text else "UNKNOWN")


def shop(**fields: Any) -> Wanted:
    """A small agent that says when it does not know, a large one, and another one beside them."""
    when = fields.pop("escalate_when", ["abstains", "schema_invalid"])
    small = agent_spec("small", escalate_to="large", escalate_when=when, gate={"abstains": {}}, **fields)
    large = agent_spec("large", models=["big"])
    return Wanted(
        [small, large],
        models={"m": model_spec(), "big": model_spec("big")},
        bound={"m": ("m@1",), "big": ("m@2",)},
    )


def servers() -> tuple[Any, Any]:
    """Of the small model and of the large one."""
    return simulated(["m"], Small()), simulated(["m"], Script(default="the large one"))


async def ask(served: Served, *texts: str, session: str = "s", **fields: Any) -> list[Result]:
    """One request after another."""
    return [await served.run(text, session=session, **fields) for text in texts]


async def test_the_third_request_does_not_ask_the_small_one() -> None:
    """Nor do those after it, however easy; another conversation, and a request without one, are not touched."""
    async with serving(shop(), *servers()) as served:
        results = await ask(served, "hard", "hard", "hard", "easy")
        asked = len(served.server.records)
        (other,) = await ask(served, "easy", session="other")
        alone = await served.run("easy")
    assert [each.path for each in results] == [BOTH] * 4
    assert asked == 2 and (other.text, alone.text) == ("easy", "easy")
    assert results[2].decisions[-1].why == STAYS and results[2].why == (
        f"agent.small handed over: {STAYS}; agent.large: big: the agent names it"
    )


async def test_an_answer_that_is_kept_starts_the_count_anew() -> None:
    """Two in a row are needed."""
    async with serving(shop(), *servers()) as served:
        results = await ask(served, "hard", "easy", "hard", "easy")
    assert [each.agent for each in results] == ["large", "small", "large", "small"]


async def test_it_comes_back_after_a_long_rest() -> None:
    """Which ends the task; a short one does not."""
    async with serving(shop(), *servers()) as served:
        await ask(served, "hard", "hard")
        await anyio.sleep(IDLE - 100)
        (still,) = await ask(served, "easy")
        await anyio.sleep(IDLE + 100)
        (back,) = await ask(served, "easy")
    assert (still.agent, back.agent) == ("large", "small")


async def test_it_comes_back_when_a_router_chose_another_agent_between() -> None:
    """Another task; where the router only fell back on one, the task goes on."""
    wanted = shop()
    other = agent_spec("other", models=[], reflex=[rule("nine to six")])
    front = router_spec("front", {"small": "^(hard|easy)", "other": "open"}, default="other", on_unsure="default")
    wanted.parts = [front, *wanted.parts, other]
    async with serving(wanted, *servers()) as served:
        await ask(served, "hard", "hard")
        unsure, still, opened, back = await ask(served, "hm", "easy", "when do you open", "easy")
    assert [each.agent for each in (unsure, still, opened, back)] == ["other", "large", "other", "small"]


async def test_an_answer_that_never_fits_its_schema_counts_too() -> None:
    """A fault of the answer, not of the server."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    async with serving(shop(output_schema=schema), *servers()) as served:
        await ask(served, "hard", "hard")
        asked = len(served.server.records)
        (third,) = await ask(served, "hard")
        assert len(served.server.records) == asked
    assert third.agent == "large"


async def test_a_server_that_is_away_latches_nothing() -> None:
    """It may be back for the next request."""
    wanted = shop(escalate_when=["error", "abstains"])
    small, large = servers()
    small.arm("unauthorized")
    async with serving(wanted, small, large) as served:
        away = await ask(served, "easy", "easy")
        await anyio.sleep(60)  # its server rests from its faults
        (back,) = await ask(served, "easy")
    assert [each.agent for each in (*away, back)] == ["large", "large", "small"]


async def test_rules_still_answer() -> None:
    """They are exact: only the model is passed over."""
    wanted = shop(reflex=[rule("by rule", when={"keywords": ["rule"]})])
    async with serving(wanted, *servers()) as served:
        await ask(served, "hard", "hard")
        (third,) = await ask(served, "a rule")
    assert (third.text, third.agent) == ("by rule", "small")


@given(st.lists(st.booleans(), max_size=12))
def test_only_two_in_a_row_latch(kept: list[bool]) -> None:
    """And nothing but a task's end lets the agent answer again."""
    conversation = Conversation()
    conversation.begin("small", 0.0, chosen=True)
    for each in kept:
        conversation.note("small", kept=each)
        conversation.note("other", kept=True)
    in_a_row = any(not any(kept[at : at + IN_A_ROW]) for at in range(len(kept) - IN_A_ROW + 1))
    assert conversation.is_latched("small") is in_a_row
    assert not conversation.is_latched("other")


def test_the_conversations_that_were_used_last_are_remembered() -> None:
    """So many of them."""
    latches = Latches(most=2)
    first = latches.of("shop", "1")
    latches.of("shop", "2")
    assert latches.of("shop", "1") is first
    latches.of("shop", "3")
    assert latches.of("shop", "1") is first and latches.of("shop", "2").task == ""


def test_while_something_is_held_no_task_ends() -> None:
    """A call that waits for a person belongs to the task."""
    conversation = Conversation(task="small", doubted={"small": 2})
    conversation.hold("run_1", waits=True)
    conversation.hold("run_2", waits=False)
    conversation.begin("other", IDLE * 2, chosen=True)
    assert conversation.is_latched("small")
    conversation.hold("run_1", waits=False)
    conversation.begin("small", IDLE * 2 + 1, chosen=True)
    assert not conversation.is_latched("small")
