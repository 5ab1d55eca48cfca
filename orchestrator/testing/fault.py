"""Every fault that the OpenAI protocol can show, by name, and when it strikes. Pure.

Written ``NAME``, ``NAME@3`` (the third request), ``NAME@3-5``, ``NAME@25%`` (a share, drawn by seed), each with a value
where the fault has one: ``loading:2s@1``, ``drop-mid:5@*`` (after five tokens).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.core import errors
from orchestrator.core.names import did_you_mean
from orchestrator.core.quantity import parse_duration, parse_share

Stage = Literal["connection", "status", "body", "stream", "answer", "time"]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A row of the matrix.

    ``stage``: where it shows: on the ``connection``, as a ``status``, in the ``body``, within the ``stream``, in the
    ``answer`` itself (which stays well-formed), or in ``time``. ``error`` is what a provider must make of it; ``None``
    where the answer counts as one. ``value`` is the default: seconds, or tokens for faults within a stream.
    ``of_schemas``: it strikes only requests whose answer has a schema.
    """

    name: str
    summary: str
    stage: Stage
    error: type[errors.ModelError] | None = None
    status: int = 200
    message: str = ""
    label: str = ""
    value: float = 0.0
    of_schemas: bool = False

    def error_of(self, message: str = "", wait: float = 0.0) -> errors.ModelError:
        """The error that a provider makes of it; ``wait`` is what the server asks for, in seconds."""
        kind = self.error or errors.ServerFailed
        told = wait if self.status == 429 and self.name != "rate-limit-bare" else None
        return kind(message or self.message or self.summary, status=self.status or None, retry_after=told)


_ROWS: Final = (
    FaultKind("refuse", "closes the port for VALUE seconds", "connection", errors.Unreachable, value=0.5),
    FaultKind("reset", "resets the connection before the first byte", "connection", errors.Unreachable),
    FaultKind("stale", "closes a kept connection before the first byte", "connection", errors.StaleConnection),
    FaultKind(
        "loading", "says for VALUE seconds that it loads", "status", errors.ServerBusy,
        503, "Loading model", "unavailable_error", 1.0,
    ),
    FaultKind(
        "queue-full", "its queue is full", "status", errors.ServerBusy,
        503, "server busy, please try again.  maximum pending requests exceeded", "api_error",
    ),
    FaultKind(
        "engine-busy", "holds back new requests", "status", errors.ServerBusy,
        503, "The engine is currently busy, please try again later", "Service Unavailable",
    ),
    FaultKind(
        "overloaded", "has too much to do", "status", errors.ServerBusy,
        503, "The server is overloaded, please retry later", "overloaded_error",
    ),
    FaultKind(
        "unavailable", "503 for no reason given", "status", errors.ServerFailed,
        503, "Service Unavailable", "proxy",
    ),
    FaultKind(
        "rate-limit", "429 with Retry-After in seconds", "status", errors.RateLimited,
        429, "Too many requests", "rate_limit", 1.0,
    ),
    FaultKind(
        "rate-limit-date", "429 with Retry-After as a date", "status", errors.RateLimited,
        429, "Too many requests", "rate_limit", 2.0,
    ),
    FaultKind(
        "rate-limit-ms", "429 with retry-after-ms", "status", errors.RateLimited,
        429, "Too many requests", "rate_limit", 0.25,
    ),
    FaultKind(
        "rate-limit-reset", "429 with x-ratelimit-reset-requests", "status", errors.RateLimited,
        429, "Too many requests", "rate_limit", 1.5,
    ),
    FaultKind(
        "rate-limit-bare", "429 without a word on when", "status", errors.RateLimited,
        429, "Too many requests", "rate_limit",
    ),
    FaultKind(
        "unauthorized", "does not know the key", "status", errors.Refused,
        401, "Invalid API Key", "authentication_error",
    ),
    FaultKind("forbidden", "does not let this key in", "status", errors.Refused, 403, "Forbidden", "permission_error"),
    FaultKind(
        "model-missing", "does not serve this model", "status", errors.ModelNotFound,
        404, "model 'x' not found, try pulling it first", "not_found_error",
    ),
    FaultKind(
        "bad-request", "refuses the request", "status", errors.BadRequest,
        400, "messages must not be empty", "invalid_request_error",
    ),
    FaultKind(
        "unprocessable", "refuses a field", "status", errors.BadRequest,
        422, "extra fields not permitted", "invalid_request_error",
    ),
    FaultKind(
        "context-too-long", "the prompt does not fit", "status", errors.ContextTooLong,
        400, "request (5000 tokens) exceeds the available context size (4096 tokens)", "exceed_context_size_error",
    ),
    FaultKind(
        "grammar-refused", "makes no grammar of the answer's schema", "status", errors.GrammarRefused,
        400, "Failed to initialize samplers: failed to parse grammar", "invalid_request_error", of_schemas=True,
    ),
    FaultKind("server-error", "fails", "status", errors.ServerFailed, 500, "internal error", "server_error"),
    FaultKind(
        "bad-output", "cannot parse what its own model wrote", "status", errors.BrokenReply,
        500, "The model produced output that does not match the expected peg-native format", "server_error",
    ),
    FaultKind("string-error", "fails, the error a bare string", "body", errors.ServerFailed, 500),
    FaultKind("text-error", "fails in plain text", "body", errors.ServerFailed, 500),
    FaultKind("html-error", "a proxy answers with an HTML page", "body", errors.ServerFailed, 502),
    FaultKind("html", "an HTML page with status 200", "body", errors.BrokenReply),
    FaultKind("not-json", "a text that is no JSON", "body", errors.BrokenReply),
    FaultKind("truncated-json", "the JSON ends in the middle", "body", errors.BrokenReply),
    FaultKind(
        "error-in-stream", "an error object after VALUE tokens, under status 200", "stream", errors.ServerFailed,
        value=2,
    ),
    FaultKind("drop-mid", "the connection closes after VALUE tokens", "stream", errors.CutOff, value=2),
    FaultKind(
        "no-finish", "the stream ends properly after VALUE tokens, with no reason and no [DONE]", "stream", errors.CutOff,
        value=2,
    ),
    FaultKind("no-done", "no [DONE] after the finish reason", "stream"),
    FaultKind("crlf", "lines end with CR LF, comments between events", "stream"),
    FaultKind("whole-despite-stream", "ignores stream: true", "stream"),
    FaultKind("hang-before", "never sends a byte", "time", errors.Stalled),
    FaultKind("hang-mid", "stops after VALUE tokens, connection open", "time", errors.Stalled, value=2),
    FaultKind("slow-prefill", "VALUE seconds more before the first byte", "time", value=0.3),
    FaultKind("slow-prefill-progress", "the same, with a comment in the stream every tenth of it", "time", value=0.3),
    FaultKind("schema-ignored", "plain text where a schema was given", "answer"),
    FaultKind("tool-choice-ignored", "text where a call was required", "answer"),
    FaultKind("tools-as-text", "writes its calls into the text", "answer"),
    FaultKind("unfinished-call", "the arguments of a call end in the middle", "answer"),
    FaultKind("abort", "ends with the reason abort", "answer", errors.BrokenReply),
    FaultKind("repetition", "ends with the reason repetition", "answer", errors.BrokenReply),
    FaultKind("empty", "an answer without text", "answer"),
    FaultKind("silent-truncation", "drops most of the prompt and answers anyway", "answer"),
    FaultKind("wrong-usage", "counts tokens that never were", "answer"),
    FaultKind("no-usage", "counts nothing", "answer"),
)  # fmt: skip


FAULTS: Final[dict[str, FaultKind]] = {row.name: row for row in _ROWS}
_WRITTEN: Final = re.compile(r"(?P<name>[a-z-]+)(:(?P<value>[^@]+))?(@(?P<when>.+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is armed: its kind, its value, and the requests (numbered from 1) that it strikes."""

    kind: FaultKind
    value: float
    first: int = 1
    last: int | None = None
    share: float = 1.0

    @property
    def name(self) -> str:
        """The name of its kind."""
        return self.kind.name

    def strikes(self, number: int, chance: random.Random) -> bool:
        """Whether this request is struck. Draws from ``chance`` only where it strikes a share of them."""
        if number < self.first or (self.last is not None and number > self.last):
            return False
        return self.share >= 1.0 or chance.random() < self.share


def parse_fault(text: str) -> Fault:
    """Read the written form. Raises ``ValueError`` that says what is accepted."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no fault; write it like drop-mid:5@3")
    kind = FAULTS.get(match["name"])
    if kind is None:
        hint = did_you_mean(match["name"], FAULTS) or f"one of {', '.join(FAULTS)}"
        raise ValueError(f"no fault is called {match['name']!r}; {hint}")
    value = kind.value if match["value"] is None else _value(match["value"])
    first, last, share = _when(match["when"] or "*")
    return Fault(kind, value, first, last, share)


def _value(text: str) -> float:
    """A bare number (tokens, or seconds), or a duration."""
    return float(text) if text.isdecimal() else parse_duration(text)


def _when(text: str) -> tuple[int, int | None, float]:
    if text == "*":
        return 1, None, 1.0
    if text.endswith("%"):
        return 1, None, parse_share(text)
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first), 1.0
    except ValueError:
        raise ValueError(f"{text!r} does not say when; write 3, 3-5, 25% or *") from None
