"""How many processes of a server are wanted, by how busy those are that run: a state machine without clock or I/O.

``on_seen`` brings what was seen of a server and the time, in seconds of one monotonic clock; looks may come at any pace.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Final


@dataclass(frozen=True, slots=True)
class DemandRules:
    """One more is wished where on average more than ``busy`` of the slots were in use for ``busy_for`` seconds; one less where
    for ``calm_for`` seconds never more than ``calm`` of the slots were in use that would be left."""

    busy: float = 0.8
    busy_for: float = 30.0
    calm: float = 0.5
    calm_for: float = 300.0


RULES: Final = DemandRules()


@dataclass(frozen=True, slots=True)
class Load:
    """What new requests can go to: ``slots`` of all ``processes``, and calls that are ``busy`` there or wait for them."""

    busy: int
    slots: int
    processes: int

    @property
    def share(self) -> float:
        """Of the slots in use, 0..1."""
        return min(1.0, self.busy / self.slots) if self.slots else 0.0

    @property
    def left(self) -> float:
        """Slots that there would be with one process less."""
        return self.slots * (self.processes - 1) / self.processes if self.processes else 0.0


@dataclass(slots=True)
class _Seen:
    wished: int
    shares: deque[tuple[float, float]] = field(default_factory=deque)
    calm_since: float = inf


class Demand:
    """By the name of the server. Where nothing was seen yet, as many are wished as run already, and at least one."""

    def __init__(self, rules: DemandRules = RULES) -> None:
        self.rules = rules
        self._seen: dict[str, _Seen] = {}

    def wished(self, server: str) -> int:
        """How many processes it should have, if the manifest and the memory allow so many."""
        return self._seen[server].wished if server in self._seen else 1

    def begin(self, server: str, processes: int) -> None:
        """So many run already, from an earlier life."""
        self._seen[server] = _Seen(max(1, processes))

    def keep(self, servers: set[str]) -> None:
        """Forget all others."""
        for server in [server for server in self._seen if server not in servers]:
            del self._seen[server]

    def on_seen(self, server: str, load: Load, most: int, now: float) -> None:
        """It was looked at. One more is wished only when those wished before are there: what helps is seen first."""
        seen = self._seen.setdefault(server, _Seen(1))
        seen.wished = min(seen.wished, most)
        seen.calm_since = min(seen.calm_since, now) if load.busy <= self.rules.calm * load.left else inf
        seen.shares.append((now, load.share))
        while len(seen.shares) > 1 and seen.shares[1][0] <= now - self.rules.busy_for:
            seen.shares.popleft()
        if seen.wished > 1 and now - seen.calm_since >= self.rules.calm_for:
            seen.wished -= 1
            seen.calm_since = now
        elif load.processes < seen.wished:
            seen.shares.clear()
        elif seen.wished < most and self._is_busy(seen, now):
            seen.wished += 1
            seen.shares.clear()

    def _is_busy(self, seen: _Seen, now: float) -> bool:
        shares = [share for _, share in seen.shares]
        return seen.shares[0][0] <= now - self.rules.busy_for and sum(shares) / len(shares) > self.rules.busy
