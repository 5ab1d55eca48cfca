"""A lease: at most one node holds it, and who held it before knows in time that it does not any more. Pure.

The holder writes its entry anew every 2 s. Another node may take it once the entry has not changed for 6 s by *its own* clock, or
where the store says that it has expired. The holder counts from the moment when it *sent* the last write that succeeded, and after
4.5 s holds nothing any more: between the two lie 1.5 s, which is room for clocks of which one runs a third faster than the other.
A process that was frozen looks at its clock before each effect, and finds that its time is over.

Each new holding has a higher epoch, which goes with everything that is done under it: who has seen a higher one refuses it. A store
that was deleted has forgotten the epochs, and who looks twice and finds nothing does not know what was there in between. So who
writes a lease where there is none counts it as held only 6 s later, when whoever held it before has given up; and its epoch is far
above all that were heard of. A node that has heard of none, also not by heartbeats, is in a new fleet and waits for a moment only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from orchestrator.ports.bus import Entry

LEAP: Final = 1000
"""By how much an epoch rises where the store has forgotten the last one: more holders than that are never missed."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds: after ``ttl`` without a change another node may take it, it is renewed every ``renew``, and after ``fence`` without
    a renewal the holder gives up. ``fence`` is below ``ttl``, or two could hold it at once. ``fresh``: after how
    long a lease that was not there counts as held, for a node that has not heard of any epoch: a new fleet."""

    ttl: float = 6.0
    renew: float = 2.0
    fence: float = 4.5
    fresh: float = 1.5

    @classmethod
    def of(cls, ttl: float) -> Terms:
        """For a `coordination.lease` of the manifest: in the same proportions."""
        return cls(ttl, ttl / 3, ttl * 0.75, ttl / 4)


USUAL: Final = Terms()
NOBODY: Final = ""
"""The holder of a lease that was given back."""
STORE_SECONDS: Final = 6.0
"""After so long without a change a store may let an entry expire by itself, whatever its term is."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What the entry says: who holds it, which incarnation of that node, in which epoch, and for how long others must wait."""

    node: str
    run: int
    epoch: int
    ttl: float = USUAL.ttl

    def written(self) -> bytes:
        """As it is in the store."""
        return json.dumps({"node": self.node, "run": self.run, "epoch": self.epoch, "ttl": self.ttl}).encode()


@dataclass(frozen=True, slots=True)
class Read:
    """Look at the entry."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write the entry, if its revision is still ``expected``."""

    value: bytes
    expected: int
    epoch: int
    grace: float = 0.0  # seconds after which it counts as held


Action = Read | Write


@dataclass(slots=True)
class Lease:
    """One node's side of a lease. Its driver carries out ``next_action`` at ``due``, and tells what came of it. ``seen`` is
    the highest epoch of any lease that this node knows of."""

    node: str
    run: int
    terms: Terms = USUAL
    seen: int = 0
    epoch: int = 0
    due: float = 0.0
    holder: str = ""
    former: tuple[int, float] | None = None
    """The epoch that an earlier life of this node held, which is known to be over, and from when on it held it."""
    _longest: float = 0.0  # the longest term that was heard of: who held it last may have had that
    _until: float = float("-inf")
    _from: float = float("-inf")
    _revision: int | None = None  # of our own entry, where we wrote the last one
    _watched: tuple[int, bytes] | None = None  # the revision and value that stand there as far as we know
    _since: float = 0.0  # since when they do

    def holds(self, now: float) -> bool:
        """Whether it is ours at this moment."""
        return self._from <= now < self._until

    @property
    def begins(self) -> float:
        """From when on it is ours, where it was written and may not be counted as held yet."""
        return self._from

    @property
    def until(self) -> float:
        """When it will not be ours any more, unless it is renewed."""
        return self._until

    def next_action(self, now: float) -> Action:
        """What to do now: ask after ``due``."""
        if self._revision is not None and now < self._until:
            epoch = (
                self.epoch if self.seen < self.epoch + LEAP else self.seen + 1
            )  # above what a deleted store has hidden
            return Write(self._value(epoch), self._revision, epoch)
        return Read()

    def on_read(self, entry: Entry | None, now: float) -> Write | None:
        """What is to be written after a look at the entry, if anything."""
        self.due = now + self.terms.renew
        stands = (entry.revision, entry.value) if entry is not None else (0, b"")
        if stands != self._watched:
            self._watched, self._since = stands, now
        held = holding_in(stands[1])
        self.holder = held.node if held else ""
        if held is not None:
            self.seen, self._longest = max(self.seen, held.epoch), max(self._longest, held.ttl)
        patience = max(self.terms.ttl, self._longest)
        if held is not None and (held.node, held.run) == (self.node, self.run) and held.epoch == self.epoch:
            return Write(self._value(self.epoch), stands[0], self.epoch)  # a write of ours of which we heard nothing
        if entry is not None and (not entry.value or (held is not None and held.node == NOBODY)):
            # Given back; or the store says that it has expired, and may be in more of a hurry than its holder.
            return self._take(entry.revision, 0.0 if held else max(0.0, patience - STORE_SECONDS))
        if held is not None and held.node == self.node:  # of an earlier life, or of a write of which nothing was heard
            return self._take(stands[0], self._after_own(held.epoch, now, patience))
        if entry is None:
            return self._take(0, patience if self.seen else self.terms.fresh, LEAP if self.seen else 1)
        waits = held.ttl if held is not None else patience
        if now - self._since >= waits:
            return self._take(stands[0])
        self.due = min(self.due, self._since + waits)
        return None

    def _after_own(self, epoch: int, now: float, patience: float) -> float:
        """Seconds until what an earlier life of this node held is surely held by nobody. It may itself have waited for the end of
        another node's, and it may live still, in a copy of this node: then as long as any other node would wait."""
        if self.former is None or self.former[0] != epoch:
            return patience
        return max(0.0, self.former[1] - now)

    def on_written(self, entry: Entry, write: Write, sent: float) -> bool:
        """Our write stands; ``sent`` is when it was sent. True where the lease was not ours before."""
        anew = write.epoch != self.epoch
        self.epoch, self.seen = write.epoch, max(self.seen, write.epoch)
        self.holder = self.node
        self._revision = entry.revision
        self._watched, self._since = (entry.revision, entry.value), sent
        self._until = sent + self.terms.fence
        if anew:
            self._from = sent + write.grace if write.grace else float("-inf")
        self.due = sent + self.terms.renew
        return anew

    def on_conflict(self, now: float) -> None:
        """Somebody else has written it: it is not ours."""
        self._revision, self._until = None, float("-inf")
        self.due = now

    def on_down(self, now: float) -> None:
        """The board did not answer: it may have been written all the same. What we hold runs out by itself."""
        self._revision = None
        self.due = now + self.terms.renew / 4

    def give_back(self, now: float) -> Write | None:
        """Where it is ours: the write that lets others take it at once. It is not ours from this moment on. It says the epoch
        still: who takes it may have stood still, and not have heard of that. Where its time is over nothing may be written: after
        a store was deleted, our revision may be that of somebody else's entry."""
        revision = self._revision if self.holds(now) else None
        self._revision, self._until = None, float("-inf")
        free = Holding(NOBODY, 0, self.epoch, self.terms.ttl).written()
        return Write(free, revision, self.epoch) if revision is not None else None

    def _take(self, revision: int, grace: float = 0.0, step: int = 1) -> Write:
        epoch = self.seen + step
        return Write(self._value(epoch), revision, epoch, grace)

    def _value(self, epoch: int) -> bytes:
        return Holding(self.node, self.run, epoch, self.terms.ttl).written()


def holding_in(value: bytes) -> Holding | None:
    """Who holds it; what is broken is nobody's, and is taken after the same time as any other."""
    try:
        written = json.loads(value)
        ttl = float(written.get("ttl", USUAL.ttl))
        return Holding(str(written["node"]), int(written["run"]), int(written["epoch"]), ttl)
    except (ValueError, KeyError, TypeError):
        return None
