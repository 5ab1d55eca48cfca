"""What a run gives to a node that takes over from it, and what it takes from one."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.core.denial import Denial
from orchestrator.core.errors import StaysHere
from orchestrator.core.handed import (
    LONGEST_CALL,
    LONGEST_NAME,
    LONGEST_REASON,
    LONGEST_SAID,
    MOST_ATTEMPTS,
    MOST_CALLS,
    MOST_DENIALS,
    MOST_VALUES,
    Attempt,
    Handed,
)
from orchestrator.core.marks import Mark
from orchestrator.serve.run import Run
from orchestrator.serve.steps.refused import in_short
from orchestrator.serve.steps.served import with_model_names
from orchestrator.serve.steps.shorten import shortened


def handed_on(run: Run) -> Handed:
    """Who tried before, what it is a part of, what a person refused, and which values of named fields stand in what goes to the
    other node: it hides them from the cloud, but what a function gave here, it has not seen. Raises ``StaysHere`` where these are
    too many to tell."""
    attempts = tuple(_within_bounds(run, each) for each in run.attempts[-MOST_ATTEMPTS:])
    denials = tuple(_denial(run, each) for each in run.denials[-MOST_DENIALS:])
    values = dict.fromkeys(_known_in(run, attempts, denials))
    if len(values) > MOST_VALUES:
        raise StaysHere(
            f"the request and what was said before hold more than {MOST_VALUES} values of named fields: "
            "another node cannot be told what to hide",
            cure="Ask in a shorter conversation, or of fewer rows.",
        )
    return Handed(attempts, tuple(values), run.part_of, denials)


def take_over(run: Run, handed: Handed) -> None:
    """The run goes on from one of another node."""
    run.attempts, run.part_of, run.denials = handed.attempts, handed.part_of, handed.denials
    if run.passage is not None:
        for field, value in handed.values:
            run.passage.learn_value(value, field)
        for attempt in handed.attempts:
            run.passage.learn_marked(attempt.text, attempt.marks)


def _within_bounds(run: Run, attempt: Attempt) -> Attempt:
    reason = with_model_names(run, attempt.reason)
    text = shortened(attempt.text, LONGEST_SAID, _standing(run, attempt.text))[0]
    return Attempt(
        attempt.agent[:LONGEST_NAME],
        shortened(reason, LONGEST_REASON, _standing(run, reason))[0],
        text,
        tuple(shortened(each, LONGEST_CALL)[0] for each in attempt.calls[-MOST_CALLS:]),
        _standing(run, text),  # none over another: no more than its letters
    )


def _denial(run: Run, denial: Denial) -> Denial:
    short = in_short(run, denial)
    return Denial(short.function[:LONGEST_NAME], short.digest, short.arguments, short.by[:LONGEST_NAME], short.words)


def _standing(run: Run, text: str) -> tuple[Mark, ...]:
    return run.passage.standing(text) if run.passage is not None else ()


def _known_in(run: Run, attempts: tuple[Attempt, ...], denials: tuple[Denial, ...]) -> Iterator[tuple[str, str]]:
    if run.passage is None:
        return
    for text in (*_texts(run, attempts), *(each.told() for each in denials)):
        for field, value in run.passage.known_in(text):
            yield field[:LONGEST_NAME], value


def _texts(run: Run, attempts: tuple[Attempt, ...]) -> Iterator[str]:
    yield run.request.text
    for turn in run.history:
        yield turn.content
        yield from (call.arguments for call in turn.tool_calls)
    for attempt in attempts:
        yield attempt.reason
        yield attempt.text
