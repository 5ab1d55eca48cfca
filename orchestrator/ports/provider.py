"""The port of model servers.

A *provider* is a make of model server; an *endpoint* is one live address that serves one model. A provider holds no
state about endpoints: limits, health and the breaker belong to the scheduler.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, Protocol, runtime_checkable

from orchestrator.core.message import FunctionSchema, Message, Usage
from orchestrator.core.record import record

Zone = Literal["node", "lan", "cloud"]
TOO_OLD: Final = "is too old"
"""In the note of an identity whose version nothing is known of."""
WRONG_KEY: Final = "its key is wrong or missing"
"""Why somebody who answers cannot be asked who it is."""


class Capability(StrEnum):
    """What a server may be able to do.

    ``tools``: calls come structured. ``tool_named``, ``tool_required``, ``tool_none``: what ``tool_choice`` asks for by a
    function's name or these words is done by the server itself. ``tool_text``: calls come as text that we can read.
    ``overflow_refused``: a prompt that does not fit is an error; where that is ``ignored`` it is cut without a word.
    ``context_told``, ``slots_told``: the server says how many tokens a request may have, and how many it answers at once.
    """

    CHAT = "chat"
    STREAM = "stream"
    STREAM_USAGE = "stream_usage"
    TOOLS = "tools"
    TOOL_NAMED = "tool_named"
    TOOL_REQUIRED = "tool_required"
    TOOL_NONE = "tool_none"
    TOOL_TEXT = "tool_text"
    JSON_SCHEMA = "json_schema"
    GRAMMAR = "grammar"
    LOGPROBS = "logprobs"
    EMBEDDINGS = "embeddings"
    CONTEXT_TOLD = "context_told"
    SLOTS_TOLD = "slots_told"
    OVERFLOW_REFUSED = "overflow_refused"
    LOAD = "load"  # and unload; these three are the ports of ports/lifecycle.py
    PULL = "pull"
    REMOVE = "remove"


class Support(StrEnum):
    """Four-valued: ``no`` is an error if sent, ``ignored`` is accepted without effect, ``unknown`` was never shown."""

    YES = "yes"
    NO = "no"
    IGNORED = "ignored"
    UNKNOWN = "unknown"


def can_call(tools: str | None, tool_text: str | None) -> bool:
    """Whether a model behind a server of these capabilities can call functions: its calls come structured, or as text that
    we read. What was never shown is believed."""
    return tools not in (Support.NO, Support.IGNORED) or tool_text == Support.YES


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server answers at an address: provider kind, its version as it tells it, and the base URL for calls; ``store`` is the
    folder of this device where it keeps its models, where it tells."""

    provider: str
    url: str
    version: str = ""
    api_base: str = ""  # where chat/completions hangs below, e.g. http://127.0.0.1:11434/v1
    capabilities: Mapping[Capability, Support] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    store: str = ""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a server can answer with. ``context`` in tokens per request and ``slots`` where the server tells them.

    ``remote`` is true for a model that the server only forwards to another machine (an Ollama cloud model). ``size`` in
    bytes of its weights, ``quantization`` and ``digest`` as the server calls them, where it tells. ``alias`` is another name that
    the server has for it, which calls cannot give.
    """

    id: str
    loaded: bool | None = None
    context: int | None = None
    slots: int | None = None
    kind: Literal["chat", "embedding", "unknown"] = "unknown"
    remote: bool = False
    size: int | None = None
    quantization: str = ""
    digest: str = ""
    alias: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Its id, and the alias where it has one."""
        return (self.id, self.alias) if self.alias else (self.id,)


class Secret:
    """A resolved secret: shown as ``***`` wherever it is printed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the wire only."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. ``api_key`` is the secret itself, resolved late; it has no readable form."""

    provider: str
    api_base: str
    model: str
    api_key: Secret | None = None
    zone: Zone = "node"


@record
class Choice:
    """The same question for a server that can choose without writing: what to choose about the ``state`` (a JSON value), the names
    with what each means, and the ``key`` of the JSON object that a written answer would hold the name under."""

    instructions: str
    state: Any
    criteria: Mapping[str, str]
    key: str


@record
class ChatCall:
    """One call. ``timeout`` is what is left of the deadline, in seconds; ``schema`` constrains the answer's JSON; ``choice`` is
    there where the answer is one of several names, and may be taken instead of the messages."""

    target: Target
    messages: tuple[Message, ...]
    tools: tuple[FunctionSchema, ...] = ()
    tool_choice: str = ""  # "", "auto", "none", "required", or a function's name
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    top_logprobs: int = 0
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 60.0
    request_id: str = ""
    key: str = ""  # the same where a call is repeated after a crash: a target that knows such keys answers it once
    choice: Choice | None = None


@record
class TokenProbability:
    """A chosen token with its log-probability and the best alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@record
class ChatReply:
    """The whole answer. ``finish_reason``: stop, length, tool_calls or content_filter (``core/finish.py``); for any
    other end a provider raises ``BrokenReply``.

    Every text is Unicode that can be encoded: ``core/surrogates.py`` mends what a server cut or wrote by halves.
    """

    message: Message
    finish_reason: str
    usage: Usage
    model: str = ""
    logprobs: tuple[TokenProbability, ...] = ()
    kind: str = ""  # how a choice was made, where not by writing it; for a strategy also the kind of the server


Sign = Literal["", "reading", "writing"]


@record
class Delta:
    """A piece of a streamed answer, which cuts no character. The last one of a stream carries the whole ``reply``.

    One without text or reply is a sign of life: the server is ``reading`` the prompt, or it is ``writing`` what nobody is
    shown (its thoughts, the arguments of a call). Only what shows that the model works is one, not a line that keeps a
    connection open.
    """

    text: str = ""
    reply: ChatReply | None = None
    sign: Sign = ""


class Provider(Protocol):
    """A make of model server. Every failure is a :class:`orchestrator.core.errors.ModelError`; cancelling a call must
    close its connection, so that the server stops generating."""

    @property
    def kind(self) -> str:
        """Its name in the table of providers."""
        ...

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """Who answers at ``url``: ``None`` if it is not this make. Takes at most about a second, touches no model."""
        ...

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """What it can serve now, without loading anything."""
        ...

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        ...

    def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces; an end without a finish reason raises ``BrokenReply`` with the partial text."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A third one: providers whose servers tell how far they are with what they do, for whomever it is."""

    async def at_work(self, target: Target, within: float) -> bool | None:
        """Whether the server of a target makes progress just now, seen within so many seconds on connections of its own: false
        also where it does not even answer that. ``None`` where it does not tell, or has nothing to do."""
        ...


class Embedder(Protocol):
    """A second, narrower port: providers whose servers make embeddings."""

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:
        """One vector a text."""
        ...


@runtime_checkable
class Counter(Protocol):
    """Another narrower port: providers whose servers tell how many tokens a prompt is, without answering it."""

    async def count(self, call: ChatCall) -> int | None:
        """Tokens of its messages and functions as the model reads them; ``None`` where the server does not tell."""
        ...


@runtime_checkable
class Forwarder(Protocol):
    """Another one: providers whose servers may pass the calls of a model on to another machine, and tell whether they do."""

    async def forwards(self, target: Target, within: float) -> bool:
        """Whether the server of a target passes the calls of its model on, asked just now, in so many seconds at most. Raises a
        ``ModelError`` where that cannot be learned; never a guess or a memory."""
        ...
