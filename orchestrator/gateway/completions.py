"""The shapes of the OpenAI chat-completions protocol on the way out: a result into an answer or its pieces.

Shapes after the public API reference of OpenAI's chat completions (``chat.completion`` and ``chat.completion.chunk``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.errors import in_one_line
from orchestrator.core.request import PartResult, Result
from orchestrator.gateway.body import Asked
from orchestrator.gateway.guard import Turned, to_json

STATUS: Final[Mapping[str, int]] = {
    "QueueFull": 429,
    "FleetBusy": 429,
    "DeskFull": 429,
    "OutboxFull": 429,
    "RateLimited": 429,
    "ContextTooLong": 400,
    "TooLargeToSend": 413,
    "BadRequest": 502,
    "GrammarRefused": 502,
    "DeadlinePassed": 504,
    "Stalled": 504,
    "WouldMissDeadline": 503,
    "NoHolder": 503,
    "LeaseLost": 503,
    "NoModel": 503,
    "KeptNear": 503,
    "StaysHere": 503,
    "RunCancelled": 503,
    "ServerBusy": 503,
    "Unreachable": 503,
    "StaleConnection": 503,
    "ModelNotFound": 503,
    "Refused": 502,
    "ServerFailed": 502,
    "BrokenReply": 502,
    "CutOff": 502,
    "SchemaInvalid": 502,
    "ToolFailed": 502,
    "WrongArguments": 502,
    "Withheld": 403,
    "BudgetExceeded": 402,
}
"""HTTP status of each kind of failed run; every other kind is 500."""
WORTH_RETRYING: Final = frozenset(
    {"QueueFull", "FleetBusy", "RateLimited", "WouldMissDeadline", "ServerBusy", "NoHolder", "LeaseLost"}
)
"""Where nothing was wrong but the moment. Official clients repeat every 5xx unless told not to, and a run that called tools
must not be repeated behind the caller's back."""


def completion(asked: Asked, result: Result, created: int) -> dict[str, Any]:
    """A whole answer; what the engine did is in ``orchestrator``."""
    return {
        "id": result.id,
        "object": "chat.completion",
        "created": created,
        "model": asked.deployment,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": result.text, "refusal": None},
                "logprobs": None,
                "finish_reason": _finish(result),
            }
        ],
        "usage": _usage(result),
        "orchestrator": about(result),
    }


def about(result: Result) -> dict[str, Any]:
    """How the answer came about, in short."""
    return {
        "status": result.status,
        "agent": result.agent,
        "served_by": result.served_by,
        "revision": result.revision,
        "path": list(result.path),
        "why": result.why,
        "timings_ms": {name: round(value, 3) for name, value in result.timings.items()},
        **({"approval": result.approval} if result.approval else {}),
        **({"parts": [_part(part) for part in result.parts]} if result.parts else {}),
    }


def _part(part: PartResult) -> dict[str, Any]:
    """Who answered a part, how it ended, and where it goes on if it waits for a person."""
    told = {name: getattr(part, name) for name in ("agent", "to", "asked", "status", "served_by")}
    return told | ({"run": part.run, "approval": part.approval} if part.run else {})


def run_told(found: Mapping[str, Any]) -> dict[str, Any]:
    """A stored run that waits or waited for a person: its answer, or why there is none."""
    told = {
        name: found[name] for name in ("id", "deployment", "status", "text", "agent", "served_by", "approval", "error")
    }
    return {"object": "run", **told}


class Pieces:
    """The events of one streamed answer. What is the same in each is encoded once."""

    def __init__(self, asked: Asked, created: int) -> None:
        self._asked = asked
        self._shape: dict[str, Any] = {
            "id": asked.request.id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": asked.deployment,
        }
        self._before, self._after = self._chunk({"content": _HERE}).split(_ENCODED_HERE)

    def first(self) -> bytes:
        """Who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def next(self, text: str) -> bytes:
        """A piece of the text."""
        return self._before + to_json(text) + self._after

    def last(self, result: Result) -> bytes:
        """The end: the finish reason, the usage where it was asked for; or the fault that broke the answer off."""
        if result.error:
            return _event(failure(result).body())
        end = self._chunk({}, _finish(result), orchestrator=about(result))
        if self._asked.include_usage:
            end += _event({**self._shape, "choices": [], "usage": _usage(result)})
        return end + b"data: [DONE]\n\n"

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**self._shape, "choices": [choice], **more})


def _event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + to_json(value) + b"\n\n"


_HERE: Final = "\x00here\x00"
_ENCODED_HERE: Final = to_json(_HERE)


def failure(result: Result) -> Turned:
    """The HTTP answer to a failed run."""
    error = result.error or {}
    status = STATUS.get(str(error.get("kind")), 500)
    message = in_one_line(str(error.get("message", "the run failed")), str(error.get("cure") or ""))
    again = error.get("kind") in WORTH_RETRYING and not result.usage.tool_calls
    headers = [(b"x-should-retry", b"true" if again else b"false"), (b"x-orchestrator-run", result.id.encode())]
    retry_after = error.get("retry_after")
    if retry_after and status in (429, 503):
        headers.append((b"retry-after", str(max(1, math.ceil(retry_after))).encode()))
    return Turned(status, f"{message} (run {result.id})", code=str(error.get("code")), headers=tuple(headers))


def _finish(result: Result) -> str:
    """As the answer ended. Calls of a model are the run's own affair: whoever asks gets its answer."""
    return "stop" if result.finish_reason == "tool_calls" else result.finish_reason


def _usage(result: Result) -> dict[str, int]:
    usage = result.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
