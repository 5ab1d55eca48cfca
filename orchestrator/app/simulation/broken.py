"""What breaks by each fault: which agents, whose callers, how many requests and why, with what would help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from orchestrator.app.simulation.costs import Cost, brings_hub_down
from orchestrator.app.simulation.faults import Fault
from orchestrator.app.simulation.figures import Figures
from orchestrator.app.simulation.outages import Outage
from orchestrator.app.simulation.play import Story
from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.fleet import Fleet, FleetAgent, fleet_of
from orchestrator.testing.sim_bus import HUB

TWO: Final = "write replicas: 2, and two nodes hold it at all times"
KEEP: Final = "store_and_forward: true, and its requests are kept until it can be reached again"
LONGER: Final = "more slots (max_concurrent), or a longer queue (queue)"


@dataclass(frozen=True, slots=True)
class Break:
    """Something that breaks ``at`` seconds. ``address`` is the part of the manifest that it is about; ``lost``: how many requests
    that a living node took on are lost by it; ``unheard``: how many came to a node that was down, and no other one could have
    answered them. What is of no ``kind`` is ``other``."""

    at: float
    what: str
    address: str
    cure: str
    kind: Literal["overload", "fault", "other"] = "fault"
    lost: int = 0
    unheard: int = 0


def by_faults(
    story: Story,
    figures: Figures,
    blueprint: Blueprint,
    costs: Sequence[Cost],
    outages: Sequence[Outage],
) -> Iterator[Break]:
    """Each fault, for each agent that it concerned."""
    fleet = fleet_of(blueprint)
    hubs = [node["name"] for node in blueprint.nodes if node["hub"]] or [node["name"] for node in blueprint.nodes[:1]]
    told = set[tuple[Fault | None, str]]()
    for one in outages:
        told.add((one.fault, one.agent))
        found = (each for each in costs if (each.fault, each.agent) == (one.fault, one.agent))
        cost = next(found, Cost(one.fault, one.agent, frozenset()))
        what, where = f"{one.why}; {one.told(cost)}", f"agent.{one.agent}"
        yield Break(one.fault.at, what, where, one.cure, lost=len(cost.lost), unheard=len(one.unheard))
    for cost in costs:
        if cost.fault is not None and (cost.fault, cost.agent) not in told:
            yield _Breaking(cost, cost.fault, fleet, blueprint, figures, story.load.faults, hubs).told()


def not_all(rest: Iterable[Cost]) -> Iterator[Break]:
    """What is lost or refused by no fault, and at no model that is full."""
    for cost in rest:
        at = min(wish.at for wish in cost.wishes)
        where = f"agent.{cost.agent}"
        if cost.lost or cost.kept:
            yield Break(
                at, f"{cost.agent} does not answer all: {cost.told()}", where, "ask again", "other", len(cost.lost)
            )
        else:
            what = f"{cost.agent} has no room at peaks, though nothing is full: {cost.told()}"
            yield Break(at, what, where, LONGER, "other")


@dataclass(frozen=True, slots=True)
class _Breaking:
    """What a fault costs an agent, in the words of the fault's kind."""

    cost: Cost
    fault: Fault
    fleet: Fleet
    blueprint: Blueprint
    figures: Figures
    faults: Sequence[Fault]
    hubs: Sequence[str]

    def told(self) -> Break:
        fault, agent = self.fault, self.fleet.agents[self.cost.agent]
        if fault.kind == "node" and self.cost.holders == {*fault.ends}:
            cure = self._nearer(agent) if brings_hub_down(fault, self.faults, self.hubs) else self._two(agent)
            why = self._away(fault)
        else:
            why, cure = self._apart(fault), self._nearer(agent)
        return Break(fault.at, f"{why}: {self.cost.told()}", f"agent.{agent.name}", cure, lost=len(self.cost.lost))

    def _away(self, fault: Fault) -> str:
        moves = (move for each in self.figures.fail_overs if each.fault == fault for move in each.taken)
        for move in moves:
            if move.agent == self.cost.agent:
                return f"{move.agent} is away for {move.seconds:.1f} s until {move.node} takes over"
        return f"{self.cost.agent} is away with {fault.ends[0]}"

    def _apart(self, fault: Fault) -> str:
        """Why those who ask and those who answer do not reach each other."""
        held = (
            f"{self.cost.agent}, on {', '.join(sorted(self.cost.holders))}," if self.cost.holders else self.cost.agent
        )
        if brings_hub_down(fault, self.faults, self.hubs):
            carried = "" if fault.kind == "hub" else f", which {fault.ends[0]} carries,"
            gap = f"the hub{carried} is away, and nothing goes from node to node"
        elif fault.kind == "node":
            gap = f"{fault.ends[0]} is away"
        elif HUB in fault.ends:
            [alone] = {*fault.ends} - {HUB}
            gap = f"{alone} has no link to the hub, and reaches no other node"
        else:
            gap = f"nothing goes between {fault.ends[0]} and {fault.ends[1]}"
        return f"{held} is not reached from everywhere, as {gap}{self._at_home()}"

    def _at_home(self) -> str:
        """Why requests that came to a node which holds it were hit too."""
        if not {*self.cost.doors} & self.cost.holders:
            return ""
        if self.fleet.agents[self.cost.agent].exclusive:
            return " (it is exclusive, and answers under a lease of the hub alone)"
        return " (what waited meanwhile comes all at once then, also before what comes to its own node)"

    # ---- cures -------------------------------------------------------------------------------------------------------

    def _two(self, agent: FleetAgent) -> str:
        """For when its holder is away, and another node could hold it."""
        if agent.exclusive:
            return f"one node at a time holds it, as it is exclusive: {self._kept(agent)}"
        return TWO if len(self.cost.holders) < 2 else self._kept(agent)

    def _nearer(self, agent: FleetAgent) -> str:
        """For when its holder is there and not reached: those at whose doors it was asked for could hold it too."""
        if agent.exclusive:
            return f"one node at a time holds it, as it is exclusive: {self._kept(agent)}"
        if agent.fixed:
            return f"{agent.fixed}: let its callers ask {agent.home} itself, or {self._kept(agent)}"
        doors = [name for name in self.cost.doors if name not in self.cost.holders]
        if not doors:
            return self._kept(agent)
        wanted = {*agent.models, *agent.alternatives}
        far = not wanted or any(model not in self.fleet.sizes for model in wanted)
        able = {name for name, node in self.fleet.nodes.items() if far or wanted & node.models}
        lacking = [name for name in doors if name not in able]
        there = f"add {agent.models[0]} to the models of {', '.join(lacking)}, and " if lacking else ""
        labels = ", ".join(f"{key}: {value}" for key, value in agent.labels.items())
        there += f"give {', '.join(doors)} the labels {labels}, and " if labels else ""
        holders = len(able | {*doors} | self.cost.holders)
        alone = f"write replicas: {holders}, so that {', '.join(doors)} can answer without another node"
        return f"{there}{alone}; or {self._kept(agent)}"

    def _kept(self, agent: FleetAgent) -> str:
        spec: Mapping[str, Any] = self.blueprint.elements[f"agent.{agent.name}"].spec
        if spec.get("store_and_forward") is not None:
            return "let callers wait: what is kept is answered once it can be reached again"
        return f"write {KEEP}" if spec["data_class"] != "restricted" else "let callers ask again"
