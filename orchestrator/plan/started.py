"""Whether the servers that we start fit into memory, and with which build of its model each is started. Pure.

Each holds its memory for as long as it runs. So they are counted together, those of other deployments too. Where they do not
fit into the limit that is written, those that each fit alone take turns (``turns``); what has no room then is not started.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, cast

from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.memory import Budget, Need
from orchestrator.core.quantity import format_size
from orchestrator.plan.budgets import device_budget, strictest_budget
from orchestrator.plan.builds import nearest_build, worth
from orchestrator.plan.generations import berth_of, processes_of, serving
from orchestrator.plan.leaving import before, going, has_process, spare
from orchestrator.plan.needs import Sized, Startable, place_of, too_small_a_part
from orchestrator.plan.observed import Prospect, StartedServer, server_name
from orchestrator.plan.pools import MAIN_ONLY, Cards, Hold, cards_of, free_share, room_in
from orchestrator.plan.several import as_it_runs, most, one_port, same_port
from orchestrator.plan.smaller import smaller
from orchestrator.plan.turns import Others, may_turn, serves_more, told
from orchestrator.ports.device import Device

_LEAST_SHARE: Final = 0.05
"""Of the device, below which it is no advice to let vLLM take less."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Servers that run, of every deployment, and the manifests of the other deployments, whose limits hold too. ``wished``:
    processes that the demand asks for, by the server's name."""

    started: Mapping[str, StartedServer]
    blueprints: Sequence[Blueprint] = ()
    device: Device | None = None
    wished: Mapping[str, int] = field(default_factory=dict)


def fitted(
    blueprint: Blueprint, startables: Mapping[str, Sequence[Startable]], around: Neighbours
) -> dict[str, Prospect]:
    """For every server that the blueprint wants the build to start, by name; ``unfit`` ones with the arithmetic. Those
    that run go first and keep their build, the others come in the manifest's order. Where somebody has no room, additional
    processes of other deployments make some; and they take turns where that serves more."""
    together = _Fitting(blueprint, startables, around)
    found = together.made()
    nobody, turning, yielding = frozenset[str](), may_turn(blueprint), spare(blueprint.name, around.started)
    for turns, yields in ((nobody, yielding), (turning, nobody), (turning, yielding)):
        if not together.is_limited or not any(each.unfit for each in found.values()):
            break
        other = _Fitting(blueprint, startables, around, turns, yields).made()
        found = other if serves_more(other, found) else found
    return found


class _Fitting:
    """One decision in the making. Each server is first reckoned with the smallest of its builds, so that as many as can be
    are started; then each gets the most faithful one that leaves the others theirs. Those that are ``turning`` leave them
    nothing, and get what all others leave."""

    def __init__(
        self,
        blueprint: Blueprint,
        startables: Mapping[str, Sequence[Startable]],
        around: Neighbours,
        turning: frozenset[str] = frozenset(),
        yielding: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.blueprint = blueprint.name, blueprint
        self.around = around
        self.own = device_budget(blueprint, around.device)
        self.strictest = strictest_budget(blueprint, around.blueprints, around.device)
        self.cards = cards_of(blueprint, around.device)
        others = [each for each in around.blueprints if each.name != blueprint.name]
        self.there = Others.of(blueprint.name, around.started, others, yielding)
        self.others = self.there.held
        self.all_others = Others.of(blueprint.name, around.started, others).held
        specs = [cast(ModelSpec, each.spec) for each in blueprint.of_kind("model") if each.spec["server"]]
        self.wanted = {spec["alias"]: sized for spec in specs if (sized := self._sized(spec, startables))}
        self.turning = {alias for alias in turning & set(self.wanted) if all(map(self._is_one_sum, self.wanted[alias]))}
        self.held: dict[str, Hold] = {}
        self.chosen: dict[str, Hold] = {}
        self.found: dict[str, Prospect] = {}
        self.beside: dict[str, Hold] = {}
        """Processes that serve until the new ones do which come beside them."""

    def _is_one_sum(self, one: Sized) -> bool:
        """Whether what it takes is known, and counts against all memory together: who decides the turns knows no cards."""
        return one.held.size > 0 and (one.cards is None or not self.cards.sizes)

    @property
    def is_limited(self) -> bool:
        """Whether a limit is written: without one nobody makes room for anybody."""
        return self.strictest is not None and self.strictest.limit is not None

    def made(self) -> dict[str, Prospect]:
        """By the server's name."""
        self._admit()
        for alias in self.held:
            self._choose(alias)
        self._see_turns()
        self._see_apart()
        self._see_more()
        self._see_before()
        names = [server_name(self.name, alias) for alias in self.wanted]
        return {name: self.found[name] for name in names}

    def _admit(self) -> None:
        """Who has room with its smallest build; the others are told why not. Those that were given up come last."""
        for alias, builds in sorted(self.wanted.items(), key=self._turn):
            least = min(builds, key=lambda each: each.total)
            room = self._room(builds, self.held)
            if least.startable.prospect.why:
                self._tell(alias, least.startable.prospect)
            elif least.is_other:
                self._tell(alias, _other(builds))
            elif room is not None and room.fit(least.need) == "never":
                self._tell(
                    alias, _unfit(least, room, self._cure(least, room, self.held), self._in_the_way(least, room))
                )
            else:
                self.held[alias] = least.held

    def _choose(self, alias: str) -> None:
        builds = self.wanted[alias]
        room = self._room(builds, {other: size for other, size in self.held.items() if other != alias})
        fits = {each.startable.prospect.digest: room.fit(each.need) if room else "fits" for each in builds}
        ranked = sorted(builds, key=lambda each: self._rank(each, fits[each.startable.prospect.digest]))
        best = ranked[0]
        self.held[alias] = best.held
        prospect = best.startable.prospect
        chosen = replace(prospect, memory=best.held.size, cards=best.cards, need=str(best.need or ""))
        window = place_of(self.blueprint, best.spec, self.around.device).window(best.startable)
        chosen = replace(chosen, slots=window.slots, context=0 if window.assumed else window.context)
        if len(builds) > 1 or best.spec["quantization"]:
            chosen = replace(chosen, build=best.startable.build)
        chosen = replace(chosen, choice=_choice(best, ranked[1:], fits, room))
        held = self._before(alias, best)
        beside = self._room(builds, held)
        if beside is not None and beside.fit(best.need) != "fits":
            chosen = replace(chosen, tight=_tight(best, beside, self._cure(best, beside, held)))
        told = [_too_wide(best, self.cards), too_small_a_part(best), chosen.tight]
        chosen = replace(chosen, tight="; ".join(filter(None, told)))
        self.chosen[alias] = best.held
        self._tell(alias, chosen)

    def _before(self, alias: str, one: Sized) -> dict[str, Hold]:
        """What others hold when it starts: those that come before it. One that needs a part of a card needs it free from the
        start, so also those that use the card where there is room: all are started at once, and they may be quicker."""
        late = {name: each for name, each in self.held.items() if each.cards is None and name != alias}
        return {**(late if one.cards else {}), **self.chosen}

    def _see_turns(self) -> None:
        """With whom each takes turns."""
        taking = {alias: each for alias, each in self.chosen.items() if alias in self.turning}
        for alias in taking:
            room = self._room(self.wanted[alias], self.chosen)
            turns = told(alias, taking, self.there, room) if room else ""
            self._tell(alias, replace(self.found[server_name(self.name, alias)], turns=turns))

    def _see_apart(self) -> None:
        """Which of those that change may be started while the old one serves: where both fit beside all others."""
        for alias in self.chosen:
            name, started = server_name(self.name, alias), self.around.started
            prospect, old = self.found[name], serving(name, started)
            if old is None or berth_of(name, prospect, started).how == "there":
                continue
            one = self._as_chosen(alias)
            used = [each for each in processes_of(name, started) if each.use]
            # One that loads its model on request holds nothing that we know of: as much as the new one will.
            beside = {as_it_runs(each): Hold(each.memory or one.total, one.cards) for each in used}
            why = same_port(one.spec, used) or self._why_not_two(alias, one, {**self.beside, **beside})
            self.found[name] = replace(prospect, apart=why)
            self.beside |= {} if why else beside

    def _why_not_two(self, alias: str, one: Sized, beside: Mapping[str, Hold]) -> str:
        if one.need is None or self.strictest is None:
            return "nobody knows whether two of them fit into memory"
        chosen = {other: size for other, size in self.chosen.items() if other != alias}
        room = room_in(self.strictest, self.cards, one.cards, {**self.others, **chosen, **beside})
        return "" if room.fit(one.need) == "fits" else f"two do not fit ({one.need}; models may take {room})"

    def _see_more(self) -> None:
        """How many processes of each may run, where the demand asks for more than one: they come after all firsts."""
        more: dict[str, Hold] = {}
        for alias in self.chosen:
            name, one = server_name(self.name, alias), self._as_chosen(alias)
            wished = min(self.around.wished.get(name, 1), most(one.spec))
            processes = processes_of(name, self.around.started)
            digest = self.found[name].digest
            olds = [each for each in processes if each.use and each.digest != digest]
            old = {as_it_runs(each): Hold(each.memory, each.cards) for each in olds}
            held = {**self.all_others, **self.chosen, **more, **old}
            instances, why = 1, one_port(one.spec)
            while instances < wished and not why:
                why = self._why_no_more(one, {**held, f"more of {alias}": Hold((instances - 1) * one.total, one.cards)})
                instances += 0 if why else 1
            more[f"more of {alias}"] = Hold((instances - 1) * one.total, one.cards)
            self.found[name] = replace(self.found[name], instances=instances, alone=why)

    def _why_no_more(self, one: Sized, held: Mapping[str, Hold]) -> str:
        if one.need is None or self.strictest is None:
            return "its slots are busy, and nobody knows whether one more of it fits into memory"
        room = room_in(self.strictest, self.cards, one.cards, held)
        if room.fit(one.need) == "fits":
            return ""
        return f"its slots are busy, and one more of it does not fit: it needs {one.need}; models may take {room}"

    def _see_before(self) -> None:
        """Which processes that go are gone before each starts."""
        started, yields = self.around.started, spare(self.name, self.around.started)
        goes = {**going(self.name, self.found, started), **{name: started[name] for name in yields}}
        goes = {name: each for name, each in goes.items() if has_process(each)}
        for alias in self.chosen:
            name, one = server_name(self.name, alias), self._as_chosen(alias)
            prospect, mine = self.found[name], processes_of(name, started)
            if any(has_process(each) and each.digest == prospect.digest for each in mine):
                continue
            others = self.there.beside(turns=alias in self.turning)
            stay = {other: each for other, each in others.items() if other not in goes} | self.beside
            stay |= {each: hold for each, hold in self.chosen.items() if each not in {alias, *self.turning}}
            room = partial(self._room_beside, one, stay)
            found = before(one, goes, yields, room)
            self.found[name] = replace(prospect, first=found.first, crowded=found.why)

    def _room_beside(self, one: Sized, stay: Mapping[str, Hold], goes: Mapping[str, Hold]) -> Budget | None:
        return room_in(self.strictest, self.cards, one.cards, {**stay, **goes}) if self.strictest else None

    def _as_chosen(self, alias: str) -> Sized:
        digest = self.found[server_name(self.name, alias)].digest
        return next(each for each in self.wanted[alias] if each.startable.prospect.digest == digest)

    def _tell(self, alias: str, prospect: Prospect) -> None:
        self.found[server_name(self.name, alias)] = prospect

    def _room(self, builds: Sequence[Sized], held: Mapping[str, Hold]) -> Budget | None:
        """What is left for it. One that runs is held to its own manifest only: another deployment does not end it."""
        alias = builds[0].spec["alias"]
        firm = {name: each for name, each in held.items() if name not in self.turning}
        others = self.there.beside(turns=alias in self.turning)
        budget, held = (self.own, firm) if self._runs(builds) else (self.strictest, {**others, **firm})
        return room_in(budget, self.cards, builds[0].cards, held) if budget else None

    def _cure(self, one: Sized, room: Budget, held: Mapping[str, Hold]) -> str:
        """What to write so that it does fit. A share of the card helps only where the model has room in it."""
        need, share = one.need or Need(0), one.startable.aside.share
        if not need.share or share is None:
            return smaller(one.spec, need, room)
        whole, least = need.total / share, (one.need.least if one.need else 0)
        able = int(room.total / whole * 100) / 100
        if able >= _LEAST_SHARE and able * whole >= least:
            return f"write server.gpu_memory_utilization: {able:g}"
        alike = [name for name, each in held.items() if each.cards and self.cards.sizes]
        ours = [name for name in alike if name not in self.others]
        # What cannot be made smaller here stays: those of other deployments, and what uses the card beside them.
        stay = {name: each for name, each in {**self.others, **held}.items() if name not in ours}
        left = free_share(one.cards or 0, self.cards, stay) if self.cards.sizes else 0.0
        if room.limit is not None and self.own is not None:
            left = min(left, (self.own.total - sum(each.size for each in stay.values())) / whole)
        each_one = int(left / (len(ours) + 1) * 100) / 100
        if ours and each_one * whole >= max(least, _LEAST_SHARE * whole):
            all_ = " and ".join([*ours, one.spec["alias"]])
            return f"write server.gpu_memory_utilization: {each_one:g} for each of {all_}"
        beside = f", or start it without {' and '.join(alike)} beside it" if alike else ""
        return f"use a smaller model and a smaller server.gpu_memory_utilization{beside}"

    def _turn(self, one: tuple[str, Sequence[Sized]]) -> tuple[bool, bool, bool]:
        mine = processes_of(server_name(self.name, one[0]), self.around.started)
        return one[0] in self.turning, not self._runs(one[1]), any(each.state == "failed" for each in mine)

    def _in_the_way(self, one: Sized, room: Budget) -> list[str]:
        """The fewest other deployments without whose servers it would fit, the smallest that is enough; none where it would not."""
        freed: Counter[str] = Counter()
        for name, each in self.others.items():
            freed[name.partition("/")[0]] += each.size if one.cards is None or each.cards != MAIN_ONLY else 0
        lacks, found = one.total - room.total, list[str]()
        while freed and lacks > 0:
            enough = [name for name, size in freed.items() if size >= lacks]
            name = min(enough, key=lambda each: freed[each]) if enough else freed.most_common(1)[0][0]
            lacks -= freed.pop(name)
            found.append(name)
        return found if lacks <= 0 else []

    def _runs(self, builds: Sequence[Sized]) -> bool:
        """One that takes turns runs by leave of the others: whether it must go on to do so is seen as if it did not run."""
        alias = builds[0].spec["alias"]
        mine = processes_of(server_name(self.name, alias), self.around.started)
        asked_anew = alias not in self.turning and any(each.turns for each in mine)
        return not asked_anew and any(self._is_running(each) for each in builds)

    def _is_running(self, one: Sized) -> bool:
        prospect = one.startable.prospect
        mine = processes_of(prospect.name, self.around.started)
        return any(each.digest == prospect.digest and each.state != "failed" for each in mine)

    def _rank(self, one: Sized, fit: str) -> tuple[object, ...]:
        """Smaller is better. What runs comes first: it is not restarted for a better build."""
        lack = 0 if fit == "fits" else one.total
        return (
            fit == "never",
            not self._is_running(one),
            lack,
            -worth(one.startable.build),
            one.startable.prospect.digest,
        )

    def _sized(self, spec: ModelSpec, startables: Mapping[str, Sequence[Startable]]) -> list[Sized]:
        there = startables.get(server_name(self.name, spec["alias"]), ())
        place = place_of(self.blueprint, spec, self.around.device)
        sized = [Sized(spec, each, place.need(each)) for each in there]
        return [each for each in sized if not each.is_other] or sized


def _other(builds: Sequence[Sized]) -> Prospect:
    """Of those that are there none is the build that the manifest names."""
    spec, there = builds[0].spec, sorted({each.startable.build for each in builds})
    why = f"{spec['alias']} is wanted as {spec['quantization']}, and the files of its server are {', '.join(there)}"
    nearest = nearest_build(spec["quantization"] or "", there)
    cure = f"put the file of that build there, or write quantization: {nearest}"
    return replace(builds[0].startable.prospect, why=why, cure=cure)


def _unfit(one: Sized, room: Budget, cure: str, in_the_way: Sequence[str]) -> Prospect:
    need = one.need or Need(0)
    why = f"{one.spec['alias']} does not fit this device: its server needs {need}, and models may take {room}"
    down = " and ".join(f"`orchestrator down {name}`" for name in in_the_way)
    cure += f", or make room: {down}" if down else ""
    return replace(one.startable.prospect, why=why, cure=cure, unfit=True, need=str(need))


def _tight(one: Sized, room: Budget, cure: str) -> str:
    return f"its server needs {one.need}; models should take at most {room}: {cure}"


def _too_wide(one: Sized, there: Cards) -> str:
    """Where it is to span more cards than are seen."""
    wanted, seen = one.cards or 0, len(there.sizes)
    if not there.counted or not there.sizes or wanted <= seen:
        return ""
    most = 2 ** (seen.bit_length() - 1)  # the heads of a model are parted evenly
    spans = f"its server spans {wanted} cards (tensor_parallel_size x pipeline_parallel_size), and {seen} can be seen"
    return f"{spans}: write server.tensor_parallel_size: {most} and server.pipeline_parallel_size: 1"


def _choice(best: Sized, others: Sequence[Sized], fits: Mapping[str, str], room: Budget | None) -> str:
    """Why its file, and why not the others of the folder; empty where it is the only one, and known as its model."""
    startable, wanted = best.startable, best.spec["quantization"]
    rejected = [_rejected(each, best, fits, room) for each in others]
    rejected += [f"{name} is not {best.spec['alias']}" for name in startable.strangers]
    supposed = (
        f"taken for {best.spec['alias']}, though the catalogue does not know its name" if startable.supposed else ""
    )
    if not rejected:
        return supposed
    built = startable.build or "its build"
    why = f"{built} is the best build that fits" if others else "the only file of its model"
    told = f"{f'{built}, as the manifest says' if wanted else why} ({'; '.join(rejected)})"
    return f"{supposed}; {told}" if supposed else told


def _rejected(one: Sized, best: Sized, fits: Mapping[str, str], room: Budget | None) -> str:
    prospect = one.startable.prospect
    name = prospect.model or one.startable.build
    if prospect.why:
        return f"{name}: {prospect.why}"
    if fits[prospect.digest] != "fits" and one.need is not None and room is not None:
        return f"{name} needs {format_size(one.need.total)} of {format_size(room.total)}"
    return f"{name} is {'as faithful' if one.startable.build == best.startable.build else 'no better'}"
