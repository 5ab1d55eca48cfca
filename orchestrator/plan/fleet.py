"""What placement needs to know of a deployment: its nodes, its agents, its models. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from orchestrator.core.blueprint import Blueprint, Element

Failover = Literal["automatic", "manual", "none"]
LEASE: Final = 6.0
DRAIN: Final = 30.0
HEALTH_GATE: Final = 60.0


@dataclass(frozen=True, slots=True)
class FleetNode:
    """A machine of the manifest. ``memory``: bytes that its models may take; ``None``: not told, and nothing is held against it.
    ``models`` are the aliases that the manifest has served there."""

    name: str
    models: frozenset[str] = frozenset()
    memory: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def capacity(self) -> float:
        """Its weight among others: GiB that models may take, 1 where that is not told."""
        return max(self.memory / 2**30, 0.1) if self.memory is not None else 1.0


@dataclass(frozen=True, slots=True)
class FleetAgent:
    """An agent. ``home``: the node that the manifest names it under, or empty. ``fixed``: why it never leaves the node that it is
    on, or empty. ``models`` in order of preference; ``alternatives`` serve it where a node stands in."""

    name: str
    home: str = ""
    models: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    fixed: str = ""
    exclusive: bool = False
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Fleet:
    """A deployment as placement sees it. ``sizes``: bytes of the models that a node has to have in its own memory; an alias that is
    not in it is served from elsewhere, and every node can use it. ``lease``, ``drain`` and ``health_gate`` are seconds: the term of
    leases, how long what a node has begun may take to end, and for how long it is watched after it took a new manifest over."""

    nodes: Mapping[str, FleetNode]
    agents: Mapping[str, FleetAgent]
    sizes: Mapping[str, int] = field(default_factory=dict)
    failover: Failover = "none"
    balanced: bool = True
    lease: float = LEASE
    drain: float = DRAIN
    health_gate: float = HEALTH_GATE

    def stays(self, agent: FleetAgent) -> bool:
        """Whether an agent never moves by itself: nobody takes it over when its node is dead."""
        return bool(agent.fixed) or self.failover != "automatic"


def fleet_of(blueprint: Blueprint) -> Fleet:
    """The fleet of a blueprint. Routers are not placed: every node has them all."""
    nodes = {
        node["name"]: FleetNode(node["name"], frozenset(node["models"]), node["memory"], dict(node["labels"]))
        for node in blueprint.nodes
    }
    homes = {agent: node["name"] for node in blueprint.nodes for agent in node["agents"]}
    pinned = {node["name"] for node in blueprint.nodes if node["pin"]}
    agents = [_agent(element, homes, pinned) for element in blueprint.of_kind("agent")]
    sizes = {
        spec["alias"]: _size(spec) for spec in (each.spec for each in blueprint.of_kind("model")) if _is_near(spec)
    }
    together = blueprint.coordination
    failover: Failover = together["failover"] if together else "none"
    balanced = together["load_balancing"] if together else True
    lease, drain, gate = LEASE, DRAIN, HEALTH_GATE
    if together:  # a manifest that an older version has compiled lacks the later ones
        lease, drain, gate = together["lease"], together.get("drain", DRAIN), together.get("health_gate", HEALTH_GATE)
    return Fleet(nodes, {agent.name: agent for agent in agents}, sizes, failover, balanced, lease, drain, gate)


def _agent(element: Element, homes: Mapping[str, str], pinned: set[str]) -> FleetAgent:
    spec = element.spec
    home = homes.get(spec["name"], "")
    restricted = "restricted data stays there" if spec["data_class"] == "restricted" else ""
    fixed = restricted or ("its agents are pinned" if home in pinned else "")
    return FleetAgent(
        name=spec["name"],
        home=home,
        models=tuple(spec["models"]),
        alternatives=tuple(spec.get("alternatives", ())),
        labels=dict(spec.get("node_labels", {})),
        fixed=fixed,
        exclusive=spec.get("exclusive", False),
        replicas=1 if spec.get("exclusive") or fixed else spec.get("replicas", 1),
    )


def _is_near(spec: Mapping[str, object]) -> bool:
    return spec["zone"] == "node"


def _size(spec: Mapping[str, object]) -> int:
    """What is known of it, else 0: what is unknown is not held against a node."""
    memory = spec["memory"]
    return memory if isinstance(memory, int) else 0
