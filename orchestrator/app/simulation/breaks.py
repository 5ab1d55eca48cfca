"""What breaks under a load and its faults, with the part of the manifest that it is about, and a cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.app.simulation.broken import Break, by_faults, not_all
from orchestrator.app.simulation.calm import Calm
from orchestrator.app.simulation.costs import costs_of
from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.figures import REFUSED, Figures
from orchestrator.app.simulation.outages import outages_of, unheard_in
from orchestrator.app.simulation.overload import by_load, once_failed
from orchestrator.app.simulation.play import ANSWERED, AWAY, GONE, Story
from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.fleet import fleet_of


def breaks_of(
    story: Story, figures: Figures, blueprint: Blueprint, assumed: Assumed, calm: Calm | None = None
) -> list[Break]:
    """First what is full with nothing failing, as faults cost less there; then all others in the order of time. ``calm`` is what
    became of the requests without the faults."""
    hubs = [node["name"] for node in blueprint.nodes if node["hub"]] or [node["name"] for node in blueprint.nodes[:1]]
    costs = costs_of(story, hubs, calm)
    rest = {cost.agent: cost for cost in costs if cost.fault is None}
    full = list(by_load(story.load, blueprint, assumed, rest, _refused_anyway(story, calm)))
    outages = outages_of(story, fleet_of(blueprint), calm)
    found = [
        *by_faults(story, figures, blueprint, costs, outages),
        *once_failed(story.load, blueprint, assumed, costs, rest),
        *not_all(rest.values()),
        *_at_doors(story, calm, unheard_in(outages)),
    ]
    return [*full, *sorted(found, key=lambda each: (each.at, each.address))]


def _refused_anyway(story: Story, calm: Calm | None) -> set[str]:
    """The agents of which requests are refused with nothing failing."""
    if calm is not None:
        return {wish.agent for wish in story.wishes if calm[wish.id].outcome in REFUSED}
    return set() if story.load.faults else {wish.agent for wish in story.wishes if wish.outcome in REFUSED}


def _at_doors(story: Story, calm: Calm | None, nobodys: Mapping[str, str]) -> Iterator[Break]:
    """What a node that is down does to those who ask it; ``nobodys`` requests no other node would answer either."""
    for fault in story.load.faults:
        if fault.kind != "node":
            continue
        [node] = fault.ends
        ends = fault.at + (fault.after if fault.after is not None else story.load.duration)
        at_door = [wish for wish in story.wishes if wish.door == node]
        gone = [w for w in at_door if w.outcome == GONE and w.at <= fault.at <= w.ended + 1e-6]
        away = [w for w in at_door if w.outcome == AWAY and fault.at <= w.at < ends + 1]
        if gone or away:
            work = f"{len(gone):,} {'request' if len(gone) == 1 else 'requests'}"
            what = (
                f"{node} fails with {work} at its door in work, and {len(away):,} come there while it is down:"
                " their callers find no connection"
            )
            if calm is not None:
                answered = sum(calm[wish.id].outcome == ANSWERED for wish in (*gone, *away))
                what += f"; {answered:,} of all these would be answered if it did not fail"
            alone = [nobodys[wish.id] for wish in (*gone, *away) if wish.id in nobodys]
            yield Break(fault.at, what, f"node.{node}", _cure(len(gone) + len(away), alone))


def _cure(met: int, alone: Sequence[str]) -> str:
    """For those at the door of a node that is down. ``alone``: the agents of requests that no other node would answer."""
    ask = "let callers ask another node where one does not answer"
    if not alone:
        return ask
    whose = ", ".join(sorted({*alone}))
    if len(alone) == met:
        return f"no other node would answer them; mend what is said of {whose}"
    return f"{ask}; for {len(alone):,} of them, for {whose}, no other node would: mend what is said of that"
