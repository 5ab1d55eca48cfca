"""From what a server said to what it means: HTTP status and body to the errors of :mod:`orchestrator.core.errors`. Pure.

Servers agree on little here: an error is an object, a string, plain text or an HTML page, and the same status means
different things. The rules below were read off real servers (see ``docs/providers.md``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core import errors
from orchestrator.core.surrogates import whole
from orchestrator.plugins.providers.waiting import retry_after_of

_SHOWN: Final = 500  # characters of a server's message that an error repeats

_CONTEXT: Final = re.compile(
    r"maximum context length|context[ _](length|size|window)|exceed_context_size|context_length_exceeded"
    r"|exceeds? the (available|model'?s?|maximum) context|requires \d+ total tokens|prompt is too long|too many tokens"
    r"|input is too long|longer than the context",
    re.IGNORECASE,
)
_BUSY: Final = re.compile(
    r"loading|server busy|currently busy|maximum pending|no slots? available|overloaded|queue( is)? full|unavailable_error",
    re.IGNORECASE,
)
_NO_MODEL: Final = re.compile(
    r"model\b.{0,300}\b(not found|not loaded|does not exist|not exist|unknown|no such)|model_not_found|unknown model|no such model|"
    r"(not found|no such|unknown|try pulling).{0,60}\bmodel|no models? (is |are )?loaded",
    re.IGNORECASE | re.DOTALL,
)
_BAD_OUTPUT: Final = re.compile(
    r"does not match the expected|peg-native|emitted an invalid|invalid tool call|failed to parse (the )?(input|output|tool)",
    re.IGNORECASE,
)
_BAD_HISTORY: Final = re.compile(r"failed to parse tool call arguments", re.IGNORECASE)
"""llama.cpp's 500 for a conversation that holds broken arguments: no repeat will change it."""
_NO_GRAMMAR: Final = re.compile(
    r"failed to (parse|initiali[sz]e|compile|build) (the )?grammar|automatic parser generation failed"  # llama.cpp; Ollama
    r"|json schema (error at|conversion failed)|invalid json schema in format"
    r"|invalid (json )?grammar specification|grammar error:|failed to (transform|convert) (the )?json schema"  # vLLM, and who has
    r"|(json )?schema contains features not supported|structured outputs? (json ?schema|backend was found)"  # its libraries too
    r"|unsupported feature for structured outputs|error parsing regex|json schema is nested too"
    r"|error creating grammar|(schema|regex)_converter\.cc|ebnf parser error"  # llguidance and xgrammar within other programs
    r"|invalid schema for response_format",  # OpenAI, Azure
    re.IGNORECASE,
)
"""What servers say of a schema of which they make no grammar."""
_SIMPLER: Final = "write the schema of the answer, or of its functions' parameters, more simply"
_OWN_FAULT: Final = re.compile(
    r"invalid_request|bad_?request|validation_?error|not_?implemented|unsupported", re.IGNORECASE
)
"""A type or code that says in a 5xx that the request is at fault."""
_NOT_NOW: Final = frozenset((408, 409, 425))
"""The request did not arrive in time, is in work under the same key, or came too early: no fault of it, and a repeat is welcome."""
_NEVER: Final = frozenset((501, 505, 506, 510))
"""It cannot do this, which no repeat will change."""
_NO_TOOLS: Final = re.compile(r"--enable-auto-tool-choice|--tool-call-parser")
"""vLLM's 400 where it was started without what it needs to call functions."""
_START_WITH_TOOLS: Final = (
    "start the server with --enable-auto-tool-choice --tool-call-parser NAME, or take the agent's tools away;"
    " `orchestrator doctor --probe` notes what it can do now"
)
NO_API: Final = "is this the address of its OpenAI-compatible API?"
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """What a server said about a failure: its words, and the type and code that it put beside them; ``is_page`` where it
    sent a page for people, which no API does."""

    message: str
    labels: str = ""
    is_page: bool = False

    @property
    def text(self) -> str:
        """Words and labels together, to search in."""
        return f"{self.message} {self.labels}"


def failure_of(status: int, headers: Mapping[str, str], body: bytes, now: float) -> errors.ModelError:
    """The error for an answer with this status. ``headers`` are read without regard to case by the caller's mapping;
    ``now`` is the wall clock in seconds since 1970 (for dates in ``Retry-After``)."""
    said = read_body(body)
    kind, cure = _kind_of(status, said, headers)
    return kind(
        f"HTTP {status}: {said.message}" if said.message else f"HTTP {status} without a message",
        cure=cure,
        status=status,
        retry_after=retry_after_of(headers, now) if status == 429 or status >= 500 or status in _NOT_NOW else None,
    )


def failure_in_reply(error: Any, partial: str = "") -> errors.ModelError:
    """The error for an error object that stands inside an answer of status 200, such as a stream that breaks off."""
    said = _of_error(error)
    kind = _kind_by_words(said) or errors.ServerFailed
    return kind(f"the server broke off: {said.message or 'no reason given'}", partial=partial)


def makes_no_grammar(words: str) -> bool:
    """Whether these are the words of a server, or of a library, that makes no grammar of a schema."""
    return _NO_GRAMMAR.search(words) is not None


def read_body(body: bytes) -> Said:
    """What an error body says, whichever of its many shapes it has."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return Said(_plain(text), is_page=_is_page(text))
    if isinstance(value, dict):
        return _of_object(value)
    return Said(_cut(value if isinstance(value, str) else text))


def _of_object(value: Mapping[str, Any]) -> Said:
    if value.get("error"):
        return _of_error(value["error"])
    for name in ("message", "detail", "title"):
        if value.get(name):
            return Said(_cut(_as_text(value[name])), _as_text(value.get("type") or ""))
    return Said(_cut(_as_text(value)))


def _of_error(error: Any) -> Said:
    if not isinstance(error, dict):
        return Said(_cut(_as_text(error)))
    labels = " ".join(str(error[name]) for name in ("type", "code") if error.get(name))
    return Said(_cut(_as_text(error.get("message") or error)), labels)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _is_page(text: str) -> bool:
    return text[:200].lstrip().lower().startswith(("<!doctype", "<html"))


def _plain(text: str) -> str:
    if _is_page(text):
        title = _TITLE.search(text)
        return f'an HTML page "{_cut(title[1].strip())}"' if title else "an HTML page"
    return _cut(text)


def _cut(text: str) -> str:
    one_line = " ".join(whole(text).split())
    return one_line if len(one_line) <= _SHOWN else f"{one_line[:_SHOWN]}…"


_BY_STATUS: Final[Mapping[int, tuple[type[errors.ModelError], str]]] = {
    401: (errors.Refused, "check the endpoint's api_key"),
    402: (errors.Refused, "its account has no credit, or no budget today"),
    403: (errors.Refused, "check the endpoint's api_key"),
    407: (errors.Refused, "the proxy wants a login"),
    429: (errors.RateLimited, ""),
}


def _kind_of(status: int, said: Said, headers: Mapping[str, str]) -> tuple[type[errors.ModelError], str]:
    """The class of the error, with a cure where one is at hand. Status comes first where it is clear, words elsewhere."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 503:
        busy = _BUSY.search(said.text) or "retry-after" in headers or "retry-after-ms" in headers
        return (errors.ServerBusy if busy else errors.ServerFailed), ""
    if 300 <= status < 400:
        return errors.BrokenReply, "give the endpoint's final address: redirects are not followed"
    by_words = _kind_by_words(said)
    if by_words is not None:
        return by_words, _cure_of(by_words, said)
    return _kind_by_range(status, said)


def _cure_of(kind: type[errors.ModelError], said: Said) -> str:
    if kind is errors.GrammarRefused:
        return _SIMPLER
    return "load the model first" if "not loaded" in said.text else ""


def _kind_by_range(status: int, said: Said) -> tuple[type[errors.ModelError], str]:
    """What is no model server, or not at this path, says nothing about the request: another endpoint may have it."""
    if status < 400:
        return errors.BrokenReply, ""
    if status in _NOT_NOW or (status >= 500 and status not in _NEVER and not _OWN_FAULT.search(said.labels)):
        return errors.ServerFailed, ""
    if status in (404, 405) or (said.is_page and status != 413):
        return errors.ModelNotFound, NO_API
    return errors.BadRequest, _START_WITH_TOOLS if _NO_TOOLS.search(said.message) else ""


def _kind_by_words(said: Said) -> type[errors.ModelError] | None:
    if _BAD_HISTORY.search(said.text):
        return errors.BadRequest
    if makes_no_grammar(said.text):
        return errors.GrammarRefused
    if _BAD_OUTPUT.search(said.text):
        return errors.BrokenReply
    if _CONTEXT.search(said.text):
        return errors.ContextTooLong
    if _NO_MODEL.search(said.text):
        return errors.ModelNotFound
    return None
