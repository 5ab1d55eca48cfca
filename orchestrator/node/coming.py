"""How long it makes sense to wait for somebody to hold an agent. Pure: time is handed in.

A request that nobody takes on waits for a moment. It waits longer where the agent, an exclusive one, was given to another node
just now: its former holder ends first what it has begun; and where its node has just fallen silent, as long as it takes until
another one stands in. Where nobody will come it does not wait: all nodes that the agent was given to are dead, and it stays with
them by the rules of the fleet; or they have been dead for a while, nobody was given it in their place, and it may be kept for
later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.plan.placement import Assignment

MOMENT: Final = 1.0


@dataclass(slots=True)
class Coming:
    """What is known of who is to hold which agent. ``is_dead`` says it of a node, now."""

    is_dead: Callable[[str], bool]
    _nodes: dict[str, frozenset[str]] = field(default_factory=dict)
    _moved: dict[str, float] = field(default_factory=dict)
    _hopeless: dict[str, float] = field(default_factory=dict)  # agent -> since when all of its nodes are dead

    def given(self, assignment: Assignment, now: float) -> None:
        """Who is to hold what from now on. The first that is heard is no move, and a dead holder ends nothing."""
        nodes: dict[str, frozenset[str]] = dict.fromkeys(assignment.nowhere, frozenset())
        for agent, places in assignment.places.items():
            nodes[agent] = frozenset(place.node for place in places)
            if not all(map(self.is_dead, self._nodes.get(agent, frozenset()) - nodes[agent])):
                self._moved[agent] = now
        self._nodes = nodes
        self.look(now)
        self._moved = {agent: at for agent, at in self._moved.items() if agent in nodes}

    def look(self, now: float) -> None:
        """Note for whose agents nobody lives. To be called again and again."""
        lost = {agent for agent, nodes in self._nodes.items() if all(map(self.is_dead, nodes))}
        self._hopeless = {agent: self._hopeless.get(agent, now) for agent in lost}

    def until(self, agent: str, drain: float) -> float:
        """Until when its next holder may have to wait for the former one, which has ``drain`` seconds to end what it began."""
        return self._moved.get(agent, float("-inf")) + drain

    def is_alone(self, agent: str, now: float) -> bool:
        """Whether it was given to nodes that are all dead, and were so a moment ago too: a process that stood still takes all
        others for dead until it has read its mail."""
        return bool(self._nodes.get(agent)) and self.is_hopeless(agent, now, MOMENT)

    def is_hopeless(self, agent: str, now: float, patience: float) -> bool:
        """Whether its nodes have been dead for so long that others would have taken over, had anybody been there for it."""
        since = self._hopeless.get(agent)
        return since is not None and now - since >= patience
