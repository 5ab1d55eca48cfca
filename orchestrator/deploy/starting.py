"""Between what is desired and the servers that we start: what each would be, which are begun, waited for and ended.

Steps that start servers come before all others. An apply waits for them outside the owner's inbox, as a model may take
minutes to load and others are served meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Final

import anyio
import anyio.to_thread

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, OrchestratorError
from orchestrator.core.event import Event
from orchestrator.deploy.alongside import Callers
from orchestrator.deploy.begun import Rotation, server_steps
from orchestrator.deploy.demand import Demand, Load
from orchestrator.deploy.prospects import Looked, as_needed, is_there, look_at, most_of, server_names, wants_of
from orchestrator.deploy.seen_through import BEGUN, see_through, tell_begun
from orchestrator.deploy.server_records import ServerWant
from orchestrator.deploy.servers import Servers
from orchestrator.deploy.supervisor_rules import END_SECONDS
from orchestrator.deploy.telling import Tell
from orchestrator.deploy.turns import ALL_FIT, Shares, gone_first, in_order, is_leaving
from orchestrator.deploy.wanted import Wanted
from orchestrator.deploy.yard import Yard
from orchestrator.plan import operation as op
from orchestrator.plan.budgets import held_budget
from orchestrator.plan.generations import (
    Berth,
    berth_of,
    crowded_out,
    instances_of,
    one_more,
    processes_of,
    server_of,
    takes_over,
)
from orchestrator.plan.observed import Prospect, StartedServer, server_name
from orchestrator.plan.plan import Plan
from orchestrator.plan.servers import ends_first
from orchestrator.plan.started import Neighbours, fitted
from orchestrator.plan.turns import may_rest
from orchestrator.ports.device import Device

LoadAt = Callable[[Collection[str]], tuple[int, int]]
"""Calls that servers at these root URLs work on or that wait for them, and the slots that they have."""
ANEW: Final = ", its server is started again"
ADOPTED_WITHIN: Final = 2.0
"""Seconds that servers which were taken over have to show that they answer, before anything is planned without them."""


class Starting:
    """Owned by the reconciler. ``on_change`` hears that a server became ready or was given up; ``device`` is what was last
    seen of this machine."""

    def __init__(
        self,
        yard: Yard | None,
        emit: Callable[[Event], None],
        on_change: Callable[[str], None],
        device: Callable[[], Device | None],
        callers: Callers,
    ) -> None:
        self.servers = Servers(yard, emit, on_change)
        self.servers.works = callers.works_at
        self.rotations: dict[str, Rotation] = {}
        """By deployment: the latest apply wins."""
        self._yard = yard
        self._device = device
        self._use_of = callers.use_of
        self._looked: dict[str, dict[str, list[Looked]]] = {}
        """By the digest of the blueprint, and by the server's name."""
        self._stamps: dict[str, dict[str, str]] = {}
        """Of model files, by server and path, as they were at the last apply: one that is being written is not picked up before
        the next one."""
        self._blueprints: list[Blueprint] = []
        self._on_change = on_change
        self._shares = ALL_FIT
        self._turning: frozenset[str] = frozenset()
        self._unread: Collection[str] = ()
        self._meeting = False
        self.demand = Demand()

    # -- looking ----------------------------------------------------------------------------------------------------

    def observed(self) -> dict[str, StartedServer]:
        """Every process of a server, by its name, with who uses it."""
        return {
            name: replace(each, use=self._use_of(name.partition("/")[0], each.url))
            for name, each in self.servers.observed().items()
        }

    async def look(self, blueprints: Iterable[Blueprint], fresh: Blueprint | None = None) -> None:
        """What starting each wanted server would be now: a program may have come or gone since. Only for a ``fresh`` blueprint,
        which comes on top, are model files looked at anew, where they are there."""
        self._blueprints = [*blueprints, *([fresh] if fresh else [])]
        looked: dict[str, dict[str, list[Looked]]] = {}
        for blueprint in self._blueprints:
            wants = self._wants(blueprint)
            looked[blueprint.digest] = {want.name: await self._look_at(want, anew=blueprint is fresh) for want in wants}
        self._looked = looked
        if not self._meeting:
            self.servers.start_soon(self._meet_again)

    async def meet(self, *blueprints: Blueprint) -> bool:
        """Have the programs of their servers say what they can do, and wait for it; tells whether any said something new. Not for
        the owner: a program may take long."""
        kinds = {want.kind for blueprint in blueprints for want in self._wants(blueprint)}
        news: set[str] = set()

        async def ask(meet: Callable[[str], bool], kind: str) -> None:
            with suppress(OrchestratorError):  # no such launcher: looking at the server tells it
                if await anyio.to_thread.run_sync(meet, kind, abandon_on_cancel=True):
                    news.add(kind)

        async with anyio.create_task_group() as tasks:
            if self._yard is not None:
                for kind in kinds:
                    tasks.start_soon(ask, self._yard.meet, kind)
        return bool(news)

    async def _meet_again(self) -> None:
        """A program may have come, gone or become another one; where that is so, it is looked at once more."""
        self._meeting = True
        try:
            news = await self.meet(*self._blueprints)
        finally:
            self._meeting = False
        if news:
            self._on_change("")

    async def _look_at(self, want: ServerWant, *, anew: bool) -> list[Looked]:
        yard, stamps = self._yard, self._stamps.get(want.name, {})
        if yard is None:
            return []

        def look() -> list[Looked]:
            held = {path: stamp for path, stamp in stamps.items() if not (anew and is_there(path))}
            return look_at(as_needed(want, yard.usual), yard.glance, yard.program(want.kind), held)

        return await anyio.to_thread.run_sync(look)

    def prospects(self, blueprint: Blueprint) -> dict[str, Prospect]:
        """What was found for a blueprint, by the server's name: with the build that fits beside all servers that run, or why
        none does."""
        looked = self._looked.get(blueprint.digest, {})
        startables = {name: [each.startable for each in found] for name, found in looked.items()}
        others = {other.name: other for other in self._blueprints if other.name != blueprint.name}
        wished = {name: self.demand.wished(name) for name in startables}
        around = Neighbours(self.observed(), tuple(others.values()), self._device(), wished)
        return fitted(blueprint, startables, around) if startables else {}

    def held(self, bound: Collection[str]) -> tuple[int, bool]:
        """Bytes that servers take which were started, but for processes that are ``bound`` as models which rest, and whether one
        claims room for its first token."""
        return self._shares.held(self.servers.supervisor.wards, bound)

    def turning(self) -> frozenset[str]:
        """Servers that take turns in memory."""
        return self._turning

    def wake(self, names: Collection[str]) -> None:
        """These must not rest."""
        self.servers.wake(names)

    # -- starting ---------------------------------------------------------------------------------------------------

    async def restore(self, blueprints: Iterable[Blueprint] = ()) -> None:
        """Take over what an earlier life of this process left running, for what is desired."""
        await self.servers.restore()
        with anyio.move_on_after(ADOPTED_WITHIN):
            await self.meet(*blueprints)
            for name in list(self.servers.observed()):
                await self.servers.settled(name)
        ready = {name for name, each in self.servers.observed().items() if each.state == "ready"}
        for want in sorted(
            self.servers.wants(), key=lambda each: each.name in ready
        ):  # what is ready has the last word
            self._freeze(want)
        for (server, _), count in Counter((server_of(each.name), each.digest) for each in self.servers.wants()).items():
            self.demand.begin(server, max(count, self.demand.wished(server)))

    def feel(self, blueprints: Iterable[Blueprint], load_at: LoadAt, now: float) -> None:
        """See how busy those are of which more may run."""
        observed = self.observed()
        device = self._device()
        most = {name: number for each in blueprints for name, number in most_of(each, device).items()}
        self.demand.keep(set(most))
        for server, number in most.items():
            live = [each for each in processes_of(server, observed) if each.use == "live"]
            if live:
                self.demand.on_seen(server, Load(*load_at([each.url for each in live]), len(live)), number, now)

    def rotate(self, wanted: Wanted, plan: Plan, began: float, tell: Tell) -> Rotation | None:
        """Have every server started that comes beside one that serves, and tell the steps; ``None`` where none does."""
        observed, prospects = self.observed(), self.prospects(wanted.blueprint)
        coming = [
            (want, berth)
            for want, berth in self._startable(wanted.blueprint)
            if takes_over(berth_server := server_of(want.name), berth, prospects[berth_server].first, observed)
        ]
        if not coming:
            return None
        servers = {server_of(want.name) for want, _ in coming}
        for step in server_steps(plan):
            if isinstance(step.operation, op.EndServer) or server_name(plan.deployment, step.operation.name) in servers:
                tell_begun(step, tell)
        first = ends_first(prospects, observed, plan.deployment)
        finish = any(each.finishes for name, each in observed.items() if name.partition("/")[0] == plan.deployment)
        ends = bool(first) or finish or any(berth.how == "instead" for _, berth in coming)
        rotation = Rotation(wanted, plan, began, frozenset(want.name for want, _ in coming), ends, frozenset(first))
        self.rotations[rotation.name] = rotation
        self._share()
        self.servers.unwant(first)
        for want, _ in coming:
            self.servers.want(want)
        return rotation

    async def taken_over(self, rotation: Rotation, tell: Tell) -> None:
        """Wait until its processes are ready. Raises ``DeployError`` where one cannot be had."""
        failed = await see_through(self.servers, rotation.plan, rotation.waits, tell, ends=True)
        for process, why in failed.items():
            alias = server_of(process).partition("/")[2]
            raise DeployError(
                f"the server of {alias} does not come up as it is wanted now: {why}",
                cure=f"{rotation.name} goes on as it was{ANEW if rotation.ends else ''}; mend it and apply again",
            )

    def gave_way(self, name: str) -> bool:
        """Whether servers of this deployment were ended for an apply that is not recorded yet: till then it is left as it is."""
        return name in self.rotations and self.rotations[name].ends

    def leave(self, rotation: Rotation) -> None:
        """It comes to nothing, where no later one took its place."""
        if self.rotations.get(rotation.name) is rotation:
            del self.rotations[rotation.name]

    def begin(self, blueprint: Blueprint, plan: Plan, tell: Tell) -> frozenset[str]:
        """Have every server of a blueprint started that can be, and tell the steps; gives the processes that are not ready."""
        self._share()
        wants = in_order(want for want, _ in self._startable(blueprint))
        rest = may_rest(blueprint) | {server_of(want.name) for want in wants if want.turns}
        for step in server_steps(plan):
            tell_begun(step, tell)
        self.servers.unwant(ends_first(self.prospects(blueprint), self.observed(), blueprint.name))
        for want in [*wants, *self._more(blueprint)]:
            self._freeze(want)
            self.servers.want(want)
            if server_of(want.name) not in rest:
                self.servers.need(want.name)
        self._crowd()
        observed = self.servers.observed()
        there = {
            name for name, each in observed.items() if each.state == "ready" or (each.rests and server_of(name) in rest)
        }
        return frozenset(want.name for want in wants if want.name not in there)

    def begin_missing(self, blueprint: Blueprint, plan: Plan, tell: Tell) -> None:
        """The same for the servers of the plan only, and without anybody who waits: a step is done when it is begun."""
        self._share()
        steps = server_steps(plan)
        names = {server_name(plan.deployment, step.operation.name) for step in steps}
        for step in steps:
            tell_begun(step, tell)
        self.servers.unwant(ends_first(self.prospects(blueprint), self.observed(), blueprint.name))
        for want in [*in_order(want for want, _ in self._startable(blueprint)), *self._more(blueprint)]:
            if server_of(want.name) in names:
                self._freeze(want)
                self.servers.want(want)
        self._crowd()
        for step in steps:
            if not isinstance(step.operation, op.AddServer | op.EndServer):
                tell("done", step.as_json() | BEGUN)

    def doubt(self, bases: Iterable[str]) -> None:
        """At these addresses calls make no progress: servers of ours there must prove themselves again."""
        places = list(bases)
        for name, server in self.servers.observed().items():
            if server.state == "ready" and any(base.startswith(f"{server.url}/") for base in places):
                self.servers.doubt(name)

    def pass_on(self, seen: Collection[str]) -> None:
        """Those that wait for their turn to show a first token get it: of those that nobody calls yet one that has shown its own,
        and was ``seen`` at its address, rests. For those that are called it is the scheduler that makes room.
        One that rests and was not seen comes back: nothing could be bound to it."""
        self._share()
        there = self.observed().values()
        able = [each.name for each in there if each.state == "ready" and not each.use and each.url in seen]
        for name in self._shares.leaving(self.servers.supervisor.wards, able):
            self.servers.rest(name)
        self.servers.wake([each.name for each in there if each.state == "resting" and each.url not in seen])

    # -- ending -----------------------------------------------------------------------------------------------------

    def keep_only(self, desired: Iterable[Blueprint], unreadable: Iterable[str]) -> set[str]:
        """End those that no revision calls, no apply waits for, and none of the desired blueprints wants or may have. Deployments
        that cannot be read keep theirs until they are applied again. Gives the names of what is ended."""
        desired = list(desired)
        if any(
            each.finishes for each in self.servers.observed().values()
        ):  # what could be started is reckoned for these only
            self._take_back(one for one in desired if not self.gave_way(one.name))
        self._crowd()
        started, self._unread = self.observed(), set(unreadable)
        kept = {name for name, each in started.items() if each.use or name.partition("/")[0] in self._unread}
        kept |= {name for rotation in self.rotations.values() for name in rotation.waits}
        kept |= {name for blueprint in desired for name in self._kept(blueprint, started)}
        self.servers.keep(kept)
        return set(started) - kept

    def _take_back(self, desired: Iterable[Blueprint]) -> None:
        for blueprint in desired:
            for want, _ in self._startable(blueprint):
                self.servers.take_back(want)

    async def end_others(self, desired: Iterable[Blueprint], unreadable: Iterable[str]) -> None:
        """The same, and wait until nothing is left of them."""
        others = self.keep_only(desired, unreadable)
        with anyio.move_on_after(self.servers.supervisor.rules.finishes + END_SECONDS):
            await self.servers.ended(others)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _wants(self, blueprint: Blueprint) -> list[ServerWant]:
        return wants_of(blueprint, self._yard.models, self._device()) if self._yard else []

    def _startable(self, blueprint: Blueprint) -> list[tuple[ServerWant, Berth]]:
        """Servers that can be started, each under the name of the process that it is to be."""
        looked, observed = self._looked.get(blueprint.digest, {}), self.observed()
        able = [prospect for prospect in self.prospects(blueprint).values() if not prospect.why]
        return [
            (_as_reckoned(each.want, berth.process, prospect), berth)
            for prospect in able
            for berth in [berth_of(prospect.name, prospect, observed)]
            for each in looked[prospect.name]
            if each.want.digest == prospect.digest
        ]

    def _more(self, blueprint: Blueprint) -> list[ServerWant]:
        """One more process of each server that shall have more."""
        looked, observed = self._looked.get(blueprint.digest, {}), self.observed()
        return [
            _as_reckoned(each.want, name, prospect)
            for prospect in self.prospects(blueprint).values()
            if not prospect.why and (name := one_more(prospect.name, prospect, observed))
            for each in looked[prospect.name]
            if each.want.digest == prospect.digest
        ]

    def _share(self) -> None:
        """Who takes turns in memory, and what all may take together, by what is desired."""
        blueprints = {each.name: each for each in self._blueprints}.values()
        limits = [held for each in blueprints if (held := held_budget(each, self._device())) is not None]
        found = [each for blueprint in blueprints for each in self.prospects(blueprint).values()]
        turning = frozenset(each.name for each in found if each.turns)
        goes = is_leaving(self.servers.wants(), {each.name for each in found}, self._unread)
        self._turning = turning | self._turning if goes else turning
        resting = {name for each in blueprints for name in may_rest(each)}
        first = gone_first(found, self.observed())
        first |= {process: each.first for each in self.rotations.values() for process in each.waits if each.first}
        self._shares = Shares(min(limits, default=inf), self._turning | resting, first)
        self.servers.share(self._shares, self._turning)

    def _crowd(self) -> None:
        """One that was given up holds no memory: where others took it, it is not tried once more."""
        started = self.observed()
        found = (self.prospects(blueprint) for blueprint in self._blueprints)
        self.servers.crowd([name for each in found for name in crowded_out(each.values(), started)])

    def _freeze(self, want: ServerWant) -> None:
        self._stamps.setdefault(server_of(want.name), {})[want.order.model] = want.stamp

    def _kept(self, blueprint: Blueprint, started: Mapping[str, StartedServer]) -> list[str]:
        """The processes that run as it wants them; where none does, all that may still become that; none where its limit has no
        room any more."""
        kept: list[str] = []
        prospects = self.prospects(blueprint)
        for server in server_names(blueprint):
            prospect, mine = prospects.get(server), processes_of(server, started)
            if prospect is None or not prospect.unfit:
                same = instances_of(server, prospect, started) if prospect and not prospect.why else []
                kept += [each.name for each in same or mine]
        kept += crowded_out(prospects.values(), started)
        return kept


def _as_reckoned(want: ServerWant, process: str, prospect: Prospect) -> ServerWant:
    """One process of a wanted server, with what it is reckoned to take, and whether it takes turns there."""
    held = replace(want, memory=prospect.memory, cards=prospect.cards, slots=prospect.slots, context=prospect.context)
    return replace(held, name=process, turns=bool(prospect.turns))
