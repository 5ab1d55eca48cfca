"""Models that are full: more is asked of them than they can do, with nothing failing or once something has failed."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence, Set
from math import ceil
from typing import Final

from orchestrator.app.simulation.broken import Break
from orchestrator.app.simulation.costs import Cost, counted
from orchestrator.app.simulation.demand import NEARLY, Demand, demands, placed
from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.outages import deaths
from orchestrator.app.simulation.play import Load
from orchestrator.core.blueprint import Blueprint

MANY: Final = 64
"""Slots, or nodes, more than which are no cure."""


def by_load(
    load: Load,
    blueprint: Blueprint,
    assumed: Assumed,
    rest: MutableMapping[str, Cost],
    refused: Set[str],
) -> Iterator[Break]:
    """Those that are full with nothing failing: more is asked than they can do, or nearly that, so that requests of agents are
    ``refused``. What became of requests by that is taken from the ``rest``, each of them once."""
    for each in demands(blueprint, load, assumed, placed(blueprint)):
        if each.rate >= (NEARLY if refused & {*each.agents} else 1):
            yield _full(each, "is full", rest)


def once_failed(
    load: Load, blueprint: Blueprint, assumed: Assumed, costs: Sequence[Cost], rest: MutableMapping[str, Cost]
) -> Iterator[Break]:
    """Those that are full only once nodes have failed, as they do the work of others too."""
    before = placed(blueprint)
    told = {(each.node, each.model) for each in demands(blueprint, load, assumed, before) if each.rate >= 1}
    hit = {cost.agent for cost in costs if cost.refused or cost.late}
    for fault, dead in deaths(load.faults):
        for each in demands(blueprint, load, assumed, placed(blueprint, dead, before), dead):
            if each.rate >= 1 and (each.node, each.model) not in told and hit & {*each.agents}:
                told.add((each.node, each.model))
                yield _full(each, f"is full once {' and '.join(sorted(dead))} failed", rest, fault.at)


def _full(each: Demand, is_full: str, rest: MutableMapping[str, Cost], since: float = 0.0) -> Break:
    """With what became of requests by that, which is taken from the ``rest``."""
    costs = [rest.pop(agent) for agent in each.agents if agent in rest]
    wishes = [wish for cost in costs for wish in (*cost.lost, *cost.refused)]
    at = since or min((wish.at for wish in wishes), default=0.0)
    if wishes:
        told = f"; of these {counted(costs)}, the first after {min(wish.at for wish in wishes):.1f} s"
    else:
        told = f"; its queue grows by {rate_of(each.come - each.can)} a second" if each.rate > 1 else ""
    what = f"{_on(each)} {is_full}: {_asked(each)}{told}"
    return Break(at, what, f"model.{each.model}", _cure(each), "overload", sum(len(cost.lost) for cost in costs))


def rate_of(number: float) -> str:
    """A number of requests a second."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _on(each: Demand) -> str:
    return f"{each.model} on {each.node}" if each.node else each.model


def _asked(each: Demand) -> str:
    agents = f" (for {', '.join(each.agents)})" if len(each.agents) < 4 else f" (for {len(each.agents)} agents)"
    slots = "1 slot" if each.slots == 1 else f"{each.slots} slots"
    return (
        f"{rate_of(each.come)} requests a second come for it{agents}, and its {slots} can do {rate_of(each.can)}"
        f" ({each.seconds:.3g} s each)"
    )


def _cure(each: Demand) -> str:
    slots, nodes = ceil(each.come * each.seconds), ceil(each.rate)
    if slots > MANY:
        far = f"it can do {rate_of(each.can)} a second, and {slots:,} slots would be needed"
        return f"ask less of it, or have a much smaller model or faster machines: {far}"
    more = f"{slots} slots where its server has them (max_concurrent), or a smaller model"
    return f"{nodes} such nodes would do (replicas), or {more}" if each.node else f"give it {more}"
