"""Keeps a lease: the hands of :class:`Lease`, on a board that may be away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.errors import BusDown, Conflict
from orchestrator.node.answering import Tell
from orchestrator.node.bell import Bell, Sleep
from orchestrator.node.lease import LEAP, Lease, Write
from orchestrator.node.worker import Kept
from orchestrator.ports.bus import Board
from orchestrator.serve.clock import current_time

FENCE: Final = "fence"
LIFE: Final = "life"


class Lives:
    """What the life before this one held, where that is surely over: a process of this very machine since it was switched on, with
    this very folder, which one process alone can have. ``life`` tells such lives from all others; empty where nothing tells.
    Moments are those of the machine's clock, which goes on from life to life."""

    def __init__(self, kept: Kept, life: str) -> None:
        self._kept, self._life = kept, life
        self._held: dict[str, tuple[int, float]] = {}
        if life:
            self._held = _held_by(life, kept.load(LIFE))

    def before(self, key: str) -> tuple[int, float] | None:
        """The epoch that was held last under a key, and from when on."""
        return self._held.get(key)

    def note(self, key: str, epoch: int, begins: float) -> None:
        """This life holds it, from then on."""
        if self._life:
            self._held[key] = (epoch, begins)
            self._kept.save(LIFE, json.dumps({"life": self._life, "held": self._held}).encode())


def _held_by(life: str, written: bytes) -> dict[str, tuple[int, float]]:
    """What is written of this life; what is broken or of another one says nothing."""
    try:
        told = json.loads(written or b"{}")
        if told.get("life") != life:
            return {}
        return {str(key): (int(epoch), float(begins)) for key, (epoch, begins) in told["held"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


@dataclass(slots=True)
class Fences:
    """The highest epoch that this node knows of, over all leases. It is on the disk before anything is done under it."""

    kept: Kept
    highest: int = 0

    def __post_init__(self) -> None:
        self.highest = int(self.kept.load(FENCE) or b"0")

    def note(self, epoch: int) -> None:
        """One was heard of."""
        if epoch > self.highest:
            self.highest = epoch
            self.kept.save(FENCE, str(epoch).encode())


@dataclass(slots=True)
class Leasing:
    """One lease, under its ``key``. ``changed`` is called when it became ours, and when it is found to be ours no more."""

    lease: Lease
    key: str
    board: Board
    fences: Fences
    tell: Tell
    sleep: Sleep
    changed: Callable[[], None]
    lives: Lives
    bell: Bell = field(init=False)
    _was: bool = False

    def __post_init__(self) -> None:
        self.bell = Bell(self.sleep)
        self.lease.former = self.lives.before(self.key)

    @property
    def epoch(self) -> int | None:
        """Its epoch, where it is ours at this moment."""
        return self.lease.epoch if self.lease.holds(current_time()) and not self.overtaken else None

    @property
    def overtaken(self) -> bool:
        """Whether an epoch was heard of that is as far above ours as only a store that was deleted makes it: what was held under it
        may be this very lease, of which ours knew nothing. A higher epoch is taken before anything is done again."""
        return 0 < self.lease.epoch <= self.fences.highest - LEAP

    async def run(self) -> None:
        """Keep it, or try to get it, until cancelled."""
        while True:
            now = current_time()
            if now >= self.lease.due or (self.overtaken and self.lease.holds(now)):
                await self._turn(now)
                self._notice()
            now = current_time()
            moments = [self.lease.due, self.lease.begins, self.lease.until]
            await self.bell.wait(min((moment - now for moment in moments if moment > now), default=0.0))
            self._notice()

    async def give_back(self) -> None:
        """Let others have it at once, where the board can be reached."""
        write = self.lease.give_back(current_time())
        self._notice()
        if write is not None:
            try:
                await self.board.swap("lease", self.key, write.value, write.expected)
            except (BusDown, Conflict) as error:  # it runs out by itself
                self.tell("mesh.unsent", {"key": self.key, "error": error.message})

    async def _turn(self, now: float) -> None:
        lease = self.lease
        lease.seen = max(lease.seen, self.fences.highest)
        try:
            action = lease.next_action(now)
            if not isinstance(action, Write):
                write = lease.on_read(await self.board.read("lease", self.key), current_time())
                self.fences.note(lease.seen)
                if write is None:
                    return
                action = write
            sent = current_time()
            self.fences.note(action.epoch)
            entry = await self.board.swap("lease", self.key, action.value, action.expected)
            if lease.on_written(entry, action, sent):
                self.lives.note(self.key, lease.epoch, max(lease.begins, sent))
        except Conflict:
            lease.on_conflict(current_time())
        except BusDown:
            lease.on_down(current_time())

    def _notice(self) -> None:
        holds = self.lease.holds(current_time())
        if holds != self._was:
            self._was = holds
            self.tell("mesh.lease", {"key": self.key, "held": holds, "epoch": self.lease.epoch})
            self.changed()
