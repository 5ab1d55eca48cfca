"""The ports of durable state: revisions (what must run), runs (what happened), sessions (what was said)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from orchestrator.core.fitted import Scale
from orchestrator.core.message import Message
from orchestrator.core.refined import Fit
from orchestrator.core.request import Result

KEPT_TABLES: Final[Mapping[str, frozenset[str]]] = {
    "revision": frozenset({"deployment", "number", "blueprint", "sources", "checksum"}),
    "mark": frozenset({"kind", "value", "made"}),
}
"""A table of each database that the runtime keeps for itself, with columns by which it is known."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One numbered version of a deployment. ``sources`` are the manifest files (name -> text) as they were applied;
    ``created`` is seconds since 1970; ``origin`` is the absolute path or ``-`` of the first source."""

    deployment: str
    number: int
    digest: str
    blueprint: Mapping[str, Any]
    sources: Mapping[str, str]
    created: float
    origin: str = ""
    cause: str = "apply"


class RevisionStore(Protocol):
    """Desired state. Every write is durable when the call returns."""

    def add(self, revision: Revision) -> None:
        """Store it and make it the desired one, in one transaction."""
        ...

    def desired(self) -> Sequence[Revision]:
        """The desired revision of every deployment that is not taken down."""
        ...

    def mark_served(self, deployment: str, number: int) -> None:
        """This revision serves: should a later one not come to serve, this is what the next start falls back to."""
        ...

    def served(self) -> Sequence[Revision]:
        """Of every deployment that is not taken down, the revision that served last, where that is kept."""
        ...

    def ever_served(self, deployment: str) -> Collection[int]:
        """The numbers of its kept revisions that ever served: what may be gone back to."""
        ...

    def last_number(self, deployment: str) -> int:
        """The highest number of its revisions, 0 where it has none."""
        ...

    def history(self, deployment: str) -> Sequence[Revision]:
        """The kept revisions of one deployment that can be read, newest first."""
        ...

    def remove(self, deployment: str) -> None:
        """Take it down: nothing is desired for it, and nothing of it counts as served; its history stays."""
        ...


class RunStore(Protocol):
    """Finished runs, for `explain run` and `logs`."""

    def keep(self, results: Sequence[Result], texts: Sequence[str]) -> None:
        """Store a batch; ``texts`` are the requests' texts."""
        ...

    def find(self, run: str) -> Mapping[str, Any] | None:
        """One run's stored form, by its id or a unique beginning of it."""
        ...

    def recent(self, deployment: str, count: int) -> Sequence[Mapping[str, Any]]:
        """The newest runs first."""
        ...


class SessionStore(Protocol):
    """Conversations. Of each it keeps ``keep_turns`` messages, those that ``core/message.py`` calls the :func:`newest`."""

    @property
    def keep_turns(self) -> int:
        """The same for every session."""
        ...

    def load(self, deployment: str, session: str) -> tuple[Message, ...]:
        """Its turns so far; empty for a new one."""
        ...

    def is_restricted(self, deployment: str, session: str) -> bool:
        """Whether turns were ever added to it as restricted, the ones that are forgotten among them."""
        ...

    def append(self, deployment: str, session: str, messages: Sequence[Message], *, restricted: bool = False) -> None:
        """Add turns; ``restricted`` marks the session for good. Both are stored when it returns, or neither: then it raises
        ``StateUnusable``."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """That an agent's answer, or a router's choice, was ``right`` or not, with a score that it had: what a calibration learns from.
    No word of the request or the answer is in it. ``by`` says who labelled it."""

    deployment: str
    revision: int
    run: str
    scale: Scale
    score: float
    right: bool
    by: str = ""


class OutcomeStore(Protocol):
    """Labelled answers, and what was fitted on them. Every write is durable when the call returns."""

    def label(self, outcomes: Sequence[Outcome]) -> None:
        """Store labels; a later one of the same run, agent and signal takes the place of an earlier one."""
        ...

    def outcomes(self, deployment: str) -> Sequence[Outcome]:
        """All of a deployment, in the order of their runs' labels."""
        ...

    def keep_fitted(self, deployment: str, revision: int, fitted: Mapping[Scale, Fit]) -> None:
        """Store what was fitted while a revision served, in place of what was fitted on the same scales."""
        ...

    def fitted(self) -> Mapping[str, Mapping[Scale, Fit]]:
        """By deployment, all that was fitted and can be read."""
        ...
