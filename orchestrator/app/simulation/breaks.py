"""What breaks under a load and its faults, with the part of the manifest that it is about, and a cure."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from orchestrator.app.simulation.broken import Break, by_faults
from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.figures import REFUSED, Figures
from orchestrator.app.simulation.play import AWAY, GONE, Story
from orchestrator.core.blueprint import Blueprint

FULL: Final = 0.9
"""The share of its time that a model is busy from which on it counts as full."""


def breaks_of(story: Story, figures: Figures, blueprint: Blueprint, assumed: Assumed) -> list[Break]:
    """All of them, in the order of time."""
    found = [
        *by_faults(story, figures, blueprint),
        *_full(story, figures, blueprint, assumed),
        *_at_doors(story),
    ]
    return sorted(found, key=lambda each: (each.at, each.address))


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
