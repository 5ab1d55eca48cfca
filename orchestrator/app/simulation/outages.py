"""When an agent has no node that could hold it, by which fault, and whose requests that left with no connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from orchestrator.app.simulation.calm import Calm
from orchestrator.app.simulation.costs import UNHEARD, Cost, over
from orchestrator.app.simulation.demand import UP
from orchestrator.app.simulation.engine import Wish
from orchestrator.app.simulation.faults import Fault
from orchestrator.app.simulation.play import ANSWERED, GONE, Story
from orchestrator.plan.fleet import Fleet, FleetAgent
from orchestrator.plan.placement import Assignment, place

STARTS: Final = 1.0
"""Seconds that a node which is back may take until it hears again."""


@dataclass(frozen=True, slots=True)
class Outage:
    """From ``fault`` on no node that lives can hold ``agent``, for a while or for good. ``unheard`` are those of its requests that
    came to a node which was down, or ended with it, and ``came_of`` tells of them: whichever other node their callers ask, nobody
    answers."""

    fault: Fault
    agent: str
    why: str
    cure: str
    unheard: tuple[Wish, ...]
    came_of: tuple[str, ...]

    def told(self, cost: Cost) -> str:
        """What becomes of its requests: of those that ``cost`` counts, which a living node heard, and of the others."""
        heard = [cost.told()] if cost.wishes or not self.unheard else []
        return "; ".join([*heard, *self.came_of])


def outages_of(story: Story, fleet: Fleet, calm: Calm | None) -> list[Outage]:
    """All of them, in the order in which they begin; of agents for which requests come."""
    found: list[Outage] = []
    for fault, until, agent, after, dead in _unheld(story, fleet):
        unheard = tuple(w for w in story.wishes if w.agent == agent.name and _is_of(w, fault.at, until))
        why, cure = _why(agent, after), _cure(agent, fleet, dead)
        found.append(Outage(fault, agent.name, why, cure, unheard, tuple(_told(unheard, calm))))
    return found


def _told(unheard: Sequence[Wish], calm: Calm | None) -> Iterator[str]:
    gone = sum(wish.outcome == GONE for wish in unheard)
    away = len(unheard) - gone
    if away:
        their = "finds no connection, as its" if away == 1 else "find no connection, as their"
        yield f"{away:,} {their} node is down"
    if gone:
        yield f"{gone:,} {'ends with its' if gone == 1 else 'end with their'} node"
    if unheard and calm is not None:
        answered = sum(calm[wish.id].outcome == ANSWERED for wish in unheard)
        yield f"{'all' if answered == len(unheard) else f'{answered:,}'} of these would be answered if it did not fail"


def unheard_in(outages: Iterable[Outage]) -> Mapping[str, str]:
    """The agent of each request with no connection that no other node would have answered either, by the request's id."""
    return {wish.id: wish.agent for outage in outages for wish in outage.unheard}


def deaths(faults: Sequence[Fault]) -> Iterator[tuple[Fault, set[str]]]:
    """Each time that a node fails, with all that are down then."""
    nodes = [fault for fault in faults if fault.kind == "node"]
    for one in sorted(nodes, key=lambda fault: fault.at):
        yield one, {fault.ends[0] for fault in nodes if fault.at <= one.at < over(fault)}


def _unheld(story: Story, fleet: Fleet) -> Iterator[tuple[Fault, float, FleetAgent, Assignment, set[str]]]:
    """By which fault, until when, which agent, what is placed then, and who is down."""
    nodes = [fault for fault in story.load.faults if fault.kind == "node"]
    moments = sorted({fault.at for fault in nodes} | {over(fault) for fault in nodes if isfinite(over(fault))})
    before = place(fleet, dict.fromkeys(fleet.nodes, UP))
    placed: list[tuple[float, Assignment, set[str], set[str]]] = []
    for moment in moments:
        dead = {fault.ends[0] for fault in nodes if fault.at <= moment < over(fault)}
        after = place(fleet, {name: UP for name in fleet.nodes if name not in dead}, before)
        held = {name for name, places in after.places.items() if any(one.node not in dead for one in places)}
        placed.append((moment, after, dead, {*story.load.shares} & {*fleet.agents} - held))
    last = set[str]()
    for index, (moment, after, dead, nobodys) in enumerate(placed):
        for cause in [fault for fault in nodes if fault.at == moment][:1]:
            for name in sorted(nobodys - last):
                until = next((at for at, _, _, later in placed[index:] if name not in later), inf)
                yield cause, until, fleet.agents[name], after, dead
        last = nobodys


def _is_of(wish: Wish, since: float, until: float) -> bool:
    return wish.outcome in UNHEARD and since <= wish.ended + 1e-6 and wish.at < until + STARTS


def _why(agent: FleetAgent, after: Assignment) -> str:
    places = after.places.get(agent.name, ())
    why = places[0].why if places else after.nowhere.get(agent.name, "")
    holder = places[0].node if places else agent.home
    return f"{holder} is the only holder of {agent.name}, and it fails: {_reason(why, holder)}"


def _reason(why: str, holder: str) -> str:
    for head in (f"{holder} is away, and no other node can hold it: ", f"{holder} is away, and "):
        why = why.removeprefix(head)
    return why or "no other node takes over"


def _cure(agent: FleetAgent, fleet: Fleet, dead: set[str]) -> str:
    others = [name for name in fleet.nodes if name not in dead]
    if agent.fixed:
        return "only its own node may answer it: let that be a machine that is mended fast, or lift what holds it there"
    if not others:
        with_it = f" that has {agent.models[0]}" if agent.models else ""
        return f"give the fleet a node more{with_it}, which does not fail with the others"
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
