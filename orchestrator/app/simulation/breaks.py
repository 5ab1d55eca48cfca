"""What breaks under a load and its faults, with the part of the manifest that it is about, and a cure."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.app.simulation.broken import Break, by_faults, not_all
from orchestrator.app.simulation.calm import Calm
from orchestrator.app.simulation.costs import costs_of
from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.figures import Figures
from orchestrator.app.simulation.overload import by_load, once_failed
from orchestrator.app.simulation.play import ANSWERED, AWAY, GONE, Story
from orchestrator.core.blueprint import Blueprint


def breaks_of(
    story: Story, figures: Figures, blueprint: Blueprint, assumed: Assumed, calm: Calm | None = None
) -> list[Break]:
    """First what is full with nothing failing, as faults cost less there; then all others in the order of time. ``calm`` is what
    became of the requests without the faults."""
    hubs = [node["name"] for node in blueprint.nodes if node["hub"]] or [node["name"] for node in blueprint.nodes[:1]]
    costs = costs_of(story, hubs, calm)
    rest = {cost.agent: cost for cost in costs if cost.fault is None}
    full = list(by_load(story.load, figures, blueprint, assumed, rest))
    found = [
        *by_faults(story, figures, blueprint, costs),
        *once_failed(story.load, blueprint, assumed, costs, rest),
        *not_all(rest.values()),
        *_at_doors(story, calm),
    ]
    return [*full, *sorted(found, key=lambda each: (each.at, each.address))]


def _at_doors(story: Story, calm: Calm | None) -> Iterator[Break]:
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
            yield Break(fault.at, what, f"node.{node}", "let callers ask another node where one does not answer")
