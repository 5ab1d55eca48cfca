"""Who is there, as far as heartbeats tell, and which node a request should go to. Pure: time and chance are handed in.

A node without a heartbeat for 2 s is *suspect*: requests go elsewhere. After 10 s it is *dead*: its agents may be placed on
others. One that lives but fails three times in a row is put aside for a while (*ejected*), never more than half of an agent's
holders and never the last. Among the others the less loaded of two that are drawn takes the request (Mitzenmacher, "The power of
two choices in randomized load balancing", 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from orchestrator.node.speed import Took, averaged
from orchestrator.node.wire import Heartbeat

Health = Literal["alive", "suspect", "dead"]
Draw = Callable[[int], int]
"""A number from 0 up to below the given one, by chance."""
MOST_HEARD: Final = 400.0
"""Heartbeats that a node hears in a second, at most: what a small computer takes in with a tenth of one core."""
_ANSWERS: Final = ("ready", "cordoned")
HERE_FIRST_MS: Final = 20.0
"""How much sooner another node must be done for a request to leave the node that holds its agent."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, in seconds, until what is concluded. ``failures`` in a row put a node aside for ``aside`` x how often it was."""

    beat: float = 0.5
    suspect: float = 2.0
    dead: float = 10.0
    failures: int = 3
    aside: float = 2.0
    longest_aside: float = 60.0

    def of(self, nodes: int) -> Patience:
        """That of a fleet of so many nodes: all hear all, so that above 200 nodes each says less often that it lives, and all that
        follows from its silence comes later in proportion."""
        slower = max(1.0, nodes / self.beat / MOST_HEARD)
        return replace(self, beat=self.beat * slower, suspect=self.suspect * slower, dead=self.dead * slower)


@dataclass(slots=True)
class _Row:
    """What is known of a node. ``since``: from when on it has been alive and ready without a break; ``took``: by agent, as it
    says itself and as it was seen from here."""

    beat: Heartbeat
    heard: float
    since: float | None
    sent: int = 0  # requests of this node that it works on, and that its heartbeat may not count yet
    failures: int = 0
    ejections: int = 0
    ejected_until: float = 0.0
    took: dict[str, Took] = field(default_factory=dict)

    def note(self, took: Mapping[str, float], now: float) -> None:
        """News of how long it takes for some agents, in ms."""
        self.took |= {agent: averaged(self.took.get(agent), ms, now) for agent, ms in took.items()}


@dataclass(slots=True)
class Table:
    """The nodes that ``node`` has heard of, itself included."""

    node: str
    patience: Patience = field(default_factory=Patience)
    balanced: bool = True  # the less loaded takes a request; else the first by name that can
    since: float = 0.0  # when it began to listen: who was not heard yet may not have been there for long
    _rows: dict[str, _Row] = field(default_factory=dict)
    _usual: Patience = field(init=False)

    def __post_init__(self) -> None:
        self._usual = self.patience

    def fit(self, nodes: int) -> None:
        """The fleet has so many nodes."""
        self.patience = self._usual.of(nodes)

    # ---- what is heard -----------------------------------------------------------------------------------------

    def hear(self, beat: Heartbeat, now: float) -> bool:
        """Take a heartbeat in. False where it is older than what is known: of an earlier incarnation, or overtaken. A node that is
        dead may begin to count anew: it has left the fleet and joined again, or lost its disk."""
        row = self._rows.get(beat.node)
        if row is None:
            row = self._rows[beat.node] = _Row(beat, now, now if beat.state == "ready" else None)
            row.note(beat.took, now)
            return True
        older = (beat.epoch, beat.seq) <= (row.beat.epoch, row.beat.seq)
        if older and self.health(beat.node, now) != "dead":
            return False
        anew = older or beat.epoch != row.beat.epoch
        unbroken = not anew and now - row.heard < self.patience.suspect and row.since is not None
        row.since = (row.since if unbroken else now) if beat.state == "ready" else None
        if anew:
            row.sent = row.failures = row.ejections = 0
            row.ejected_until = 0.0
        row.beat, row.heard = beat, max(now, row.heard)
        row.note(beat.took, now)
        return True

    def forget(self, nodes: Iterable[str]) -> None:
        """Drop those that belong to the fleet no more."""
        for node in nodes:
            self._rows.pop(node, None)

    def sent(self, node: str) -> None:
        """A request goes to a node."""
        if row := self._rows.get(node):
            row.sent += 1

    def ended(self, node: str) -> None:
        """A request that went to a node is over, however."""
        if row := self._rows.get(node):
            row.sent = max(0, row.sent - 1)

    def succeeded(self, node: str, agent: str, seconds: float, now: float) -> None:
        """A node answered for an agent, after so long."""
        if row := self._rows.get(node):
            row.failures = row.ejections = 0
            row.note({agent: seconds * 1000}, now)

    def failed(self, node: str, now: float) -> None:
        """A node did not do what it should: it is put aside once that happened often enough in a row."""
        row = self._rows.get(node)
        if row is None:
            return
        row.failures += 1
        if row.failures >= self.patience.failures:
            row.failures = 0
            row.ejections += 1
            row.ejected_until = now + min(self.patience.aside * row.ejections, self.patience.longest_aside)

    # ---- what is concluded -------------------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[str, ...]:
        """All that were ever heard."""
        return tuple(self._rows)

    def health(self, node: str, now: float) -> Health:
        """What its silence means. One that was never heard is suspect at first."""
        row = self._rows.get(node)
        silent = now - row.heard if row else max(now - self.since, self.patience.suspect)
        return "alive" if silent < self.patience.suspect else "suspect" if silent < self.patience.dead else "dead"

    def beat(self, node: str) -> Heartbeat | None:
        """The last that a node said of itself."""
        row = self._rows.get(node)
        return row.beat if row else None

    def ready_for(self, node: str, now: float) -> float:
        """For how many seconds it has been alive and ready without a break; 0 where it is not."""
        row = self._rows.get(node)
        if row is None or row.since is None or self.health(node, now) != "alive":
            return 0.0
        return now - row.since

    @property
    def fence(self) -> int:
        """The highest epoch of a lease that any node has told of."""
        return max((row.beat.fence for row in self._rows.values()), default=0)

    def holders(self, agent: str, now: float) -> list[str]:
        """Nodes that answer for an agent now, in the order of their names."""
        return sorted(
            node
            for node, row in self._rows.items()
            if agent in row.beat.agents and row.beat.state in _ANSWERS and self.health(node, now) == "alive"
        )

    def told_to_hold(self, agent: str) -> set[str]:
        """Nodes that said last that they hold an agent, whether they are there or not."""
        return {node for node, row in self._rows.items() if agent in row.beat.agents}

    def drained(self, agent: str, now: float) -> list[str]:
        """Nodes that hold an agent and are there, but take nothing new."""
        return sorted(
            node
            for node, row in self._rows.items()
            if agent in row.beat.agents and row.beat.state == "draining" and self.health(node, now) == "alive"
        )

    def scores(self, agent: str, nodes: Iterable[str], now: float) -> dict[str, float]:
        """How long, in ms, a request for an agent would take on each of these nodes, about, in proportion to how full they are.
        Lower is better. An agent's own figures only: another agent of a node may be slow. What is known of a node fades towards
        what its quickest neighbour takes, so that it is tried again; where nothing is known of any with the agent, what each says
        of all its agents together counts."""
        return {node: _load(self._rows[node]) * ms for node, ms in self._took(agent, nodes, now).items()}

    def _took(self, agent: str, nodes: Iterable[str], now: float) -> dict[str, float]:
        rows = {node: self._rows[node] for node in nodes}
        best = min((row.took[agent].ms for row in rows.values() if agent in row.took), default=None)
        return {node: _took(row, agent, best, now) for node, row in rows.items()}

    def choose(
        self, agent: str, now: float, draw: Draw, *, gen: int = 0, without: frozenset[str] = frozenset()
    ) -> str | None:
        """The node that a request for an agent should go to, or ``None``. ``gen``: those that serve this generation of the manifest
        or a newer one are preferred. ``without``: those that were tried."""
        known = self.holders(agent, now)
        holders = [node for node in self._useful(known, now) if node not in without]
        if self.node in holders:
            if self._stays(agent, holders, now):
                return self.node
            if self._rows[self.node].beat.room <= 0:
                holders.remove(self.node)
        holders = [node for node in holders if self._rows[node].beat.gen >= gen] or holders
        holders = [node for node in holders if self._rows[node].beat.agents[agent]] or holders
        pair = _two_of(holders, draw) if self.balanced else holders[:1]
        scores = self.scores(agent, holders, now)
        return min(pair, key=scores.__getitem__, default=None)

    def _stays(self, agent: str, holders: Sequence[str], now: float) -> bool:
        """Whether a request that came to a holder is answered there: unless it is full, or another would be done clearly sooner."""
        if self._rows[self.node].beat.room <= 0:
            return len(holders) == 1
        if not self.balanced:
            return True
        took = self._took(agent, holders, now)
        # A free slot is as good as two.
        done = {node: max(1.0, _load(self._rows[node])) * ms for node, ms in took.items()}
        here = done.pop(self.node)
        return not done or here < min(done.values()) + HERE_FIRST_MS

    def _useful(self, holders: Sequence[str], now: float) -> list[str]:
        """Without those put aside: at most half of them, the worst first, and never all."""
        aside = [node for node in holders if self._rows[node].ejected_until > now]
        aside.sort(key=lambda node: self._rows[node].ejected_until, reverse=True)
        out = set(aside[: len(holders) // 2])
        return [node for node in holders if node not in out]


def _load(row: _Row) -> float:
    beat = row.beat
    return (max(beat.inflight + beat.queued, row.sent) + 1) / max(beat.slots, 1)


def _took(row: _Row, agent: str, best: float | None, now: float) -> float:
    if best is None:
        return row.beat.service_ms or 1.0
    known = row.took.get(agent)
    share = known.counts(now) if known else 0.0
    return share * (known.ms if known else 0.0) + (1 - share) * best


def _two_of(nodes: Sequence[str], draw: Draw) -> list[str]:
    if len(nodes) < 2:
        return list(nodes)
    first = draw(len(nodes))
    second = draw(len(nodes) - 1)
    return [nodes[first], nodes[second + (second >= first)]]
