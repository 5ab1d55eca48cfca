"""A plan: numbered steps with their causes, and who will answer for each agent. It prints itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.digest import digest_of
from orchestrator.plan.operation import Operation


@dataclass(frozen=True, slots=True)
class Step:
    """One action in its place. ``cause`` says what makes it necessary; ``removes`` asks for the user's consent."""

    number: int
    operation: Operation
    cause: str
    removes: bool = False

    def __str__(self) -> str:
        operation = self.operation
        return f"{operation.mark} {operation.address}: {operation.does()} ({self.cause})"

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        operation = self.operation
        return {
            "number": self.number,
            "action": type(operation).__name__,
            "address": str(operation.address),
            "mark": operation.mark,
            "does": operation.does(),
            "cause": self.cause,
            "removes": self.removes,
        }


@dataclass(frozen=True, slots=True)
class AgentServing:
    """What answers for an agent, or how a router chooses (``by``), and what it would gain from what is missing (``gain``,
    ``cure``). ``agent`` is its address."""

    agent: str
    by: str
    gain: str = ""
    cure: str = ""

    def __str__(self) -> str:
        gain = f"; {self.gain}" if self.gain else ""
        cure = f": {self.cure}" if self.cure else ""
        return f"{self.agent}: {self.by}{gain}{cure}"

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {"agent": self.agent, "by": self.by, "gain": self.gain, "cure": self.cure}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that must be done for one deployment. ``empty`` where it runs as wanted, or will: ``returning`` is the revision
    that comes back with the runtime, where none runs."""

    deployment: str
    steps: tuple[Step, ...] = ()
    serving: tuple[AgentServing, ...] = ()
    notes: tuple[str, ...] = ()
    returning: int | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not self.steps

    @property
    def removals(self) -> tuple[Step, ...]:
        """Steps that take something away for good."""
        return tuple(step for step in self.steps if step.removes)

    @property
    def digest(self) -> str:
        """Of what would be done and why: a plan that was shown is agreed to by this."""
        return digest_of([self.deployment, [str(step) for step in self.steps]])

    def __str__(self) -> str:
        if self.empty:
            runs = "runs as wanted" if self.returning is None else "is applied as wanted"
            return "\n".join([f"{self.deployment} {runs}: nothing to do", *_noted(self.notes)])
        return "\n".join([f"plan for {self.deployment}: {self.summary}", *_table(self.steps), *_noted(self.notes)])

    @property
    def summary(self) -> str:
        """How many steps add, change and take away."""
        marks = Counter(step.operation.mark for step in self.steps)
        return f"{marks['+']} to add, {marks['~']} to change, {marks['-']} to remove"

    def as_json(self) -> dict[str, Any]:
        """A plain form, for ``--format json`` and the control API."""
        return {
            "deployment": self.deployment,
            "digest": self.digest,
            "empty": self.empty,
            "steps": [step.as_json() for step in self.steps],
            "serving": [serving.as_json() for serving in self.serving],
            "notes": list(self.notes),
            "returning": self.returning,
        }


def numbered(steps: Sequence[tuple[Operation, str, bool]]) -> tuple[Step, ...]:
    """Steps with numbers, from 1."""
    return tuple(Step(number, *step) for number, step in enumerate(steps, 1))


def _table(steps: Sequence[Step]) -> list[str]:
    width = max(len(step.operation.address) for step in steps)
    digits = len(str(len(steps)))
    return [
        f"  {step.number:>{digits}}. {step.operation.mark} {step.operation.address:<{width}}"
        f"  {step.operation.does()} ({step.cause})"
        for step in steps
    ]


def _noted(notes: Sequence[str]) -> list[str]:
    return [f"note: {note}" for note in notes]
