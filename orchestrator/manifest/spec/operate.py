"""How a deployment is operated: nodes, coordination, resources, queues, monitoring, security, serving."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from orchestrator.manifest.spec.agent import AgentItem, Kept, StrategyName
from orchestrator.manifest.spec.doubt import EscalateWhen
from orchestrator.manifest.spec.fields import (
    BY_SHAPE,
    MAP,
    NUMBER,
    TEXT,
    Duration,
    Limit,
    Name,
    NameOr,
    Share,
    Size,
    Spec,
)
from orchestrator.manifest.spec.model import ModelItem
from orchestrator.manifest.spec.policy import Budget, Redaction


class Hardware(Spec):
    """What the device has; measured where omitted."""

    memory: Size | None = None
    """Main memory. Written, it goes before what is measured, and `validate` checks that the models fit."""
    cpus: Annotated[int | None, Field(ge=1, examples=[4])] = None
    """Processor cores."""
    gpu_memory: Size | None = None
    """Memory of graphics cards, all together. Where only `memory` is written: none."""
    power: Literal["mains", "battery"] | None = None
    """Where its power comes from."""


HardwareItem = Annotated[Annotated[Hardware, Tag(MAP)] | NameOr, BY_SHAPE]
Threshold = Annotated[Annotated[str, Tag(TEXT)] | Annotated[float, Tag(NUMBER)], BY_SHAPE]


class NodeEntry(Spec):
    """A machine of a distributed-edge deployment."""

    id: Annotated[Name, Field(examples=["edge-1"])]
    """Its name."""
    agents: list[AgentItem] = []
    """Agents that run there."""
    models: list[ModelItem] = []
    """Models that are served there."""
    hardware: HardwareItem | None = None
    """What it has."""
    labels: Annotated[dict[str, str], Field(examples=[{"site": "milan-2"}])] = {}
    """Free labels."""
    hub: bool = False
    """Whether it carries the hub of the mesh."""
    pin: bool = False
    """Whether its agents stay on it: no other node takes them over while it is away."""


class Coordination(Spec):
    """How the nodes work together."""

    load_balancing: bool = False
    """Local first, else the less loaded of two healthy endpoints."""
    failover: Literal["automatic", "manual", "none"] = "none"
    """Whether a lost node's agents are placed on others."""
    lease: Duration = 6.0
    """How long a leader leads, and an exclusive agent's node has it, without renewing."""
    drain: Duration = 30.0
    """How long a node may take to finish its work."""
    health_gate: Duration = 60.0
    """How long each node is watched after it took a new manifest over, before the next one does."""


class RoutingDefaults(Spec):
    """Defaults for routers."""

    strategy: StrategyName | None = None
    """How routers choose."""
    routing_strategy: Literal["intent-based"] | None = None
    """Another spelling of `strategy: cascade`."""
    confidence: Share | None = None
    """The least confidence that is accepted."""
    default: Annotated[Name | None, Field(examples=["orders"])] = None
    """The agent that takes what no strategy is sure of."""


class EscalationDefaults(Spec):
    """Defaults for escalation."""

    to: Annotated[Name | None, Field(examples=["front-desk"])] = None
    """The agent that takes over."""
    when: Annotated[EscalateWhen | None, Field(examples=[["error", "requested"]])] = None
    """When it does, for faults and for signs of a wrong answer."""
    most: Annotated[int, Field(ge=1, le=8, examples=[3])] = 3
    """How often one run may be handed over; what the last one says then counts, whatever its signs."""
    store_and_forward: Annotated[Kept | None, Field(examples=[True, {"expires": "72h"}])] = None
    """Whether requests wait for escalation agents whose models cannot be reached; an agent may say otherwise."""
    budget: Budget | None = None
    """What all agents together may spend in the cloud. A call that would break it is not made (ORC551), and whoever stands behind
    the agent takes over."""
    approval: Literal["never", "always"] = "never"
    """Whether a person must allow, in each run, that an agent sends something to the cloud. An agent that has a model nearby too
    asks that one instead."""


class Resources(Spec):
    """Limits on what the deployment takes of its device."""

    max_memory_usage: Annotated[Limit | None, Field(examples=["6GB", "75%"])] = None
    """Memory for models and orchestrator together: a size, or a share of what the device has.
    Models of servers that load on request take turns within it, and servers that we start do where they do not fit together."""
    max_concurrent_agents: Annotated[int | None, Field(ge=1, le=10_000, examples=[8])] = None
    """Requests in work at the same time: those for which a model or a function works. More wait in the queue, the more urgent
    class first, and of those as urgent first whoever's model is in memory; who only waits for a model counts as none."""
    model_cache_size: Size | None = None
    """Memory for models that are loaded but idle, of all that models may take."""
    auto_unload_idle_models: bool | None = None
    """Whether idle models are unloaded, after 5 minutes or their own `keep_alive`; it is so unless this says `false`.
    Servers that we start end while they are idle only where this says `true`, or their model has a `keep_alive`."""
    power_management: bool | None = None
    """Whether load is shed while the device runs on its battery: of an agent's models and their fallbacks the secondary, then
    the smallest is asked first."""


class QueueClass(Spec):
    """A bounded queue."""

    length: Annotated[int | None, Field(ge=1, le=1_000_000, examples=[64])] = None
    """Requests that may wait; more are refused."""
    timeout: Duration | None = None
    """The longest wait."""


class Queue(Spec):
    """Queues by priority class."""

    interactive: QueueClass = QueueClass()
    """Where a person waits for the answer."""
    default: QueueClass = QueueClass()
    """Everything else."""
    bulk: QueueClass = QueueClass()
    """What may wait for long."""


class Alert(Spec):
    """Something to do when a metric passes a threshold."""

    metric: Literal["response_time", "success_rate", "memory_usage", "resource_usage", "queue_depth"]
    """Which metric."""
    threshold: Annotated[Threshold, Field(examples=["2s", "80%"])]
    """Where it begins to matter."""
    action: Literal["log", "scale_down_model", "unload_idle_agents", "escalate"] = "log"
    """What to do."""


class Monitoring(Spec):
    """What is measured."""

    metrics: list[Literal["response_time", "success_rate", "resource_usage"]] = []
    """Which metrics are kept."""
    alerts: list[Alert] = []
    """What to do when one passes a threshold."""
    local_storage: bool = True
    """Whether they are kept on this device."""


class Security(Spec):
    """What may be loaded and called, and what may leave."""

    tool_roots: Annotated[list[str], Field(examples=[["tools"]])] = []
    """More folders that `python:` tools may be loaded from, beside the manifest's own."""
    redaction: Redaction = Redaction()
    """What is replaced before anything goes to the cloud."""


class Serve(Spec):
    """The front door: the OpenAI chat-completions protocol on this device."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    """Only loopback, until keys and TLS are there."""
    port: Annotated[int | None, Field(ge=1, le=65535, examples=[7411])] = None
    """An own port. Without it: the runtime's."""
