"""Agents: specialists, routers, escalations, and the reflex rules that need no model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from orchestrator.manifest.spec.doubt import EscalateWhen
from orchestrator.manifest.spec.fields import (
    BUILT_IN,
    BY_OWNER,
    BY_SHAPE,
    FLAG,
    LIST,
    MAP,
    TEXT,
    AliasOr,
    Duration,
    ModelAlias,
    Name,
    NameOr,
    PluginOr,
    Share,
    Spec,
)
from orchestrator.manifest.spec.model import BuiltinProvider
from orchestrator.manifest.spec.policy import Budget

Text = Annotated[str, Field(max_length=100_000)]
Example = Annotated[str, Field(min_length=1, max_length=2_000)]
Pattern = Annotated[str, Field(min_length=1, max_length=2_000)]
ConfidenceOf = Literal[BuiltinProvider, "vllm/systemone", "openai-compatible/systemone"]
Complexities = list[Literal["simple", "moderate", "complex"]]
ModelChoice = Annotated[AliasOr | Annotated[list[ModelAlias], Tag(LIST)], BY_SHAPE]
TextOrTexts = Annotated[Annotated[Example, Tag(TEXT)] | Annotated[list[Example], Tag(LIST)], BY_SHAPE]
BuiltinStrategy = Literal[
    "rules",
    "keyword",
    "lexical",
    "semantic",
    "intent",
    "complexity",
    "cascade",
    "fixed",
    "round-robin",
    "sticky",
    "least-loaded",
    "priority",
]
BuiltinStage = Literal[
    "rules",
    "keyword",
    "lexical",
    "semantic",
    "intent",
    "complexity",
    "round-robin",
    "sticky",
    "least-loaded",
    "priority",
]
StrategyName = Annotated[Annotated[BuiltinStrategy, Tag(BUILT_IN)] | PluginOr, BY_OWNER]


def _known_roles(schema: dict[str, Any]) -> None:
    """Editors offer the three roles; any other text is allowed."""
    text = {key: schema.pop(key) for key in ("type", "maxLength") if key in schema}
    schema["anyOf"] = [
        {"enum": ["specialist", "router", "escalation"]},
        {"type": "string", "maxLength": 100_000, **text},
    ]


class When(Spec):
    """A condition on the request's text. All keys that are given must hold; without any it always holds."""

    regex: Annotated[Pattern | None, Field(examples=["\\border\\b"])] = None
    """A regular expression found anywhere in the text; case does not matter. In a long text its match must begin within the
    first 20,000 characters, or within fewer where repeats compete (`.+ to .+`): `validate` says how many, where that is less than
    500. A run whose text was longer than what was looked at says so in its `notes`."""
    asks: Annotated[Pattern | None, Field(examples=["(?:close|resolve) ticket [0-9]+$"])] = None
    """A regular expression that the text begins with, once greetings and polite words at both ends (`please`, `can you`,
    `I want to`, `thanks`; English and Italian) are left out. A rule that writes or sends should have it: no negation, question or
    report begins with what is to be done."""
    keywords: Annotated[list[Example] | None, Field(examples=[["order", "parcel"]])] = None
    """Any of these words or phrases, within the first 20,000 characters; case, accents and a hyphen between words do not matter.
    No letter or digit may stand beside the letters of one (in scripts that put spaces between words); its punctuation must be in
    the text: `C++` is not found in "vitamin c"."""
    intent: Annotated[str | None, Field(examples=["refunds"])] = None
    """A skill of this agent, recognised from its `examples` (for reflex rules)."""
    examples: Annotated[
        list[Example] | None, Field(examples=[["I want my money back", "can I return this", "refund please"]])
    ] = None
    """Requests that mean the `intent`, or that a reflex rule with other conditions is for: in these words they reach its agent."""
    min_chars: Annotated[int | None, Field(ge=0, examples=[1])] = None
    """The text is at least this long."""
    max_chars: Annotated[int | None, Field(ge=0, examples=[200])] = None
    """The text is at most this long."""
    complexity: Literal["simple", "moderate", "complex"] | None = None
    """What the request says of itself; one that says nothing has none."""


class ReflexRule(Spec):
    """A rule that answers without a model: when it fires, what it takes from the text, what it calls, what it says."""

    when: When = When()
    """When it fires; without it, always."""
    extract: Annotated[dict[Name, Pattern], Field(examples=[{"sku": "[A-Z]{2}-[0-9]{4}"}])] = {}
    """Values taken from the text: a name and a regular expression (its first group, else the whole match). A rule whose value
    is not found does not fire."""
    call: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$", examples=["tickets.create"])] = None
    """A function of one of the agent's tools."""
    arguments: Annotated[dict[str, Any], Field(examples=[{"sku": "{{ sku }}"}])] = {}
    """The function's arguments; texts are Jinja2 templates over the extracted values, `text` and `session`."""
    say: Annotated[
        str, Field(min_length=1, max_length=10_000, examples=["{{ result.name }} is in aisle {{ result.aisle }}."])
    ]
    """The answer: a Jinja2 template over `result`, the extracted values and `text`. Where it gives an empty text, the next rule
    is tried."""
    without_model: bool = False
    """Tried only while no model serves the agent; else before its model."""
    unsure: bool = False
    """Its answer is an honest non-answer (it asks back, or says who knows); the result's status is then `unsure`."""


class Skill(Spec):
    """One thing that an agent does; routers learn from it."""

    name: Annotated[str, Field(min_length=1, max_length=100, examples=["refunds"])]
    """A short name."""
    description: Annotated[Text, Field(examples=["Says whether an order can be refunded."])] = ""
    """In a sentence."""
    examples: Annotated[
        list[Example], Field(examples=[["I want my money back", "can I return this", "refund please"]])
    ] = []
    """Requests that ask for it; three or more."""


class Route(Spec):
    """One way out of a router."""

    to: Annotated[Name, Field(examples=["orders"])]
    """The agent that answers."""
    when: When = When()
    """A condition for the `rules` strategy."""
    strict: bool = False
    """Only requests for which `when` holds, here or on another route to the same agent, go there, whatever another stage, a model
    or the request itself says."""
    description: Annotated[Text, Field(examples=["Questions about an order that was placed."])] = ""
    """When to choose it, in a sentence; else the agent's own description."""
    examples: Annotated[list[Example], Field(examples=[["Where is my order A-1001?"]])] = []
    """Requests that belong here, beside the agent's own examples."""
    keywords: Annotated[list[Example], Field(examples=[["order", "parcel"]])] = []
    """Words that belong here."""
    complexity: Annotated[Complexities, Field(examples=[["simple"]])] = []
    """For the strategy `complexity`: which requests belong here, where not those that the agent claims."""


RouteItem = Annotated[Annotated[Route, Tag(MAP)] | NameOr, BY_SHAPE]


class Human(Spec):
    """An escalation to a person: the question waits for an answer (`orchestrator approvals`), a ticket names it, and the user is
    told so."""

    queue: Annotated[Name, Field(examples=["front-desk"])] = "front-desk"
    """Whose queue."""
    say: Annotated[Text, Field(examples=["A colleague will answer; your number is {{ ticket.id }}."])] = ""
    """What the user is told; a Jinja2 template over `ticket`, `approval`, `queue` and `text`. A default exists."""
    expires: Annotated[Duration | None, Field(examples=["4h"])] = None
    """How long the question waits; as `deployment.people` says where this does not."""


class StoreAndForward(Spec):
    """How requests wait for an agent whose models cannot be reached: each is kept on the disk and answered once they can."""

    expires: Annotated[Duration, Field(examples=["72h"])] = 86_400.0
    """How long a request waits; then its run fails with ORC544."""
    most_waiting: Annotated[int, Field(ge=1, le=100_000, examples=[200])] = 1_000
    """How many requests of the deployment may wait at once; more are refused with ORC545."""
    say: Annotated[Text, Field(examples=["I will answer this later; the number is {{ delivery }}."])] = ""
    """What the user is told at once; a Jinja2 template over `delivery`, `agent` and `text`. A default exists."""


Kept = Annotated[Annotated[StoreAndForward, Tag(MAP)] | Annotated[bool, Tag(FLAG)], BY_SHAPE]


class Memory(Spec):
    """What an agent sees of the conversation."""

    turns: Annotated[int, Field(ge=0, le=1000, examples=[20])] = 20
    """Earlier messages of the session that go into the prompt."""


class Limits(Spec):
    """Caps on one agent's work in one run."""

    steps: Annotated[int, Field(ge=1, le=100, examples=[8])] = 8
    """Model calls."""
    tool_calls: Annotated[int, Field(ge=0, le=1000, examples=[16])] = 16
    """Tool calls."""
    tokens: Annotated[int | None, Field(ge=1, examples=[4000])] = None
    """Tokens of prompt and answers together."""


class AgentEntry(Spec):
    """An agent. A name alone takes the template of that name from the catalogue."""

    name: Annotated[Name, Field(examples=["orders", "customer-service"])]
    """Its name."""
    role: Annotated[str | None, Field(max_length=100_000, json_schema_extra=_known_roles)] = None
    """`specialist` (default), `router` or `escalation`. Any other text is taken as instructions, and a note says so."""
    template: Annotated[Name | None, Field(examples=["customer-service"])] = None
    """A template of the catalogue to start from. An agent that says nothing of what it is for (no role, description,
    instructions, examples, keywords, skills or reflex rules) starts from the template of its name, else from the neutral
    one."""
    description: Annotated[Text, Field(examples=["Answers questions about orders."])] = ""
    """What it is for, in a sentence; routers and people read it."""
    model: Annotated[ModelChoice | None, Field(examples=["phi-4-mini"])] = None
    """The alias that serves it, or several in order of preference."""
    instructions: Annotated[Text | None, Field(examples=["Answer in one sentence."])] = None
    """The system prompt (Jinja2), or `file:PATH`."""
    context: Annotated[Text | None, Field(examples=["Answer in one sentence."])] = None
    """Another spelling of `instructions`."""
    specialized_for: Annotated[TextOrTexts | None, Field(examples=["scheduling"])] = None
    """What it is specialised for; routers learn from it."""
    examples: Annotated[list[Example], Field(examples=[["Where is my order A-1001?"]])] = []
    """Requests that it answers; routers learn from them."""
    keywords: Annotated[list[Example], Field(examples=[["order", "parcel"]])] = []
    """Words that belong to it."""
    complexity: Annotated[Complexities, Field(examples=[["complex"]])] = []
    """The requests that it is meant for, for routers with the strategy or the stage `complexity`."""
    skills: list[Skill] = []
    """What it can do, one by one, each with examples."""
    tools: Annotated[list[Name], Field(examples=[["database", "calendar"]])] = []
    """Tools that it may use: built-in names, or names under `tools`."""
    knowledge: Annotated[list[Name], Field(examples=[["faq"]])] = []
    """Document sets that it may search."""
    reflex: list[ReflexRule] = []
    """Rules that answer without a model, tried in order before any model."""
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000, examples=[256])] = None
    """The longest answer, in tokens."""
    temperature: Annotated[float | None, Field(ge=0, le=2, examples=[0.2])] = None
    """How random the answer is."""
    timeout: Annotated[Duration | None, Field(examples=["30s"])] = None
    """Its whole work in one run."""
    limits: Limits = Limits()
    """Caps on its work in one run."""
    budget: Budget | None = None
    """What it may spend in the cloud, within what the deployment's budget leaves."""
    memory: Memory = Memory()
    """What it sees of the conversation."""
    offline_mode: bool = False
    """It may use nothing outside this device and its local network."""
    privacy_mode: bool = False
    """What it sees is restricted: it may reach no cloud zone, by its session and by shared tools neither."""
    compliance: Annotated[list[Literal["HIPAA", "GDPR", "PCI-DSS", "SOX"]], Field(examples=[["HIPAA"]])] = []
    """Rules it is under; each makes what it sees restricted."""
    output_schema: Annotated[
        dict[str, Any] | None,
        Field(examples=[{"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}]),
    ] = None
    """A JSON Schema that its answer must fit: checked, one repair, then an error or escalation."""
    escalate_to: Annotated[Name | None, Field(examples=["front-desk"])] = None
    """The agent that takes over."""
    escalate_when: Annotated[
        EscalateWhen, Field(examples=[["error", "low_confidence"], ["error", {"agreement": {"samples": 3}}]])
    ] = ["error", "timeout", "requested"]
    """When it does: for faults, by their word, and for signs of a wrong answer, by their word or with parameters."""
    human: Human | None = None
    """For `role: escalation`: a person instead of a model."""
    store_and_forward: Annotated[Kept | None, Field(examples=[True, {"expires": "72h"}])] = None
    """Whether a request waits where none of its models can be reached and nobody takes over; `true` for the usual limits."""
    priority: Literal["high", "normal", "low"] | None = None
    """How its calls queue: interactive, default or bulk."""
    exclusive: bool = False
    """On a mesh: at any time one node at most answers for it, also where nodes cannot see each other."""
    replicas: Annotated[int, Field(ge=1, le=1000, examples=[2])] = 1
    """On a mesh: how many nodes hold it."""
    alternatives: Annotated[list[ModelAlias], Field(examples=[["qwen2.5-0.5b"]])] = []
    """On a mesh: aliases that may serve it, where a node stands in that has none of its own models."""
    node_labels: Annotated[dict[str, str], Field(examples=[{"site": "milan-2"}])] = {}
    """On a mesh: labels that a node must have to hold it."""
    strategy: StrategyName | None = None
    """For `role: router`: how it chooses; `plugin:NAME` is a strategy of an installed package. `cascade` by default."""
    routing_strategy: Literal["intent-based"] | None = None
    """Another spelling of `strategy: cascade`."""
    stages: Annotated[list[BuiltinStage], Field(examples=[["rules", "lexical"]])] = []
    """For a cascade: its stages, cheapest first."""
    encoder: Annotated[Text | None, Field(min_length=1, examples=["minilm", "./encoders/multilingual"])] = None
    """For `role: router`: what turns texts into vectors for the stage `semantic`, which a cascade without `stages` then has:
    `minilm` (all-MiniLM-L6-v2, English; the extra `encoder`), a folder, with a `/` in it, or the alias of an embedding model, whose
    server is asked."""
    routes: Annotated[list[RouteItem], Field(examples=[["orders", "tickets"]])] = []
    """For `role: router`: where it may send a request. Without it: every specialist."""
    default: Annotated[Name | None, Field(examples=["orders"])] = None
    """For `role: router`: the agent that takes what no strategy is sure of. Without it the router asks back with the choices."""
    several: bool = False
    """For `role: router`: a request that is several ("a callback, and when do you open") goes to several agents, three at most, and
    their answers are one reply."""
    confidence: Annotated[Share | None, Field(examples=["70%"])] = None
    """For `role: router`: the least confidence that is accepted of what learns from examples. Without it: fitted from them."""
    model_confidence: Annotated[dict[ConfidenceOf, Share], Field(examples=[{"llama-cpp": "70%"}])] = {}
    """For `role: router`: the least probability of a model's choice that is accepted, by the kind of its server, as one kind may
    call 70% what another calls 20%. Of a kind that is not named every choice is."""


AgentItem = Annotated[Annotated[AgentEntry, Tag(MAP)] | NameOr, BY_SHAPE]
