"""Which node holds which agents. Pure: the same facts give the same placement on every node, whoever reckons it.

An agent is at its *home*, the node that the manifest names it under. Where that is dead, and the manifest allows it, others *stand
in*: nodes that have a model for it, the memory, and the labels. Among them it goes by rendezvous hashing, weighted by capacity
(Thaler and Ravishankar 1996; Schindelhauer and Schomaker 2005), so that a node that comes
or goes concerns its own agents only. What is placed stays where it is for as long as that is possible, and goes home once its
home has been ready for 10 s. A node's own agents come first: their models' memory is theirs also while others stand in for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import heapify, heappop
from math import log
from typing import Any, Final, Literal

from orchestrator.plan.fleet import Fleet, FleetAgent

READY_AGAIN: Final = 10.0
"""Seconds that a node must be ready until agents go back to it, so that one that comes and goes does not move them each time."""
HOME: Final = "the manifest names it there"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a node now. ``models``: aliases that it can serve, ``None`` where it has not told: those of the manifest.
    ``drained``: it is to take nothing new, and to give away what it may; ``cordoned``: only the first of it. ``faulty``: it counts
    as drained, as it cannot serve the manifest; nobody has drained it."""

    health: Literal["alive", "suspect", "dead"] = "alive"
    ready_for: float = 0.0
    models: frozenset[str] | None = None
    drained: bool = False
    cordoned: bool = False
    faulty: bool = False


_ODD: Final = 0x9E3779B97F4A7C15
"""2^64 by the golden ratio."""
_ALL: Final = 2**64 - 1
GONE: Final = Seen(health="dead")


@dataclass(frozen=True, slots=True)
class Place:
    """That a node holds an agent, with which alias ("" for none), and why."""

    node: str
    model: str
    why: str


def why_of(places: Iterable[Place]) -> str:
    """Why these nodes hold an agent, each reason once."""
    return "; ".join(dict.fromkeys(place.why for place in places))


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who holds what. An agent that nobody can hold has no places, and ``nowhere`` says why."""

    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    nowhere: Mapping[str, str] = field(default_factory=dict)

    def on(self, node: str) -> dict[str, Place]:
        """What a node holds: agent -> its place."""
        return {agent: place for agent, places in self.places.items() for place in places if place.node == node}

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        places = {agent: [[p.node, p.model, p.why] for p in places] for agent, places in self.places.items()}
        return {"places": places, "nowhere": dict(self.nowhere)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Assignment:
        """From the plain form; raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is none."""
        places = {agent: tuple(Place(*map(str, place)) for place in held) for agent, held in value["places"].items()}
        return cls(places, {agent: str(why) for agent, why in value["nowhere"].items()})


def place(fleet: Fleet, live: Mapping[str, Seen], previous: Assignment | None = None) -> Assignment:
    """The placement for a fleet, for what is seen of its nodes (one that is not in ``live`` is dead), after the previous one."""
    return _Placing(fleet, live, previous or Assignment()).all()


class _Placing:
    """One reckoning. ``taken``: the models that a node has to have in its memory."""

    def __init__(self, fleet: Fleet, live: Mapping[str, Seen], previous: Assignment) -> None:
        self.fleet, self.live, self.previous = fleet, live, previous
        self.taken: dict[str, set[str]] = {name: set(node.models) for name, node in fleet.nodes.items()}
        self.used: dict[str, int] = {}
        self.able: dict[tuple[frozenset[str], tuple[tuple[str, str], ...]], list[str]] = {}
        self.names = sorted(fleet.nodes)
        self.marks = {name: _mark(name) for name in self.names}
        self.alike = len({node.capacity for node in fleet.nodes.values()}) <= 1

    def all(self) -> Assignment:
        agents = [self.fleet.agents[name] for name in sorted(self.fleet.agents)]
        for agent in agents:
            if agent.home in self.fleet.nodes:
                self.taken[agent.home].update(filter(None, [self._model_at_home(agent)]))
        for node, models in self.taken.items():
            self.used[node] = sum(self.fleet.sizes.get(model, 0) for model in models)
        held = {agent.name: self._kept(agent) for agent in agents}
        for agent in agents:
            held[agent.name] += self._added(agent, held[agent.name])
        places = {agent: tuple(found) for agent, found in held.items() if found}
        return Assignment(places, {agent.name: self._why_nowhere(agent) for agent in agents if not held[agent.name]})

    # ---- what stays --------------------------------------------------------------------------------------------

    def _kept(self, agent: FleetAgent) -> list[Place]:
        """Its home, where it is or goes back there, and of the others those that still can hold it."""
        before = [one for one in self.previous.places.get(agent.name, ()) if one.node in self.fleet.nodes]
        kept = self._at_home(agent, before)
        if agent.fixed:
            return kept or before[:1]
        for one in before:
            if one.node != agent.home and len(kept) < agent.replicas and self._may_keep(agent, one):
                kept.append(one)
        return kept

    def _at_home(self, agent: FleetAgent, before: list[Place]) -> list[Place]:
        if agent.home not in self.fleet.nodes:
            return []
        seen, why = self._seen(agent.home), HOME
        elsewhere = bool(before) and all(one.node != agent.home for one in before)
        if self._stays(agent):
            why = self._waiting(agent) if seen.health == "dead" else HOME
        elif seen.health == "dead" or seen.drained or (elsewhere and not _is_back(seen)):
            return []
        return [Place(agent.home, self._model_at_home(agent), why)]

    def _stays(self, agent: FleetAgent) -> bool:
        """Whether it never moves by itself."""
        return bool(agent.fixed) or self.fleet.failover != "automatic"

    def _waiting(self, agent: FleetAgent) -> str:
        """Why an agent stays on a node that is dead."""
        if agent.fixed:
            return f"{agent.home} is away, and {agent.fixed}"
        if self.fleet.failover == "manual":
            return f"{agent.home} is away, and failover is manual: name the agent under another node to move it"
        return f"{agent.home} is away, and failover is none"

    def _may_keep(self, agent: FleetAgent, one: Place) -> bool:
        seen = self._seen(one.node)
        if not self._is_labelled(agent, one.node):
            return False
        if (seen.health == "dead" or seen.drained) and not self._stays(agent):
            return False
        if bool(one.model) != bool(agent.models):
            return False
        if one.model and one.model not in (*agent.models, *agent.alternatives):
            return False
        if one.model and seen.health != "dead" and not self._has(one.node, one.model):
            return False
        return self._take(one.node, one.model)

    # ---- what is new -------------------------------------------------------------------------------------------

    def _added(self, agent: FleetAgent, kept: list[Place]) -> list[Place]:
        """Nodes that are to hold it too."""
        wanted = agent.replicas - len(kept)
        if wanted <= 0:
            return []
        held = {one.node for one in kept}
        added: list[Place] = []
        for node in self._ranked(agent, held):
            model = self._model(agent, node)
            if model is not None and self._take(node, model):
                added.append(Place(node, model, self._reason(agent, model)))
                if len(added) == wanted:
                    break
        if not added and not kept and agent.home in self.fleet.nodes:
            why = f"{agent.home} is {self._out(agent.home)}, and no other node can hold it: {self._why_nowhere(agent)}"
            return [Place(agent.home, self._model_at_home(agent), why)]
        return added

    def _reason(self, agent: FleetAgent, model: str) -> str:
        has = f"has {model} and room for it" if model else "needs no model for it"
        if agent.home and self._seen(agent.home).health == "dead":
            return f"{agent.home} is dead, and this node {has}"
        if agent.home and self._seen(agent.home).drained:
            return f"{agent.home} is {self._out(agent.home)}, and this node {has}"
        return f"chosen by its name: this node {has}"

    def _ranked(self, agent: FleetAgent, without: set[str]) -> Iterable[str]:
        """Nodes that could stand in, the best first."""
        able = [name for name in self._able(agent) if name not in without and name != agent.home]
        return able if len(able) == 1 else self._by_score(agent, able)

    def _by_score(self, agent: FleetAgent, able: list[str]) -> Iterator[str]:
        """Whoever asks seldom wants more than the first, so that the others are not sorted."""
        drawn, marks, nodes = _mark(agent.name), self.marks, self.fleet.nodes
        if self.alike:  # then the order of what is drawn is that of the scores
            waiting: list[tuple[float, str]] = [(-_fold(drawn ^ marks[name]), name) for name in able]
        else:
            waiting = [(-_score(_fold(drawn ^ marks[name]), nodes[name].capacity), name) for name in able]
        heapify(waiting)
        while waiting:
            yield heappop(waiting)[1]

    def _able(self, agent: FleetAgent) -> list[str]:
        """Nodes that live, take something new, and have the labels and one of the models: many agents ask for the same."""
        wanted = frozenset((*agent.models, *agent.alternatives)) if agent.models else frozenset[str]()
        sought = (wanted, tuple(sorted(agent.labels.items())))
        if sought not in self.able:
            able = self._open(agent)
            has_one = [name for name in able if any(self._has(name, model) for model in wanted)]
            self.able[sought] = has_one if wanted else able
        return self.able[sought]

    def _open(self, agent: FleetAgent) -> list[str]:
        return [name for name in self.names if self._is_open(name) and self._is_labelled(agent, name)]

    def _is_open(self, name: str) -> bool:
        seen = self._seen(name)
        return seen.health == "alive" and not seen.drained and not seen.cordoned

    def _is_labelled(self, agent: FleetAgent, name: str) -> bool:
        labels = self.fleet.nodes[name].labels
        return all(labels.get(key) == value for key, value in agent.labels.items())

    # ---- models and memory -------------------------------------------------------------------------------------

    def _seen(self, name: str) -> Seen:
        return self.live.get(name, GONE)

    def _has(self, node: str, model: str) -> bool:
        """Whether a node can use a model: its own, or one that is served from elsewhere."""
        if model not in self.fleet.sizes:
            return True
        present = self._seen(node).models
        return model in (self.fleet.nodes[node].models if present is None else present)

    def _model_at_home(self, agent: FleetAgent) -> str:
        """The best one that is there; the first where none is: the agent goes on without a model then."""
        there = (model for model in agent.models if self._has(agent.home, model))
        return next(there, agent.models[0] if agent.models else "")

    def _model(self, agent: FleetAgent, node: str) -> str | None:
        """With which alias a node could stand in; ``None``: it cannot."""
        if not agent.models:
            return ""
        choice = (model for model in (*agent.models, *agent.alternatives) if self._has(node, model))
        return next((model for model in choice if self._fits(node, model)), None)

    def _fits(self, node: str, model: str) -> bool:
        memory = self.fleet.nodes[node].memory
        if memory is None or not model or model in self.taken[node]:
            return True
        return self.used[node] + self.fleet.sizes.get(model, 0) <= memory

    def _take(self, node: str, model: str) -> bool:
        """Take the memory for a model; False where there is none."""
        if not self._fits(node, model):
            return False
        if model and model not in self.taken[node]:
            self.taken[node].add(model)
            self.used[node] += self.fleet.sizes.get(model, 0)
        return True

    def _out(self, name: str) -> str:
        """Why a node gives its agents away."""
        seen = self._seen(name)
        if seen.health == "dead" or not seen.drained:
            return "away"
        return "unable to serve the manifest" if seen.faulty else "drained"

    def _why_nowhere(self, agent: FleetAgent) -> str:
        home = self._seen(agent.home) if agent.home in self.fleet.nodes else GONE
        own = [agent.home] if home.drained and not home.faulty and home.health != "dead" else []
        closed = dict(self._closed(agent))
        cure = f"; orchestrator node uncordon, on {' or '.join([*own, *closed])}, undoes it" if own or closed else ""
        return f"{', '.join(closed.values()) or self._why_unable(agent)}{cure}"

    def _why_unable(self, agent: FleetAgent) -> str:
        able = [name for name in self._open(agent) if name != agent.home]
        if not able:
            labels = ", ".join(f"{key}={value}" for key, value in agent.labels.items())
            return f"no node with {labels} is alive" if labels else "no other node is alive"
        wanted = (*agent.models, *agent.alternatives)
        if not any(self._has(name, model) for name in able for model in wanted):
            return f"no node that is alive has {' or '.join(wanted)}"
        return f"no node that has {' or '.join(wanted)} has the memory for it"

    def _closed(self, agent: FleetAgent) -> Iterator[tuple[str, str]]:
        """Nodes that could hold it, but for what an operator has told them, with that."""
        wanted = (*agent.models, *agent.alternatives) if agent.models else ()
        for name in self.names:
            seen = self._seen(name)
            told = "drained" if seen.drained else "cordoned" if seen.cordoned else ""
            if name == agent.home or not told or seen.health == "dead" or seen.faulty:
                continue
            if self._is_labelled(agent, name) and (not wanted or any(self._has(name, model) for model in wanted)):
                yield name, f"{name} is {told}"


def _is_back(seen: Seen) -> bool:
    return seen.health == "alive" and not seen.cordoned and seen.ready_for >= READY_AGAIN


def _score(drawn: int, capacity: float) -> float:
    """Weighted rendezvous hashing: a node gets the share of all agents that its capacity has of all capacity."""
    return -capacity / log((drawn + 0.5) / 2**64)


def _mark(name: str) -> int:
    """64 bits of a name."""
    return int.from_bytes(sha256(name.encode()).digest()[:8])


def _fold(bits: int) -> int:
    """64 bits that depend on each of those: a product's two halves laid over each other, as in wyhash. A digest for each pair of
    an agent and a node would be as good, and takes five times as long."""
    product = bits * _ODD
    return (product ^ product >> 64) & _ALL
