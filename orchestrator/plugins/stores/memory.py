"""What must run, for as long as a process lives: for ``orchestrator.open``, for a look without a runtime, and for tests."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.ports.store import Revision


class MemoryRevisions:
    """A ``RevisionStore`` that forgets when it is dropped."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Revision]] = {}
        self._desired: dict[str, Revision] = {}

    def add(self, revision: Revision) -> None:
        """Store it and make it the desired one."""
        self._kept.setdefault(revision.deployment, []).insert(0, revision)
        self._desired[revision.deployment] = revision

    def desired(self) -> Sequence[Revision]:
        """What is desired."""
        return list(self._desired.values())

    def last_number(self, deployment: str) -> int:
        """The highest number of its revisions, 0 where it has none."""
        return max((each.number for each in self._kept.get(deployment, ())), default=0)

    def history(self, deployment: str) -> Sequence[Revision]:
        """All revisions of one deployment, newest first."""
        return list(self._kept.get(deployment, ()))

    def remove(self, deployment: str) -> None:
        """Take it down; its history stays."""
        self._desired.pop(deployment, None)
