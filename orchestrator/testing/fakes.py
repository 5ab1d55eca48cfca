"""Small fakes for the ports that tests need most: a sink that keeps, stores in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.event import Event, EventKind
from orchestrator.core.message import KEEP_TURNS, Message, newest
from orchestrator.core.request import Result


class ListSink:
    """Keeps every event in ``events``."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def of(self, kind: EventKind) -> list[Event]:
        """The events of one kind, in order."""
        return [event for event in self.events if event.kind == kind]


class MemorySessions:
    """A ``SessionStore`` that forgets when it is dropped."""

    keep_turns = KEEP_TURNS

    def __init__(self) -> None:
        self.turns: dict[tuple[str, str], list[Message]] = {}
        self.restricted: set[tuple[str, str]] = set()

    def load(self, deployment: str, session: str) -> tuple[Message, ...]:
        """Its turns so far."""
        return tuple(self.turns.get((deployment, session), ()))

    def is_restricted(self, deployment: str, session: str) -> bool:
        """Whether turns were ever added to it as restricted."""
        return (deployment, session) in self.restricted

    def append(self, deployment: str, session: str, messages: Sequence[Message], *, restricted: bool = False) -> None:
        """Add turns."""
        if restricted:
            self.restricted.add((deployment, session))
        kept = newest((*self.load(deployment, session), *messages), self.keep_turns)
        self.turns[deployment, session] = list(kept)


class MemoryRuns:
    """A ``RunStore`` that forgets when it is dropped."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def keep(self, results: Sequence[Result], texts: Sequence[str]) -> None:
        """Store a batch, each result with its request's text."""
        self.kept.extend({**result.as_json(), "request": text} for result, text in zip(results, texts, strict=True))

    def find(self, run: str) -> Mapping[str, Any] | None:
        """One run by its id or a unique beginning of it."""
        found = [entry for entry in self.kept if entry["id"].startswith(run)]
        return found[0] if len(found) == 1 else None

    def recent(self, deployment: str, count: int) -> Sequence[Mapping[str, Any]]:
        """The newest first."""
        return [entry for entry in reversed(self.kept) if entry["deployment"] == deployment][:count]
