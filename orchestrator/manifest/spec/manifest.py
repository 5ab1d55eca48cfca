"""The root of a manifest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.manifest.spec.agent import AgentItem
from orchestrator.manifest.spec.fields import Duration, Name, Spec
from orchestrator.manifest.spec.model import ModelItem
from orchestrator.manifest.spec.operate import (
    Coordination,
    EscalationDefaults,
    HardwareItem,
    Monitoring,
    NodeEntry,
    Queue,
    Resources,
    RoutingDefaults,
    Security,
    Serve,
)
from orchestrator.manifest.spec.people import People
from orchestrator.manifest.spec.tool import KnowledgeEntry, ToolItem


class Metadata(Spec):
    """What the deployment is called."""

    name: Annotated[Name | None, Field(examples=["clinic-front-desk"])] = None
    """Its name; the file's stem by default."""
    labels: Annotated[dict[str, str], Field(examples=[{"site": "milan-2"}])] = {}
    """Free labels."""


class DeploymentSpec(Spec):
    """What runs, and where."""

    type: Literal["single-device", "distributed-edge"]
    """One device, or several on a mesh."""
    hardware: Annotated[HardwareItem | None, Field(examples=["edge-device"])] = None
    """A profile's name, or what the device has; measured where omitted."""
    models: list[ModelItem] = []
    """Models that agents use."""
    agents: list[AgentItem] = []
    """Who answers."""
    tools: list[ToolItem] = []
    """What agents may do."""
    knowledge: list[KnowledgeEntry] = []
    """Local documents."""
    nodes: list[NodeEntry] = []
    """For `distributed-edge`: the machines."""
    coordination: Coordination | None = None
    """For `distributed-edge`: how the machines work together."""
    routing: RoutingDefaults = RoutingDefaults()
    """Defaults for routers."""
    escalation: EscalationDefaults = EscalationDefaults()
    """Defaults for escalation."""
    entry: Annotated[Name | None, Field(examples=["orders"])] = None
    """The agent that requests enter at. Without it: the router, or the only agent."""
    timeout: Annotated[Duration, Field(examples=["2m"])] = 120.0
    """The longest time for a whole request."""
    resources: Resources = Resources()
    """Limits on what it takes of the device."""
    queue: Queue = Queue()
    """How requests wait."""
    monitoring: Monitoring = Monitoring()
    """What is measured."""
    people: People = People()
    """What waits for people."""
    security: Security = Security()
    """What may be loaded and called."""
    serve: Serve = Serve()
    """The front door."""


class Manifest(Spec):
    """A deployment manifest, version 1."""

    apiVersion: Literal["orchestrator/v1"] = "orchestrator/v1"  # noqa: N815 - the key's spelling follows Kubernetes
    """The version of the format; a manifest without one is v1."""
    include: Annotated[list[str], Field(examples=[["models.yaml"]])] = []
    """Other files, merged below this one. They count from this file's folder."""
    metadata: Metadata = Metadata()
    """Name and labels."""
    deployment: DeploymentSpec
    """What runs, and where."""
