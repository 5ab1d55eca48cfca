"""What the table of deployments needs to know of servers that are started: they share the memory of models."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Alongside(Protocol):
    """Servers that are started, by the names of their processes."""

    def held(self, bound: Collection[str]) -> tuple[int, bool]:
        """Bytes that they take, but for those that are ``bound`` as models which rest; and whether one of them claims room for its
        first token."""
        ...

    def turning(self) -> frozenset[str]:
        """Servers that take turns in memory."""
        ...

    def wake(self, names: Collection[str]) -> None:
        """These must not rest."""
        ...


class NoServers:
    """Nothing is started."""

    def held(self, bound: Collection[str]) -> tuple[int, bool]:
        """Nobody else takes memory."""
        del bound
        return 0, False

    def turning(self) -> frozenset[str]:
        """Nobody takes turns."""
        return frozenset()

    def wake(self, names: Collection[str]) -> None:
        """Nobody rests that must not."""
