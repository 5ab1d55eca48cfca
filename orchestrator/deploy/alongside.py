"""What the table of deployments and the servers that are started need to know of each other: they share the memory of models, and
one that is called is not ended."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from orchestrator.plan.observed import ServerUse


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


class Callers(Protocol):
    """Those who call servers that are started."""

    def use_of(self, name: str, url: str) -> ServerUse:
        """Which revisions of a deployment call the server at this root URL."""
        ...

    def works_at(self, url: str) -> bool:
        """Whether the server at this root URL works on a call, or one waits for it."""
        ...
