"""What to do when an attempt failed: try the same endpoint again, another one, or tell the caller. Pure rules."""

from __future__ import annotations

from typing import Literal

from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    ContextTooLong,
    CutOff,
    DoesNotFit,
    ModelError,
    ModelNotFound,
    RateLimited,
    Refused,
    ServerBusy,
    ServerFailed,
    StaleConnection,
    Unreachable,
    Withheld,
)
from orchestrator.core.record import record

Onward = Literal[
    "again",  # at once, same endpoint, not counted
    "wait",  # for the endpoint, which told when it will be free; not counted
    "retry",  # same endpoint, after a backoff; counted
    "elsewhere",  # another endpoint at once; where there is none, like retry
    "next",  # another endpoint at once
    "larger",  # another endpoint that is known to serve a larger context
    "stop",
]


@record
class Facts:
    """What is known of the call whose attempt failed. ``failures`` are those on this endpoint, without this one."""

    failures: int = 0
    retries: int = 2
    stale_before: bool = False
    committed: bool = False
    idempotent: bool = True
    stopped: bool = False  # the scheduler cancelled it


def onward(error: ModelError, facts: Facts) -> Onward:
    """Where the call goes next.

    A committed stream is never taken up again: the caller has seen a part of the answer. A call that may not be repeated
    goes on only after faults which show that the server did not begin it.
    """
    if facts.committed:
        return "stop"
    match error:
        case ContextTooLong():
            return "larger"
        case BadRequest():
            return "stop"
        case ServerBusy() | RateLimited():
            return "wait"
        case Refused() | ModelNotFound() | Withheld():
            return "next"
    return _after_failure(error, facts)


def _after_failure(error: ModelError, facts: Facts) -> Onward:
    if not facts.idempotent:
        return "stop"
    if facts.stopped:
        return "next"
    if isinstance(error, StaleConnection) and not facts.stale_before:
        return "again"
    if facts.failures >= facts.retries:
        return "next"
    return "elsewhere" if isinstance(error, Unreachable) else "retry"


def after_load_failure(error: ModelError, facts: Facts) -> Literal["stay", "next"]:
    """Where a call goes whose model could not be loaded, where no other endpoint takes it now. It had not begun, so that it
    may always go on. ``facts.failures`` count this one: the load is tried again as often as a call would be."""
    if isinstance(error, (ModelNotFound, Refused, BadRequest, DoesNotFit)) or facts.failures > facts.retries:
        return "next"
    return "stay"


def told_of(error: ModelError) -> ModelError:
    """What another call met, for one that was not sent because of it. It has done nothing wrong: what was the other request's own
    (refused as it is, or answered with what is malformed) is, of its server, a failure."""
    own = isinstance(error, BadRequest) or (isinstance(error, BrokenReply) and not isinstance(error, CutOff))
    if not own:
        return renewed(error)
    return ServerFailed(error.message, cure=error.cure, status=error.status, retry_after=error.retry_after)


def renewed(error: ModelError, *, message: str = "", cure: str = "", retry_after: float | None = None) -> ModelError:
    """The same fault for another caller; one exception object may be raised to one caller only. With other words, where
    they are given."""
    return type(error)(
        message or error.message,
        cure=cure or error.cure,
        status=error.status,
        retry_after=error.retry_after if retry_after is None else retry_after,
    )
