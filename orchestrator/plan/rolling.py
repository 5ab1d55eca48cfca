"""How a new manifest goes over a fleet: one node at a time, each watched for a while, and back where one is unwell. Pure.

The leader keeps a :class:`Rollout` beside the placement, so that whoever leads next goes on where it stands. Nothing of it is a
time of day: :class:`Watch` counts on the leader's own clock, and a new leader watches the node at work from the beginning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

from orchestrator.plan.fleet import Fleet
from orchestrator.plan.placement import Assignment, Place, Seen, place

MOST_ERRORS: Final = 0.05
"""The share of requests that may fail on a node with the new manifest; more only where as many failed before."""
LEAST_ERRORS: Final = 3
"""Failures below this say nothing: one odd request must not turn a fleet back."""
SLOWER: Final = 2.0
"""How much longer the slowest twentieth of the answers may take than before."""
SLACK_MS: Final = 500.0
"""What is slower by less than this is not slower: rules answer within milliseconds, and on a busy device they wait for a moment."""
LEAST_TIMED: Final = 50
"""Requests, before and since, from which on their times are compared."""
TAKING: Final = 10.0
"""A node that has not taken it over after so many health gates is unwell."""
State = Literal["rolling", "done", "failed"]
_STATES: Final = ("rolling", "done", "failed")


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests that a node has answered, how many of them failed, and how long (ms) all but the slowest twentieth took."""

    requests: int = 0
    errors: int = 0
    p95_ms: float = 0.0

    @property
    def share(self) -> float:
        """Of those that failed."""
        return self.errors / self.requests if self.requests else 0.0


NO_TALLY: Final = Tally()


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a node: how it is, the generation that it serves, why it cannot serve the wanted one, and its tallies of the
    generation before and since it took over this one."""

    health: Literal["alive", "suspect", "dead"] = "alive"
    generation: int = 0
    fault: str = ""
    before: Tally = NO_TALLY
    since: Tally = NO_TALLY


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a generation has come. ``taken``: nodes that serve it and were well; ``node``: the one whose turn it is, or empty;
    ``why`` it failed."""

    generation: int = 0
    state: State = "done"
    taken: tuple[str, ...] = ()
    node: str = ""
    why: str = ""

    def is_for(self, node: str) -> bool:
        """Whether a node shall serve it by now."""
        return self.state == "done" or (self.state == "rolling" and node in (*self.taken, self.node))

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        plain = {"generation": self.generation, "state": self.state, "taken": list(self.taken)}
        return {**plain, "node": self.node, "why": self.why}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Rollout:
        """From the plain form; raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is none."""
        if value["state"] not in _STATES:
            raise ValueError(f"{value['state']!r} is no state of a rollout")
        state, taken = cast(State, value["state"]), tuple(map(str, value["taken"]))
        return cls(int(value["generation"]), state, taken, str(value["node"]), str(value["why"]))


def begun(generation: int, said: Mapping[str, Said]) -> Rollout:
    """A rollout of which nothing is known: new, or forgotten by the store. Where all that live serve it, it is over."""
    alive = [each for each in said.values() if each.health == "alive"]
    over = bool(alive) and all(each.generation == generation for each in alive)
    return Rollout(generation, "done" if over else "rolling")


@dataclass(slots=True)
class Watch:
    """The leader's clock for the node at work: since when it is its turn, and since when it serves the new generation."""

    _of: tuple[int, str] = (0, "")
    _asked: float = 0.0
    _served: float | None = None

    def step(
        self, rollout: Rollout, order: Sequence[str], said: Mapping[str, Said], gate: float, now: float
    ) -> Rollout:
        """Where it stands now; the same where there is nothing to decide. ``order``: all nodes of the new manifest; ``gate``: the
        seconds that each is watched."""
        if rollout.state != "rolling":
            return rollout
        if not rollout.node:
            return self._next(rollout, order, said)
        node = said.get(rollout.node, Said("dead"))
        why = self._unwell(rollout, node, gate, now)
        if why:
            return replace(rollout, state="failed", why=f"node.{rollout.node}: {why}")
        if node.health != "alive" or self._served is None or now - self._served < gate:
            return rollout
        return self._next(replace(rollout, taken=(*rollout.taken, rollout.node), node=""), order, said)

    def _next(self, rollout: Rollout, order: Sequence[str], said: Mapping[str, Said]) -> Rollout:
        """The next node that lives; those that are away take it over when they are back."""
        left = [node for node in order if node not in rollout.taken]
        there = [node for node in left if said.get(node, Said("dead")).health == "alive"]
        if there:
            return replace(rollout, node=there[0])
        return rollout if any(said.get(node, Said("dead")).health == "suspect" for node in left) else _over(rollout)

    def _unwell(self, rollout: Rollout, node: Said, gate: float, now: float) -> str:
        """Why the node at work is turned back; empty while nothing speaks for it."""
        if self._of != (rollout.generation, rollout.node):
            self._of, self._asked, self._served = (rollout.generation, rollout.node), now, None
        if node.fault:
            return f"it cannot serve it: {node.fault}"
        if node.health == "dead":
            return "it died when it took it over"
        if node.generation != rollout.generation:
            self._served = None  # it may have begun anew
            late = now - self._asked > TAKING * gate
            return f"it has not taken it over after {TAKING * gate:g} s" if late else ""
        self._served = now if self._served is None else self._served
        return worse(node.before, node.since)


def _over(rollout: Rollout) -> Rollout:
    return replace(rollout, state="done", node="")


def worse(before: Tally, since: Tally) -> str:
    """Why a node does worse than before, in words; empty where it does not."""
    if since.errors >= LEAST_ERRORS and since.share >= MOST_ERRORS and since.share > before.share:
        return (
            f"{since.errors} of {since.requests} requests failed since, and {before.errors} of {before.requests} before"
        )
    if min(before.requests, since.requests) < LEAST_TIMED:
        return ""
    if since.p95_ms > SLOWER * before.p95_ms and since.p95_ms > before.p95_ms + SLACK_MS:
        return f"answers take {since.p95_ms:.0f} ms (p95), and took {before.p95_ms:.0f} ms before"
    return ""


def in_order(old: Fleet, new: Fleet) -> list[str]:
    """Nodes in the order of their turns: first who gets agents that are new, last who loses some that nobody has afterwards; so
    what a manifest adds is there early, and what it takes away is there long."""
    added, gone = new.agents.keys() - old.agents.keys(), old.agents.keys() - new.agents.keys()
    gives = {old.agents[name].home for name in gone}
    gets = {new.agents[name].home for name in added}
    return sorted(new.nodes, key=lambda node: (node in gives, node not in gets, node))


@dataclass(frozen=True, slots=True)
class Between:
    """A placement while some nodes serve the ``new`` manifest and others the ``old`` one. ``live`` is what is seen of the nodes of
    both, ``previous`` what was placed last."""

    old: Fleet
    new: Fleet
    live: Mapping[str, Seen]
    previous: Assignment = field(default_factory=Assignment)

    def placed(self, taken: Collection[str], moving: str) -> Assignment:
        """Who holds what: each node by the manifest that it serves, and nobody gives an agent up before its next holder is ready.
        ``taken`` nodes serve the new one, ``moving`` is about to."""
        on = {*taken, moving} - {""}
        before, after = place(self.old, self.live, self.previous), place(self.new, self.live, self.previous)
        there = place(self.new, {node: seen for node, seen in self.live.items() if node in on}, self.previous)
        places: dict[str, tuple[Place, ...]] = {}
        for agent in sorted({*self.old.agents, *self.new.agents}):
            held = [one for one in before.places.get(agent, ()) if one.node not in on]
            held += [one for one in after.places.get(agent, ()) if one.node in on]
            if agent in self.new.agents and all(one.node == moving for one in held):
                held += self._for_now(agent, on, held, before, there)
            if held:
                places[agent] = tuple(held)
        nowhere = {agent: why for agent, why in {**before.nowhere, **after.nowhere}.items() if agent not in places}
        return Assignment(places, nowhere)

    def _for_now(
        self, agent: str, on: Collection[str], held: Sequence[Place], before: Assignment, there: Assignment
    ) -> list[Place]:
        """Who holds an agent until the node that it moves to has had its turn: those that did, or some that can."""
        known = {one.node for one in held}
        stay = [one for one in before.places.get(agent, ()) if one.node in on and one.node not in known]
        if stay or held:
            return [replace(one, why="until the manifest has reached the node that it moves to") for one in stay]
        return [one for one in there.places.get(agent, ()) if one.node in on]
