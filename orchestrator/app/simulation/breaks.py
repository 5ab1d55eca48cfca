"""What breaks under a load and its faults, with the part of the manifest that it is about, and a cure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.engine import Wish
from orchestrator.app.simulation.faults import Fault
from orchestrator.app.simulation.figures import REFUSED, Figures
from orchestrator.app.simulation.play import ANSWERED, AWAY, GONE, Story
from orchestrator.core.blueprint import Blueprint
from orchestrator.node.call import Waits
from orchestrator.plan.fleet import Fleet, FleetAgent, fleet_of
from orchestrator.plan.placement import READY_AGAIN, Assignment, Seen, place

FULL: Final = 0.9
"""The share of its time that a model is busy from which on it counts as full."""
GAP: Final = Waits().patience
"""Seconds that a request waits for a holder before it fails."""
TWO: Final = "write replicas: 2, and two nodes hold it at all times"
UP: Final = Seen(ready_for=READY_AGAIN)


@dataclass(frozen=True, slots=True)
class Break:
    """Something that breaks ``at`` seconds. ``address`` is the part of the manifest that it is about."""

    at: float
    what: str
    address: str
    cure: str


def breaks_of(story: Story, figures: Figures, blueprint: Blueprint, assumed: Assumed) -> list[Break]:
    """All of them, in the order of time."""
    found = [
        *_without_holder(story, blueprint),
        *_until_taken(story, figures, blueprint),
        *_full(story, figures, blueprint, assumed),
        *_at_doors(story),
    ]
    return sorted(found, key=lambda each: (each.at, each.address))


def _is_lost(wish: Wish) -> bool:
    return wish.outcome not in (ANSWERED, AWAY, GONE, *REFUSED)


# ---- agents that nobody holds ---------------------------------------------------------------------------------------


def _without_holder(story: Story, blueprint: Blueprint) -> Iterator[Break]:
    fleet = fleet_of(blueprint)
    before = place(fleet, dict.fromkeys(fleet.nodes, UP))
    told: set[str] = set()
    for at, dead in _deaths(story.load.faults):
        after = place(fleet, {name: UP for name in fleet.nodes if name not in dead}, before)
        for name, agent in fleet.agents.items():
            held = [one.node for one in after.places.get(name, ())]
            if name not in told and name in story.load.shares and all(node in dead for node in held):
                told.add(name)
                yield _unheld(at, agent, fleet, after, dead)


def _deaths(faults: Sequence[Fault]) -> Iterator[tuple[float, set[str]]]:
    """Each time that a node fails, with all that are down then."""
    nodes = [fault for fault in faults if fault.kind == "node"]
    for one in sorted(nodes, key=lambda fault: fault.at):
        yield one.at, {fault.ends[0] for fault in nodes if fault.at <= one.at < fault.at + (fault.after or one.at + 1)}


def _unheld(at: float, agent: FleetAgent, fleet: Fleet, after: Assignment, dead: set[str]) -> Break:
    places = after.places.get(agent.name, ())
    why = places[0].why if places else after.nowhere.get(agent.name, "")
    holder = places[0].node if places else agent.home
    what = f"{holder} is the only holder of {agent.name}, and it fails: {_reason(why, holder)}"
    return Break(at, what, f"agent.{agent.name}", _cure(agent, fleet, dead))


def _reason(why: str, holder: str) -> str:
    for head in (f"{holder} is away, and no other node can hold it: ", f"{holder} is away, and "):
        why = why.removeprefix(head)
    return why or "no other node takes over"


def _cure(agent: FleetAgent, fleet: Fleet, dead: set[str]) -> str:
    others = [name for name in fleet.nodes if name not in dead]
    if not others:
        return "give the fleet a node more"
    if agent.fixed:
        return "only its own node may answer it: let that be a machine that is mended fast, or lift what holds it there"
    if fleet.failover != "automatic":
        return "write coordination.failover: automatic"
    if agent.labels:
        labels = ", ".join(f"{key}: {value}" for key, value in agent.labels.items())
        return f"give {', '.join(others)} the labels {labels}, and one of its models"
    wanted = [model for model in (*agent.models, *agent.alternatives) if model in fleet.sizes]
    if any(model in fleet.nodes[name].models for model in wanted for name in others):
        return f"give {', '.join(others)} more memory, or let {agent.name} go on with a smaller model"
    there = sorted({model for name in others for model in fleet.nodes[name].models})
    instead = f", or name {there[0]} in its alternatives" if there else ""
    return f"add {wanted[0]} to the models of {others[0]}{instead}" if wanted else "give the fleet a node more"


def _until_taken(story: Story, figures: Figures, blueprint: Blueprint) -> Iterator[Break]:
    """Requests that were lost until another node held their agent."""
    specs = {one.spec["name"]: one.spec for one in blueprint.of_kind("agent")}
    for each in figures.fail_overs:
        begins = each.fault.at
        for move in each.taken:
            lost = sum(
                wish.agent == move.agent and _is_lost(wish) and begins <= wish.ended <= begins + move.seconds + GAP
                for wish in story.wishes
            )
            if not lost:
                continue
            once = specs[move.agent].get("exclusive")
            what = f"{move.agent} is away for {move.seconds:.1f} s until {move.node} takes over: {lost:,} of its requests fail"
            cure = "let callers ask again; an exclusive agent has one holder at a time" if once else TWO
            yield Break(begins, what, f"agent.{move.agent}", cure)


# ---- models that are full -------------------------------------------------------------------------------------------


def _full(story: Story, figures: Figures, blueprint: Blueprint, assumed: Assumed) -> Iterator[Break]:
    specs = {one.spec["name"]: one.spec for one in blueprint.of_kind("agent")}
    for server in figures.servers:
        homes = [set(node["agents"]) for node in blueprint.nodes if node["name"] == server.node]
        agents = [
            agent
            for agent in story.load.shares
            if specs[agent]["models"][:1] == [server.model] and (not homes or agent in homes[0])
        ]
        refused = [w.at for w in story.wishes if w.agent in agents and w.outcome in REFUSED]
        if server.busy < FULL or not refused:
            continue
        load = story.load
        rates = {agent: load.rps * load.shares[agent] / sum(load.shares.values()) for agent in agents}
        model = blueprint.elements[f"model.{server.model}"].spec
        comes = sum(rates.values())
        seconds = sum(rates[a] * assumed.seconds_of(a, model, server.node) for a in agents) / comes
        makes = server.slots / seconds
        on = f" on {server.node}" if server.node else ""
        slots = "1 slot ends" if server.slots == 1 else f"{server.slots} slots end"
        what = (
            f"{server.model}{on} is full: {comes:.3g} requests a second come for it, and its {slots} {makes:.3g}"
            f" ({seconds:.3g} s each); the first is refused after {min(refused):.1f} s"
        )
        slots = f"{ceil(comes * seconds)} slots where its server has them (max_concurrent), or a smaller model"
        cure = (
            f"{ceil(comes / makes)} such nodes would do (replicas), or {slots}" if server.node else f"give it {slots}"
        )
        yield Break(min(refused), what, f"model.{server.model}", cure)


# ---- doors ----------------------------------------------------------------------------------------------------------


def _at_doors(story: Story) -> Iterator[Break]:
    for fault in story.load.faults:
        if fault.kind != "node":
            continue
        [node] = fault.ends
        ends = fault.at + (fault.after if fault.after is not None else story.load.duration)
        gone = sum(w.door == node and w.outcome == GONE and w.at <= fault.at <= w.ended + 1e-6 for w in story.wishes)
        away = sum(w.door == node and w.outcome == AWAY and fault.at <= w.at < ends + 1 for w in story.wishes)
        if gone or away:
            work = f"{gone} {'request' if gone == 1 else 'requests'}"
            what = (
                f"{node} fails with {work} at its door in work, and {away} come there while it is down:"
                " their callers find no connection"
            )
            yield Break(fault.at, what, f"node.{node}", "let callers ask another node where one does not answer")
