"""The port of marks: what holds, or may hold, what is restricted, kept beyond the life of a process."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

MarkKind = Literal["name", "file", "inode", "deployment", "all"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark. By ``kind``, ``value`` is the ``name`` of a tool's own store, the real path of a ``file`` or folder, an ``inode``
    as ``DEVICE:NUMBER``, or a ``deployment`` that has had a restricted agent. ``all`` has no value: earlier marks are lost, and
    so everything counts as marked."""

    kind: MarkKind
    value: str = ""


class MarkStore(Protocol):
    """Marks of all processes of a user that keep theirs at one place. Whatever it cannot do raises ``StateUnusable``."""

    def marks(self) -> Collection[Mark]:
        """All that there are."""
        ...

    def changed(self) -> bool:
        """Whether another process may have added some since ``marks`` was called last. Costs microseconds."""
        ...

    def add(self, marks: Collection[Mark]) -> None:
        """Keep them; they are on the disk when this returns."""
        ...
