"""What is said in a session, as it is kept: with the places of what the run learned to hide. A later turn learns it from there."""

from __future__ import annotations

from orchestrator.core.message import Message, Role
from orchestrator.core.request import Result
from orchestrator.serve.run import Run


def turns_of(run: Run, asked: str, result: Result) -> tuple[Message, Message]:
    """A request and its answer."""
    return _turn(run, "user", asked), answer_of(result)


def answer_of(result: Result) -> Message:
    """The answer alone, where its request was kept before."""
    return Message("assistant", result.text, marks=result.marks)


def _turn(run: Run, role: Role, text: str) -> Message:
    return Message(role, text, marks=run.passage.standing(text) if run.passage is not None else ())
