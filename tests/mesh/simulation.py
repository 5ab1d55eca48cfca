"""A fleet lives for a minute of virtual time, and everything goes wrong with it; then its journals are read.

What goes wrong, when, and to whom is drawn from one seed, so that a run that shows a fault can be repeated:
``python -m tests.mesh.simulation --seeds 417`` (``--seeds 0-499`` for many, ``--nodes 50 --agents 200`` for large ones).
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import anyio
import trio
from trio.testing import MockClock

from orchestrator.core.blueprint import Blueprint, Element
from orchestrator.core.errors import RunError
from orchestrator.node.asking import Answer
from orchestrator.node.desired import Desired
from orchestrator.ports.bus import Letter
from orchestrator.testing.sim_bus import HUB, SimNet, Weather
from tests.mesh.invariants import wrong_effects
from tests.mesh.sim import SUBJECTS, Fleet, agent, blueprint, request
from tests.mesh.updates import HEALTH_GATE, UPDATES, Update

SECONDS: Final = 60.0
FIRST_FAULT, LAST_FAULT = 8.0, 33.0
STEADY: Final = 59.0
"""When all must be as the manifest says: the longest that a mended fleet takes is a lease that ran out, a node that was dead, and
one that must be ready for 10 s."""
PATIENCE: Final = 15.0
OUT_OF_ROUTING: Final = 2.5
THAWING: Final = 0.01
"""Seconds after which nothing may be sent to a node that died or stands still."""


@dataclass
class Asked:
    """A request, and how it ended: an answer, an error, or its own node died with it (``gone``)."""

    id: str
    node: str
    agent: str
    at: float
    streamed: bool
    pieces: list[str] = field(default_factory=list)
    ends: list[Answer | RunError | str] = field(default_factory=list)


@dataclass
class Journal:
    """What was seen from outside of all nodes."""

    asked: list[Asked] = field(default_factory=list)
    down_since: dict[str, float] = field(default_factory=dict)
    mended: float = 0.0
    faults: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    letters: int = 0
    rolled: str = ""  # what came of an update: "over", or why it was taken back

    def blame(self, why: str) -> None:
        self.wrong.append(f"{anyio.current_time():.3f}: {why}")

    def fault(self, what: str) -> None:
        self.faults.append(f"{anyio.current_time():.3f} {what}")


class WatchedNet(SimNet):
    """A net that notes who sends requests to the dead."""

    journal: Journal

    def carry(self, sender: Any, letter: Letter) -> None:
        if ".call." in letter.subject:
            target = letter.subject.split(".")[4]
            since = self.journal.down_since.get(target)
            now = anyio.current_time()
            just_thawed = now - sender.thawed_at < THAWING  # it was chosen before the sender stood still
            if since is not None and now - max(since, self.journal.mended) > OUT_OF_ROUTING and not just_thawed:
                self.journal.blame(f"{sender.node} sent a request to {target}, which is down since {since:.3f}")
        super().carry(sender, letter)


@dataclass(frozen=True)
class Scale:
    """How large a fleet is drawn; 0: by chance from 3 to 5 nodes."""

    nodes: int = 0
    agents: int = 0
    pause: float = 1.5  # seconds between two requests of a node, on average


class Simulation:
    """One run of one seed."""

    def __init__(self, seed: int, scale: Scale = Scale()) -> None:
        self.seed, self.scale = seed, scale
        self.random = Random(seed)
        self.journal = Journal()
        self.names = [f"n{number}" for number in range(scale.nodes or self.random.randint(3, 5))]
        self.blueprint = self._drawn()
        self.agents = [one.spec["name"] for one in self.blueprint.elements.values()]
        self.update = Update.drawn(seed, self.names) if seed % UPDATES == 0 and not scale.nodes else None

    def _drawn(self) -> Blueprint:
        """What the fleet begins with."""
        return self._manifest(self.scale.agents or len(self.names) + self.random.randint(0, 3))

    def _manifest(self, count: int, moved: int = 0) -> Blueprint:
        """Each node has agents of its own; some are exclusive, some on two nodes, some at home nowhere. In another manifest they
        have ``moved`` by so many nodes."""
        homes: dict[str, list[Element]] = {name: [] for name in self.names}
        floating: list[Element] = []
        for number in range(count):
            more = {"exclusive": True} if number % 3 == 1 else {"replicas": 2} if number % 5 == 3 else {}
            one = agent(f"agent-{number}", **more)
            if number % 7 == 6:
                floating.append(one)
            else:
                homes[self.names[(number + moved) % len(self.names)]].append(one)
        return blueprint(homes, *floating, health_gate=HEALTH_GATE)

    # ---- the minute --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            net = WatchedNet(self.random, one_hub=self.random.random() < 0.5)
            net.journal = self.journal
            self.fleet = Fleet(net, self.random, group)
            group.start_soon(net.run)
            for name in self.names:
                await self._start(name)
            await self.fleet.apply(1, self.blueprint)
            if self.update is not None:
                group.start_soon(self._update, self.update)
            for _ in range(2):
                group.start_soon(self._break_things)  # two faults at once, as they come
            await anyio.sleep(STEADY - 3)
            self._take_what_is_wanted()
            self._check_steady()
            await self._ask_everything()
            await anyio.sleep(max(0.0, SECONDS - anyio.current_time()))
            self._check_ends()
            self._check_effects()
            self.journal.letters = net.delivered
            group.cancel_scope.cancel()

    async def _start(self, name: str) -> None:
        node = await self.fleet.start(name)
        node.worker.work = self.random.choice([0.1, 0.4, 1.0, 2.5])
        if self.update is not None:
            node.worker.warming = self.update.warming
            node.worker.refuses = frozenset({2} if self.update.refuses == name else ())
            node.worker.ill = frozenset({2} if self.update.ill == name else ())
        self.journal.down_since.pop(name, None)
        self.fleet.group.start_soon(self._ask_now_and_then, name)

    async def _ask_now_and_then(self, name: str) -> None:
        """Requests that come to a node, for as long as this life of it lasts."""
        node = self.fleet.nodes[name]
        while self.fleet.nodes.get(name) is node and anyio.current_time() < STEADY - PATIENCE:
            await anyio.sleep(self.random.expovariate(1 / self.scale.pause))
            if self.fleet.nodes.get(name) is not node or anyio.current_time() > STEADY - PATIENCE:
                return
            if not node.bus.frozen:  # a process that stands still accepts nothing
                asked = self._asked(name, self.random.choice(self.agents))
                self.fleet.group.start_soon(self._ask, node, asked)

    def _asked(self, node: str, agent: str) -> Asked:
        number = len(self.journal.asked)
        asked = Asked(f"r{number}", node, agent, anyio.current_time(), self.random.random() < 0.5)
        self.journal.asked.append(asked)
        return asked

    async def _ask(self, node: Any, asked: Asked) -> None:
        async def pass_on(text: str) -> None:
            asked.pieces.append(text)

        with anyio.CancelScope() as scope:
            node.asking.add(scope)
            try:
                wanted = request(id=asked.id, timeout=PATIENCE)
                answer = await node.mesh.ask(wanted, asked.agent, pass_on if asked.streamed else None)
                asked.ends.append(answer)
            except RunError as error:
                asked.ends.append(error)
            finally:
                node.asking.discard(scope)
        if scope.cancelled_caught:
            asked.ends.append("gone")

    # ---- an update ---------------------------------------------------------------------------------------------

    async def _update(self, update: Update) -> None:
        """Another manifest, while all else goes wrong too."""
        await anyio.sleep(update.at)
        self.journal.fault(f"another manifest: {update}")
        await self.fleet.update(self._manifest(len(self.agents) + update.more, update.moved))

    def _take_what_is_wanted(self) -> None:
        """What came of the update: all nodes serve it or what it was before, and which of them is no matter of chance where nothing
        but the update was wrong."""
        entry = self.fleet.net.store.read("desired", SUBJECTS.manifest)
        if entry is None or not entry.value:
            self.journal.blame("no manifest is on the board")
            return
        wanted = Desired.read(entry.value)
        self.blueprint = Blueprint.from_json(wanted.blueprint)
        self.agents = [one.spec["name"] for one in self.blueprint.elements.values()]
        served = {name: node.mesh.member.generation for name, node in self.fleet.nodes.items()}
        able = {name: at for name, at in served.items() if not self.fleet.nodes[name].mesh.member.fault}
        if set(able.values()) != {wanted.generation}:
            self.journal.blame(f"nodes serve {served}, and generation {wanted.generation} is wanted ({wanted.why})")
        if wanted.generation == 3 and wanted.undone != 2:
            self.journal.blame(f"generation 3 takes back {wanted.undone}")
        self.journal.rolled = wanted.why or ("over" if wanted.generation == 2 else "")

    # ---- faults ------------------------------------------------------------------------------------------------

    async def _break_things(self) -> None:
        await anyio.sleep(FIRST_FAULT)
        while anyio.current_time() < LAST_FAULT - 1:
            await anyio.sleep(self.random.uniform(0, 5))
            lasts = min(self.random.choice([0.5, 1.5, 3.0, 7.0, 14.0, 22.0]), LAST_FAULT - anyio.current_time())
            if lasts > 0:
                await self.random.choice(FAULTS)(self, lasts)

    async def _crash(self, lasts: float) -> None:
        name = self.random.choice(self.names)
        if name in self.journal.down_since:
            return
        self.journal.fault(f"kill -9 {name} for {lasts:.1f} s")
        self._down(name)
        self.fleet.crash(name)
        await anyio.sleep(lasts)
        await self._start(name)

    async def _freeze(self, lasts: float) -> None:
        name = self.random.choice(self.names)
        if name in self.journal.down_since:
            return
        self.journal.fault(f"SIGSTOP {name} for {lasts:.1f} s")
        self._down(name)
        self.fleet.net.freeze(name)
        await anyio.sleep(lasts)
        self.journal.down_since.pop(name, None)
        self.fleet.net.thaw(name)

    async def _flap(self, lasts: float) -> None:
        name = self.random.choice(self.names)
        self.journal.fault(f"{name} flaps for {lasts:.1f} s")
        until = anyio.current_time() + lasts
        while anyio.current_time() < until:
            self.fleet.net.part([name], [HUB, *(other for other in self.names if other != name)])
            await anyio.sleep(self.random.uniform(0.1, 2))
            self._heal()
            await anyio.sleep(self.random.uniform(0.1, 2))

    async def _cut(self, lasts: float) -> None:
        ends = [self.random.choice(self.names), self.random.choice([HUB, *self.names])]
        self.random.shuffle(ends)
        if ends[0] != ends[1]:
            self.journal.fault(f"nothing from {ends[0]} to {ends[1]} for {lasts:.1f} s")
            self.fleet.net.cut(*ends)
            await anyio.sleep(lasts)
            self._heal()

    async def _part(self, lasts: float) -> None:
        mixed = self.random.sample(self.names, len(self.names))
        at = self.random.randint(1, len(mixed) - 1)
        sides = [mixed[:at], [*mixed[at:], HUB]]
        self.journal.fault(f"parted into {sides} for {lasts:.1f} s")
        self.fleet.net.part(*sides)
        await anyio.sleep(lasts)
        self._heal()

    async def _hub(self, lasts: float) -> None:
        wiped = self.random.random() < 0.3
        self.journal.fault(f"the hub is killed for {lasts:.1f} s" + (", and its store is deleted" if wiped else ""))
        self.fleet.net.hub(down=True)
        if wiped:
            self.fleet.net.store.wipe()
        await anyio.sleep(lasts)
        self._heal()

    async def _wipe(self, lasts: float) -> None:
        self.journal.fault("the store is deleted")
        self.fleet.net.store.wipe()
        await anyio.sleep(lasts)

    async def _storm(self, lasts: float) -> None:
        draw = self.random.random
        weather = Weather(0.001, 0.05, 0.2 * draw(), 0.2 * draw(), 0.5 * draw())
        self.journal.fault(f"{weather} for {lasts:.1f} s")
        self.fleet.net.weather = weather
        await anyio.sleep(lasts)
        self._heal()

    def _down(self, name: str) -> None:
        self.journal.down_since[name] = anyio.current_time()

    def _heal(self) -> None:
        self.fleet.net.heal()
        self.journal.mended = anyio.current_time()

    # ---- what must hold ----------------------------------------------------------------------------------------

    def _check_steady(self) -> None:
        """Long after the last fault all is as the manifest says."""
        blame = self.journal.blame
        meshes = {name: node.mesh for name, node in self.fleet.nodes.items()}
        leaders = [name for name, mesh in meshes.items() if mesh.leading.epoch is not None]
        if len(leaders) != 1:
            blame(f"{leaders} lead")
        assigned = {str(mesh.member.assigned) for mesh in meshes.values()}
        if len(assigned) != 1:
            blame(f"nodes know {len(assigned)} different assignments")
        first = next(iter(meshes.values())).member.assigned
        if first is None:
            blame("nothing is assigned")
            return
        homes = {one: node["name"] for node in self.blueprint.nodes for one in node["agents"]}
        for name, home in homes.items():
            away = self.fleet.nodes[home].mesh.member.fault
            if not away and home not in [place.node for place in first.assignment.places.get(name, ())]:
                blame(f"{name} is at {first.assignment.places.get(name)}, and its home is {home}")
        for node, mesh in meshes.items():
            holds, wanted = sorted(mesh.site.worker.load().agents), sorted(first.assignment.on(node))
            if holds != wanted and not mesh.member.fault:
                blame(f"{node} holds {holds}, and is to hold {wanted}")

    async def _ask_everything(self) -> None:
        """Each node gives a request to each agent, and all are answered."""
        final = [self._asked(node, name) for node in self.fleet.nodes for name in self._sample()]
        async with anyio.create_task_group() as group:
            for asked in final:
                group.start_soon(self._ask, self.fleet.nodes[asked.node], asked)
        for asked in final:
            if not asked.ends or not isinstance(asked.ends[0], Answer):
                self.journal.blame(f"{asked.agent} did not answer {asked.node} in the end: {asked.ends}")

    def _sample(self) -> Sequence[str]:
        return self.agents if len(self.agents) <= 10 else self.random.sample(self.agents, 3)

    def _check_ends(self) -> None:
        """Each request ended once, and what was passed on is one answer."""
        for asked in self.journal.asked:
            if len(asked.ends) != 1:
                self.journal.blame(f"{asked.id} ended {len(asked.ends)} times: {asked.ends}")
                continue
            [end] = asked.ends
            runs = {piece.split("/")[0] for piece in asked.pieces}
            numbers = [int(piece.split("/")[1]) for piece in asked.pieces]
            if len(runs) > 1 or numbers != list(range(len(numbers))):
                self.journal.blame(f"{asked.id} was given {asked.pieces}")
            if isinstance(end, Answer) and asked.streamed and (runs != {end.result.text} or len(numbers) != 3):
                self.journal.blame(f"{asked.id} was given {asked.pieces} of {end.result.text}")
            if isinstance(end, Answer) and end.result.id != asked.id:
                self.journal.blame(f"{asked.id} got the answer of {end.result.id}")

    def _check_effects(self) -> None:
        """Of an exclusive agent, each epoch is one node's, and no older one does anything after a newer one."""
        exclusive = {one.spec["name"] for one in self.blueprint.elements.values() if one.spec.get("exclusive")}
        for why in wrong_effects(self.fleet.effects, exclusive):
            self.journal.blame(why)


FAULTS: Final = (
    Simulation._crash,
    Simulation._crash,
    Simulation._freeze,
    Simulation._flap,
    Simulation._cut,
    Simulation._part,
    Simulation._part,
    Simulation._hub,
    Simulation._wipe,
    Simulation._storm,
)


@dataclass(frozen=True)
class Outcome:
    """What came of a seed."""

    seed: int
    wrong: tuple[str, ...]
    faults: tuple[str, ...]
    ends: dict[str, int]
    letters: int
    wall: float
    rolled: str = ""


def simulate(seed: int, scale: Scale = Scale()) -> Outcome:
    """Live through a seed. Two times give the same."""
    begun = time.perf_counter()
    in_order()
    simulation = Simulation(seed, scale)
    journal = simulation.journal
    trio._core._run._r.seed(seed)
    try:
        anyio.run(simulation.run, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
    except Exception as error:  # noqa: BLE001 - whatever breaks in the code under test is a finding of this seed like any other
        journal.wrong.extend(traceback.format_exception(error))
    ends = Counter(type(end).__name__ if not isinstance(end, str) else end for one in journal.asked for end in one.ends)
    wall = time.perf_counter() - begun
    wrong, faults = tuple(journal.wrong), tuple(journal.faults)
    return Outcome(seed, wrong, faults, dict(ends), journal.letters, wall, journal.rolled)


def in_order() -> None:
    """trio runs tasks that are ready in an order of chance, which its own tests can seed: there is no public way."""
    vars(trio._core._run)["_ALLOW_DETERMINISTIC_SCHEDULING"] = True


def told(outcome: Outcome, scale: Scale = Scale()) -> str:
    """What a person needs to look into a seed that went wrong."""
    more = f" --nodes {scale.nodes} --agents {scale.agents}" if scale.nodes else ""
    again = f"python -m tests.mesh.simulation --seeds {outcome.seed}{more}"
    return "\n".join([f"seed {outcome.seed}; again: {again}", *outcome.faults, "wrong:", *outcome.wrong])


def seeds_in(text: str) -> Iterable[int]:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main(arguments: Sequence[str]) -> int:
    """Many seeds, and the figures of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-499")
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--agents", type=int, default=0)
    given = parser.parse_args(arguments)
    scale = Scale(given.nodes, given.agents, 1.5 if not given.nodes else 15.0)
    failed, ends, rolled, letters, begun = 0, Counter[str](), Counter[str](), 0, time.perf_counter()
    count = 0
    for seed in seeds_in(given.seeds):
        outcome = simulate(seed, scale)
        count += 1
        ends.update(outcome.ends)
        rolled["over" if outcome.rolled == "over" else "taken back" if outcome.rolled else "no update"] += 1
        letters += outcome.letters
        if outcome.wrong:
            failed += 1
            sys.stderr.write(told(outcome, scale) + "\n")
    wall = time.perf_counter() - begun
    each = f"{wall:.1f} s ({wall / count:.2f} s each)"
    sys.stdout.write(f"{count} seeds, {failed} wrong, {each}, {letters} letters, {dict(ends)}, {dict(rolled)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
