"""The blueprint: an agent graph lowered to plain, JSON-able values, each part with its digest.

It is what is wanted, in a form that the planner compares, the store keeps, the runtime serves from, and another node could
be sent. No graph library and no manifest model is needed to read it. Durations are seconds, sizes bytes, shares 0..1.
Every prompt, path and secret reference is already resolved to what the runtime needs: paths are absolute, secrets are
references (``env:``, ``file:``, ``keyring:``), prompts are Jinja2 sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NotRequired, TypedDict

from orchestrator.core.digest import digest_of

BLUEPRINT_FORMAT: Final = 6
"""Raised when the shape below changes; a stored blueprint of another format is compiled again from its sources."""
MOST_ESCALATIONS: Final = 3
"""How often one run may be handed over where the manifest says nothing."""


class ServerSpec(TypedDict):
    """A model server that we start."""

    kind: str  # the provider kind, which is also the launcher's
    model: str  # an absolute path, else an id or a tag as this make has it
    scenario: str | None
    host: str
    port: int | None  # None: a free one
    start_timeout: float
    remote_code: bool
    options: dict[str, Any]  # what the manifest gives, by the manifest's names
    max_instances: NotRequired[int]  # processes of it that may run at once, where that is more than one


class ModelSpec(TypedDict):
    """A model alias of the manifest, with everything needed to find a server for it."""

    alias: str
    kind: Literal["chat", "embedding"]
    provider: str | None  # None: whichever known server on this device serves it
    ids: dict[
        str, list[str]
    ]  # provider kind -> the ids that this model may have there, best first; "*" for any provider
    endpoint: str | None  # a base URL, where the manifest names one
    api_key: str | None  # a secret reference
    zone: Literal["node", "lan", "cloud"]
    tasks: list[str]
    primary: bool
    secondary: bool
    complexity: list[str]  # simple, moderate, complex: the requests that it is meant for
    priorities: list[str]  # interactive, default, bulk: the same
    context_length: int | None
    max_concurrent: int | None
    memory: int | None  # as the manifest says, else the weights of the build that is meant
    whole_memory: int | None  # what the manifest says that it takes in all
    builds: dict[str, int]  # quantization -> bytes of the weights
    cache_per_token: int | None  # bytes of keys and values
    served_as: dict[str, str]  # provider kind -> the build that its plain id serves, where the catalogue knows
    quantization: str | None  # the build that the manifest wants
    named: str | None  # the id that the manifest itself gives
    window: int | None  # tokens a request that the manifest asks for
    options: dict[str, Any]  # temperature, max_tokens, …: defaults for calls
    server: ServerSpec | None  # a server that we start for it; None: one that runs already
    fallback: list[str]  # aliases, in order
    keep_alive: float | None  # seconds that it may rest before it is unloaded
    pinned: bool  # it is never unloaded
    price: NotRequired[dict[str, float]]  # input, output: money for a million tokens


class ReflexSpec(TypedDict):
    """One reflex rule: when it fires, what it takes from the text, what it calls, what it says."""

    when: dict[str, Any]  # as a route's, and {"intent": str, "examples": [str]}; {} always fires
    extract: dict[str, str]  # name -> regex (the named or first group, else the whole match)
    call: str | None  # "tickets.create"
    arguments: dict[str, Any]  # values; strings are Jinja2 templates over the extracted names, `text` and `session`
    say: str  # a Jinja2 template over `result`, the extracted names, `text`
    first: bool  # True: written in the manifest, tried before a model; False: of a template, tried only without a model
    unsure: bool  # True: what it says is an honest non-answer


class AgentSpec(TypedDict):
    """A specialist or escalation agent."""

    name: str
    role: Literal["specialist", "escalation"]
    description: str
    models: list[str]  # aliases in order of preference; empty: needs no model
    model_why: NotRequired[str]  # why the first of them, where it was chosen of several and not written
    instructions: str  # a Jinja2 source
    tools: list[str]  # names of tools; an agent may call every function of each
    knowledge: list[str]
    examples: list[str]
    keywords: list[str]
    skills: list[
        dict[str, Any]
    ]  # {"name", "description", "examples": [...]} where a template or manifest gives several
    max_tokens: int | None
    temperature: float | None
    timeout: float | None
    offline: bool
    data_class: Literal["public", "internal", "restricted"]
    output_schema: dict[str, Any] | None
    escalate_to: str | None
    escalate_when: list[str]  # words: error, timeout, …, and the signs of ``gate``
    reflex: list[ReflexSpec]
    human: dict[str, Any] | None  # an escalation to a person
    store_and_forward: NotRequired[dict[str, Any]]  # {"expires", "most_waiting", "say"}: only where requests may wait
    history_turns: int  # how many earlier turns it sees
    max_steps: int
    max_tool_calls: int
    max_total_tokens: int | None  # prompt and answers together, in one run
    priority: Literal["system", "interactive", "default", "bulk"] | None
    gate: NotRequired[dict[str, dict[str, Any]]]  # signs of a wrong answer, the cheapest first, with what is unusual
    complexity: NotRequired[list[str]]  # simple, moderate, complex: the requests that it is meant for
    budget: NotRequired[dict[str, Any]]  # per_run, per_day: what it may spend in the cloud
    elsewhere: NotRequired[bool]  # another node of the fleet holds it
    exclusive: NotRequired[bool]  # it may answer on one node only, at any time
    replicas: NotRequired[int]  # nodes that hold it, where that is more than one
    alternatives: NotRequired[list[str]]  # aliases that may serve it on a node that stands in
    node_labels: NotRequired[dict[str, str]]  # labels that a node must have to hold it


class RouteSpec(TypedDict):
    """One way out of a router."""

    to: str  # an agent's name
    when: dict[str, Any]  # {"regex"|"asks"|"keywords"|"min_chars"|"max_chars"|"complexity": …}; {} for learned only
    description: str
    examples: list[str]
    keywords: list[str]
    complexity: NotRequired[list[str]]  # where it says something else than the agent
    strict: NotRequired[bool]  # nobody comes this way for whom `when` does not hold


class RouterSpec(TypedDict):
    """A router and its ways out."""

    name: str
    strategy: str  # rules, keyword, lexical, semantic, intent, cascade, fixed
    stages: list[str]  # of a cascade, cheapest first
    encoder: str  # "minilm", or an absolute folder; empty where no stage needs one
    routes: list[RouteSpec]
    default: str | None
    on_unsure: Literal["default", "ask", "escalate"]
    confidence: float | None  # the least confidence that is accepted; None: the strategy's own fitted threshold
    models: list[str]
    escalate_to: str | None
    model_confidence: NotRequired[dict[str, float]]  # provider kind -> the least probability of a model's choice there
    several: NotRequired[bool]  # whether a request may go to several of its routes


class ToolSpec(TypedDict):
    """A tool of the manifest."""

    name: str
    kind: str  # a name of the tool table: calendar, clock, database, email, knowledge, python, tickets
    options: dict[str, Any]
    allowed: list[str]  # names of functions that may be called; empty: all
    timeout: float
    approval: NotRequired[Literal["always", "writes"]]  # a person must allow each call, or each that changes something


class KnowledgeSpec(TypedDict):
    """A named set of local documents."""

    name: str
    path: str
    include: list[str]


class NodeSpec(TypedDict):
    """A machine of a distributed-edge deployment."""

    name: str
    agents: list[str]  # those that the manifest names there
    models: list[str]  # aliases that are served there
    memory: int | None  # bytes that its models may take, where the manifest tells its memory
    labels: dict[str, str]
    hub: bool  # it carries the hub of the mesh
    pin: bool  # its agents are never placed elsewhere


class CoordinationSpec(TypedDict):
    """How the nodes work together."""

    load_balancing: bool
    failover: Literal["automatic", "manual", "none"]
    lease: float
    drain: float
    health_gate: NotRequired[float]  # seconds that a node is watched after it took a new manifest over


ElementKind = Literal["agent", "router", "model", "tool", "knowledge"]


@dataclass(frozen=True, slots=True)
class Element:
    """One part: its address, what it is, its spec (one of the ``…Spec`` above), and the addresses that must be ready first."""

    address: str
    kind: ElementKind
    spec: Mapping[str, Any]
    needs: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes exactly when the part must be replaced."""
        return digest_of([self.kind, self.spec, list(self.needs)])


@dataclass(frozen=True, slots=True)
class ServeSpec:
    """Where the front door of the deployment is. ``port`` ``None``: the runtime's own."""

    host: str = "127.0.0.1"
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Everything of one deployment. ``entry`` is the address that requests enter at (a router or an agent)."""

    name: str
    type: Literal["single-device", "distributed-edge"]
    entry: str
    elements: Mapping[str, Element]
    serve: ServeSpec = ServeSpec()
    queue: Mapping[str, Any] = field(default_factory=dict)  # limits: {"interactive": {"length": 64, "timeout": 30}, …}
    timeout: float = 120.0
    max_concurrent: int | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)  # memory, gpu_memory (bytes), power: instead of measuring
    resources: Mapping[str, Any] = field(default_factory=dict)  # as the manifest has them; a float is a share
    tool_roots: tuple[str, ...] = ()
    people: Mapping[str, Any] = field(default_factory=dict)  # as the manifest has it
    most_escalations: int = MOST_ESCALATIONS  # how often one run may be handed over
    policy: Mapping[str, Any] = field(default_factory=dict)  # redaction, budget, approval, as the manifest has them
    folder: str = ""  # the manifest's folder, absolute
    labels: Mapping[str, str] = field(default_factory=dict)
    node: str = ""  # the one of its fleet whose share it is; empty for the whole
    nodes: tuple[NodeSpec, ...] = ()
    coordination: CoordinationSpec | None = None  # of a deployment with nodes

    @property
    def digest(self) -> str:
        """Of the whole."""
        return digest_of(self.as_json())

    def of_kind(self, kind: ElementKind) -> list[Element]:
        """Its elements of one kind, in the manifest's order."""
        return [element for element in self.elements.values() if element.kind == kind]

    def as_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "format": BLUEPRINT_FORMAT,
            "name": self.name,
            "type": self.type,
            "entry": self.entry,
            "elements": [
                {"address": e.address, "kind": e.kind, "spec": dict(e.spec), "needs": list(e.needs)}
                for e in self.elements.values()
            ],
            "serve": {"host": self.serve.host, "port": self.serve.port},
            "queue": dict(self.queue),
            "timeout": self.timeout,
            "max_concurrent": self.max_concurrent,
            "hardware": dict(self.hardware),
            "resources": dict(self.resources),
            "tool_roots": list(self.tool_roots),
            "folder": self.folder,
            "labels": dict(self.labels),
            **({"people": dict(self.people)} if self.people else {}),
            **({} if self.most_escalations == MOST_ESCALATIONS else {"most_escalations": self.most_escalations}),
            **({"policy": dict(self.policy)} if self.policy else {}),
            **({"node": self.node} if self.node else {}),
            **({"nodes": [dict(node) for node in self.nodes]} if self.nodes else {}),
            **({"coordination": dict(self.coordination)} if self.coordination else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Blueprint:
        """From the stored form; raises ``ValueError`` for another format."""
        if value.get("format") != BLUEPRINT_FORMAT:
            raise ValueError(f"a blueprint of format {value.get('format')!r}; this version reads {BLUEPRINT_FORMAT}")
        elements = {
            e["address"]: Element(e["address"], e["kind"], e["spec"], tuple(e["needs"])) for e in value["elements"]
        }
        return cls(
            name=value["name"],
            type=value["type"],
            entry=value["entry"],
            elements=elements,
            serve=ServeSpec(value["serve"]["host"], value["serve"]["port"]),
            queue=value["queue"],
            timeout=value["timeout"],
            max_concurrent=value["max_concurrent"],
            hardware=value["hardware"],
            resources=value["resources"],
            tool_roots=tuple(value["tool_roots"]),
            folder=value["folder"],
            labels=value["labels"],
            people=value.get("people", {}),
            most_escalations=value.get("most_escalations", MOST_ESCALATIONS),
            policy=value.get("policy", {}),
            node=value.get("node", ""),
            nodes=tuple(value.get("nodes", ())),
            coordination=value.get("coordination"),
        )
