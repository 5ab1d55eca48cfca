"""What must run, for as long as a process lives: for ``orchestrator.open``, for a look without a runtime, and for tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchestrator.ports.store import Revision


class MemoryRevisions:
    """A ``RevisionStore`` that forgets when it is dropped."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Revision]] = {}
        self._desired: dict[str, Revision] = {}
        self._served: dict[str, int] = {}
        self._ever_served: dict[str, set[int]] = {}

    def add(self, revision: Revision) -> None:
        """Store it and make it the desired one."""
        self._kept.setdefault(revision.deployment, []).insert(0, revision)
        self._desired[revision.deployment] = revision

    def desired(self) -> Sequence[Revision]:
        """What is desired."""
        return list(self._desired.values())

    def mark_served(self, deployment: str, number: int) -> None:
        """This revision serves."""
        self._served[deployment] = number
        self._ever_served.setdefault(deployment, set()).add(number)

    def served(self) -> Sequence[Revision]:
        """Of every deployment that is not taken down, the revision that served last."""
        return [each for name in self._desired for each in self._kept[name] if each.number == self._served.get(name)]

    def ever_served(self, deployment: str) -> Collection[int]:
        """The numbers of its revisions that ever served."""
        return self._ever_served.get(deployment, set())

    def last_number(self, deployment: str) -> int:
        """The highest number of its revisions, 0 where it has none."""
        return max((each.number for each in self._kept.get(deployment, ())), default=0)

    def history(self, deployment: str) -> Sequence[Revision]:
        """All revisions of one deployment, newest first."""
        return list(self._kept.get(deployment, ()))

    def remove(self, deployment: str) -> None:
        """Take it down; its history stays."""
        self._desired.pop(deployment, None)
        self._served.pop(deployment, None)
