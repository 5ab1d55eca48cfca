"""Whether a request is several requests, each for another agent: a router with ``several`` asks its strategy for each clause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.clauses import Clause, clauses_of
from orchestrator.core.conditions import shortened
from orchestrator.core.request import Decision

MOST_PARTS: Final = 3
"""Agents that one request goes to; what is left for others is told in the answer."""
Decide = Callable[[str], Awaitable[Decision]]


@dataclass(frozen=True, slots=True)
class Part:
    """What one agent is asked."""

    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Parted:
    """The parts of a request in the order of its clauses, how each came to its agent, and what is left for more agents than one
    request may have."""

    parts: tuple[Part, ...]
    decisions: tuple[Decision, ...]
    left: tuple[Part, ...] = ()


async def parted(text: str, whole: Decision, decide: Decide) -> Parted | None:
    """The parts of a request; ``None`` where it is one.

    It is several only where different clauses are surely for different agents, and where whoever would get the whole is one of
    them: so ``several`` takes no request from an agent that has it without it, and no written rule is gone round. A request in the
    very words of an example (its confidence is 1) is that example's.
    """
    clauses = clauses_of(text)
    if len(clauses) < 2 or whole.confidence == 1.0:
        return None
    decided = [(clause, await decide(clause.text)) for clause in clauses]
    pieces = _by_agent(decided)
    if len(pieces) < 2 or (whole.choice is not None and whole.choice not in pieces):
        return None
    if any(clause.leans for clause in clauses):
        pieces = dict.fromkeys(pieces, text)
    parts = tuple(Part(to, piece) for to, piece in pieces.items())
    if whole.choice is not None and whole.choice not in [part.to for part in parts[:MOST_PARTS]]:
        parts = (
            *(part for part in parts if part.to == whole.choice),
            *(part for part in parts if part.to != whole.choice),
        )
    return Parted(parts[:MOST_PARTS], tuple(_told(clause, each) for clause, each in decided), parts[MOST_PARTS:])


def _by_agent(decided: Sequence[tuple[Clause, Decision]]) -> dict[str, str]:
    """What each agent is asked: its clauses, with those that nobody is sure of beside the one before them, else after them."""
    found: dict[str, list[str]] = {}
    before: list[str] = []
    last = ""
    for clause, decision in decided:
        last = decision.choice or last
        if not last:
            before.append(clause.text)
            continue
        found.setdefault(last, []).extend([*before, clause.text])
        before = []
    return {name: _joined(texts) for name, texts in found.items()}


def _joined(texts: Sequence[str]) -> str:
    return " ".join(text if text[-1] in ".!?;:" or text is texts[-1] else f"{text}." for text in texts)


def _told(clause: Clause, decision: Decision) -> Decision:
    return replace(decision, why=f'of "{shortened(clause.text)}": {decision.why}')
