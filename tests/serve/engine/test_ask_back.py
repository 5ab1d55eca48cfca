"""A router asks back, and the answer to its question is understood."""

from __future__ import annotations

import pytest

from orchestrator.core.message import Message
from orchestrator.serve.steps.ask_back import asked_before, question_of, read_answer
from tests.serve.engine.parts import Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
ROUTER = router_spec("front", {"opening-hours": "open", "technical-support": "broken", "support": "help"})
AGENTS = [
    agent_spec("opening-hours", models=[], reflex=[rule("hours: {{ text }}")]),
    agent_spec("technical-support", models=[], reflex=[rule("technical: {{ text }}")]),
    agent_spec("support", models=[], reflex=[rule("support: {{ text }}")]),
]


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        ("technical-support", "technical-support"),
        ("Technical support, please!", "technical-support"),
        ("I mean the technical support", "technical-support"),
        ("support", "support"),
        ("opening hours", "opening-hours"),
        ("the second one", "technical-support"),
        ("2", "technical-support"),
        ("number 3", "support"),
        ("the last one please", "support"),
        ("il primo", "opening-hours"),
        ("0", None),
        ("4", None),
        ("the second hand shop", None),
        ("opening hours or technical support", None),
        ("my laptop", None),
        ("not support", None),
        ("not technical support, the other one", None),
        ("anything but support", None),
        ("I don't mean support", None),
        ("who is support?", None),
        ("non il primo", None),
        ("supports", None),
        ("", None),
    ],
)
def test_an_answer_names_a_choice_or_its_place(answer: str, choice: str | None) -> None:
    """One that names none, or several, is read as any request is."""
    decision = read_answer(ROUTER, answer)
    assert (decision and decision.choice) == choice


def test_a_question_is_known_again_in_the_last_turn_only() -> None:
    """Nobody else's words count as the router's question."""
    question = Message("assistant", question_of(ROUTER))
    wanted = Message("user", "it does not work")
    assert asked_before(ROUTER, (wanted, question)) == "it does not work"
    assert asked_before(ROUTER, (wanted, question, Message("user", "x"), Message("assistant", "y"))) is None
    assert asked_before(ROUTER, (wanted, Message("assistant", "Which one is it?"))) is None
    assert asked_before(ROUTER, ()) is None


async def test_the_agent_that_is_named_answers_what_was_asked_first() -> None:
    """In a session; what was typed stays what was typed, in the session and in what is told of the run."""
    async with serving(Wanted([ROUTER, *AGENTS])) as served:
        asked = await served.run("it does not work", session="s")
        answered = await served.run("technical support please", session="s")
        later = await served.run("technical support please", session="s")
        texts = [event.fields["text"] for event in served.events if event.kind == "run.finished"]
    assert asked.status == "unsure" and asked.text == question_of(ROUTER)
    assert (answered.status, answered.text) == ("completed", "technical: it does not work")
    assert answered.decisions[0].why == 'the answer to its question names "technical-support"'
    assert later.status == "unsure"
    assert texts == ["it does not work", "technical support please", "technical support please"]


async def test_a_greeting_is_not_gone_back_to() -> None:
    """There was nothing to answer yet."""
    async with serving(Wanted([ROUTER, *AGENTS])) as served:
        await served.run("hello", session="s")
        result = await served.run("the first", session="s")
    assert result.text == "hours: the first"
