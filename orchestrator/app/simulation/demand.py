"""How much is asked of each model on each node, and how much it can do: reckoned from the manifest, before anything is played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Final

from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.play import Load
from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.fleet import fleet_of
from orchestrator.plan.placement import READY_AGAIN, Assignment, Seen, place

UP: Final = Seen(ready_for=READY_AGAIN)
NEARLY: Final = 0.7
"""The share of its slots that a model is asked for from which on chance alone may make requests be refused or come late."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Of one model on one node: requests a second that ``come`` for it, and that it ``can`` do with its ``slots``, where one takes
    ``seconds``."""

    node: str
    model: str
    agents: tuple[str, ...]
    slots: int
    come: float
    seconds: float

    @property
    def can(self) -> float:
        """Requests a second, at most."""
        return self.slots / self.seconds if self.seconds else float("inf")

    @property
    def rate(self) -> float:
        """How many times more is asked than it can do: above 1 its queue grows without end."""
        return self.come / self.can


def placed(blueprint: Blueprint, without: Set[str] = frozenset(), before: Assignment | None = None) -> Assignment:
    """Who holds what while these nodes are down."""
    fleet = fleet_of(blueprint)
    return place(fleet, {name: UP for name in fleet.nodes if name not in without}, before)


def demands(
    blueprint: Blueprint, load: Load, assumed: Assumed, held: Assignment, down: Set[str] = frozenset()
) -> list[Demand]:
    """By node and model. Callers whose node is down do not ask."""
    doors = len(blueprint.nodes)
    share = (doors - len(down)) / doors if doors else 1.0
    total = sum(load.shares.values())
    found: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for agent, weight in load.shares.items():
        holders = [(node, model) for node, model in _holders(blueprint, agent, held) if node not in down]
        for node, model in holders:
            if model:
                found.setdefault((node, model), []).append((agent, share * load.rps * weight / total / len(holders)))
    return [_demand(blueprint, assumed, *at, dict(asked)) for at, asked in sorted(found.items())]


def strained(found: list[Demand], blueprint: Blueprint) -> bool:
    """Whether requests may be refused or come late with no fault at all."""
    if any(each.rate >= NEARLY for each in found):
        return True
    most = blueprint.max_concurrent
    busy = sum(each.come * each.seconds for each in found)
    return most is not None and busy / (most * max(1, len(blueprint.nodes))) >= NEARLY


def can_do(found: list[Demand], load: Load) -> float:
    """Requests a second that can be done of those that come, all agents together."""
    asked = dict.fromkeys((agent for each in found for agent in each.agents), 0.0)
    done = sum(min(each.come, each.can) for each in found)
    total = sum(load.shares.values())
    return done + sum(load.rps * weight / total for agent, weight in load.shares.items() if agent not in asked)


def _holders(blueprint: Blueprint, agent: str, held: Assignment) -> Iterator[tuple[str, str]]:
    """The nodes that hold an agent, each with the model that it has for it."""
    if not blueprint.nodes:
        yield "", next(iter(blueprint.elements[f"agent.{agent}"].spec["models"]), "")
    for one in held.places.get(agent, ()):
        yield one.node, one.model


def _demand(blueprint: Blueprint, assumed: Assumed, node: str, model: str, asked: Mapping[str, float]) -> Demand:
    spec = blueprint.elements[f"model.{model}"].spec
    come = sum(asked.values())
    seconds = sum(rate * assumed.seconds_of(agent, spec, node) for agent, rate in asked.items()) / come
    return Demand(node, model, tuple(asked), assumed.slots_of(spec), come, seconds)
