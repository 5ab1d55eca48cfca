"""Nodes that talk to each other in memory, under virtual time, through a net that can be broken in every way that a real one can.

It is as unfair as NATS: a letter reaches whoever listens at the moment when it arrives, once or not at all; what goes over a cut
link is lost, or comes late if the link is mended soon; a node that is frozen gets what its buffers hold when it thaws; the board
lies at the hub, and is reached by those who reach the hub. All chance comes from one seeded source, so that a run can be repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil
from random import Random
from typing import Final

import anyio

from orchestrator.ports.bus import ANYTHING, Letter, LetterTooLarge
from orchestrator.testing.sim_board import SimBoard, SimStore

HUB: Final = "hub"
"""The place of the board, for cuts and partitions."""
LATE: Final = 2.5
"""Seconds that a letter waits at a cut for the link to be mended (TCP sends it again); later it is lost."""
BUFFERED: Final = 3.5
"""Seconds after which the server drops a node that does not answer its pings."""
TICKS: Final = 1000
"""Letters arrive at whole parts of a second, so many: what arrives together costs one turn of the loop."""
MOST_ROUTES: Final = 4096
LARGEST: Final = 1024 * 1024
"""Bytes of the largest letter, as the fleet's servers are told."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How links behave: seconds that a letter is on its way (from, to), and the share of letters that are lost, come twice, or are
    overtaken."""

    quick: float = 0.0003
    slow: float = 0.002
    lost: float = 0.0
    twice: float = 0.0
    overtaken: float = 0.0


FAIR: Final = Weather()


@dataclass(eq=False, slots=True)
class _Mailbox:
    """One subscription."""

    owner: SimBus
    pattern: str
    letters: deque[Letter] = field(default_factory=deque)
    wake: anyio.Event = field(default_factory=anyio.Event)

    def put(self, letter: Letter) -> None:
        """A letter arrives."""
        self.letters.append(letter)
        self.wake.set()

    def __aiter__(self) -> AsyncIterator[Letter]:
        return self

    async def __anext__(self) -> Letter:
        while not self.letters or self.owner.frozen:
            if self.owner.frozen:
                await self.owner.thawed()
            else:
                self.wake = anyio.Event()
                await self.wake.wait()
        return self.letters.popleft()


def fits(pattern: str, subject: str) -> bool:
    """Whether a subject is one that a pattern means, as in ``ports/bus.py``."""
    wanted, words = pattern.split("."), subject.split(".")
    if wanted[-1] == ANYTHING:
        if len(words) < len(wanted):
            return False
        wanted, words = wanted[:-1], words[: len(wanted) - 1]
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in zip(wanted, words, strict=True))


@dataclass(eq=False, slots=True)
class SimBus:
    """One node's side of the net. ``alive`` ends with the node's process; what is left of it reaches nobody any more."""

    net: SimNet
    node: str
    alive: bool = True
    frozen_at: float | None = None
    thawed_at: float = float("-inf")
    _thaw: anyio.Event = field(default_factory=anyio.Event)

    @property
    def frozen(self) -> bool:
        """Whether its process stands still."""
        return self.frozen_at is not None

    @property
    def connected(self) -> bool:
        """Whether its way to the hub is open."""
        return self.net.reaches(self.node, HUB) and self.net.reaches(HUB, self.node)

    async def send(self, letter: Letter) -> None:
        """Hand a letter over."""
        if self.frozen:
            await self.thawed()
        if len(letter.body) + sum(len(name) + len(value) for name, value in letter.headers.items()) > LARGEST:
            raise LetterTooLarge(
                f"send to {letter.subject}: it is larger than one message may be", cure="send less at once"
            )
        if self.alive:
            self.net.carry(self, letter)

    @asynccontextmanager
    async def listen(self, pattern: str) -> AsyncIterator[AsyncIterator[Letter]]:
        """What comes to a subject."""
        box = _Mailbox(self, pattern)
        self.net.subscribe(box)
        try:
            yield box
        finally:
            self.net.unsubscribe(box)

    def inbox(self, name: str) -> str:
        """A subject that only this node listens to."""
        return f"_INBOX.{self.node.replace('.', '=')}.{name}"

    async def sleep(self, seconds: float) -> None:
        """As the process of the node sleeps: while it is frozen, no timer of it fires."""
        await anyio.sleep(seconds)
        if self.frozen:
            await self.thawed()

    async def thawed(self) -> None:
        """Return once the process goes on."""
        while self.frozen:
            await self._thaw.wait()

    def freeze(self, now: float) -> None:
        """As SIGSTOP."""
        if not self.frozen:
            self.frozen_at, self._thaw = now, anyio.Event()

    def thaw(self, now: float) -> None:
        """As SIGCONT."""
        self.frozen_at, self.thawed_at = None, now
        self._thaw.set()


@dataclass(eq=False, slots=True)
class SimNet:
    """The net, the hub and all that can happen to them. ``one_hub``: letters between nodes go through the hub; else (three
    hubs) they go between all that are on the same side of a partition, and the board is where the hub's name is."""

    random: Random
    one_hub: bool = True
    weather: Weather = FAIR
    store: SimStore = field(default_factory=SimStore)
    delivered: int = 0
    _nodes: dict[str, SimBus] = field(default_factory=dict)
    _boxes: list[_Mailbox] = field(default_factory=list)
    _routes: dict[str, list[_Mailbox]] = field(default_factory=dict)
    _cuts: set[tuple[str, str]] = field(default_factory=set)
    _sides: dict[str, int] = field(default_factory=dict)
    _hub_down: bool = False
    _due: list[tuple[float, int, _Mailbox, Letter]] = field(default_factory=list)
    _stuck: list[tuple[float, str, _Mailbox, Letter]] = field(default_factory=list)
    _last: dict[tuple[str, str], float] = field(default_factory=dict)
    _serial: int = 0
    _more: anyio.Event = field(default_factory=anyio.Event)

    # ---- who is there ------------------------------------------------------------------------------------------

    def join(self, node: str) -> tuple[SimBus, SimBoard]:
        """A process of a node starts; one that ran before is gone."""
        self.crash(node)
        bus = self._nodes[node] = SimBus(self, node)
        return bus, SimBoard(
            bus, self.store, self.random, lambda: self.reaches(node, HUB), lambda: self.reaches(HUB, node)
        )

    def crash(self, node: str) -> None:
        """As kill -9: nothing of it is sent or heard any more. Whoever started its tasks ends them."""
        bus = self._nodes.pop(node, None)
        if bus is not None:
            bus.alive = False
            for box in [box for box in self._boxes if box.owner is bus]:
                self.unsubscribe(box)

    def freeze(self, node: str) -> None:
        """As SIGSTOP of a node's process."""
        if node in self._nodes:
            self._nodes[node].freeze(anyio.current_time())

    def thaw(self, node: str) -> None:
        """As SIGCONT."""
        if node in self._nodes:
            self._nodes[node].thaw(anyio.current_time())

    # ---- the net -----------------------------------------------------------------------------------------------

    def cut(self, source: str, target: str) -> None:
        """Nothing goes that way any more; the other way is as it was."""
        self._cuts.add((source, target))

    def part(self, *sides: Iterable[str]) -> None:
        """Only those of one side reach each other. Who is on no side is alone."""
        self._sides = {name: number for number, side in enumerate(sides, 1) for name in side}

    def hub(self, *, down: bool) -> None:
        """The hub's process dies, or is there again."""
        self._hub_down = down
        if down:
            self.store.silence(anyio.current_time())
        else:
            self._go_on()

    def mend(self, source: str, target: str) -> None:
        """What was cut that way is as it should be."""
        self._cuts.discard((source, target))
        self._go_on()

    def heal(self) -> None:
        """All links are as they should be."""
        self._cuts.clear()
        self._sides.clear()
        self._hub_down = False
        self.weather = FAIR
        self._go_on()

    def _go_on(self) -> None:
        """Letters that wait where a way was shut come late where it is open again, or never."""
        now = anyio.current_time()
        waiting = [each for each in self._stuck if now - each[0] < LATE]
        self._stuck.clear()
        for at, source, box, letter in waiting:
            if self.reaches(source, box.owner.node):
                self._put(now + self.random.uniform(FAIR.quick, 0.2), box, letter)
            else:
                self._stuck.append((at, source, box, letter))

    def reaches(self, source: str, target: str) -> bool:
        """Whether what goes from one place arrives at another."""
        if source == target:
            return True
        if HUB in (source, target):
            return not self._hub_down and self._open(source, target)
        if self.one_hub:
            return (
                not self._hub_down
                and self._open(source, HUB)
                and self._open(HUB, target)
                and self._open(source, target)
            )
        return self._open(source, target)

    def _open(self, source: str, target: str) -> bool:
        if (source, target) in self._cuts:
            return False
        return not self._sides or (source in self._sides and self._sides[source] == self._sides.get(target))

    # ---- letters -----------------------------------------------------------------------------------------------

    def subscribe(self, box: _Mailbox) -> None:
        """Somebody listens."""
        self._boxes.append(box)
        self._routes.clear()

    def unsubscribe(self, box: _Mailbox) -> None:
        """And does not any more."""
        if box in self._boxes:
            self._boxes.remove(box)
            self._routes.clear()

    def carry(self, sender: SimBus, letter: Letter) -> None:
        """Take a letter on its way to all who listen."""
        boxes = self._routes.get(letter.subject)
        if boxes is None:
            if len(self._routes) > MOST_ROUTES:
                self._routes.clear()
            boxes = self._routes[letter.subject] = [box for box in self._boxes if fits(box.pattern, letter.subject)]
        for box in boxes:
            self._forward(sender.node, box, letter)

    def _forward(self, source: str, box: _Mailbox, letter: Letter) -> None:
        now, target = anyio.current_time(), box.owner.node
        if source == target:
            self._put(now, box, letter)
            return
        if not self.reaches(source, target):
            self._stuck.append((now, source, box, letter))
            return
        weather, random = self.weather, self.random
        if weather.lost and random.random() < weather.lost:
            return
        due = now + random.uniform(weather.quick, weather.slow)
        if weather.overtaken and random.random() < weather.overtaken:
            due += random.uniform(0, 0.1)
        else:
            due = max(due, self._last.get((source, target), 0.0))
            self._last[source, target] = due
        self._put(due, box, letter)
        if weather.twice and random.random() < weather.twice:
            self._put(due + random.uniform(0, 0.5), box, letter)

    def _put(self, due: float, box: _Mailbox, letter: Letter) -> None:
        self._serial += 1
        due = ceil(due * TICKS) / TICKS
        heappush(self._due, (due, self._serial, box, letter))
        if self._due[0][1] == self._serial:
            self._more.set()

    async def run(self) -> None:
        """Deliver for as long as it runs."""
        while True:
            now = anyio.current_time()
            while self._due and self._due[0][0] <= now:
                _, _, box, letter = heappop(self._due)
                self._deliver(box, letter, now)
            self._more = anyio.Event()
            with anyio.move_on_at(self._due[0][0]) if self._due else anyio.CancelScope():
                await self._more.wait()

    def _deliver(self, box: _Mailbox, letter: Letter, now: float) -> None:
        owner = box.owner
        if not owner.alive or (owner.frozen_at is not None and now - owner.frozen_at > BUFFERED):
            return
        self.delivered += 1
        box.put(letter)
