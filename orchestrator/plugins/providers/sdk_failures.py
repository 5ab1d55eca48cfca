"""What the ``openai`` library raises, as the errors of :mod:`orchestrator.core.errors`."""

from __future__ import annotations

import time
from typing import Final

from orchestrator.core.errors import BrokenReply, CutOff, ModelError, Stalled, Unreachable
from orchestrator.plugins.providers.failures import failure_in_reply, failure_of

_BEFORE_CONNECTION: Final = frozenset(("ConnectError", "ConnectTimeout", "PoolTimeout"))
_BEFORE_HEADERS: Final = "disconnected without sending a response"


def translated(error: Exception, partial: str = "") -> ModelError:
    """Our error for one of the library's; an error that is no fault of a server is raised again as it is."""
    import openai

    if isinstance(error, ModelError):
        return error
    if isinstance(error, openai.APIStatusError):
        answer = error.response
        return failure_of(answer.status_code, answer.headers, answer.content, time.time())
    if isinstance(error, openai.APIConnectionError):
        return _not_carried(error, partial)
    if isinstance(error, openai.APIError):
        return failure_in_reply(error.body or error.message, partial)
    if isinstance(error, TimeoutError):
        return Stalled("the server did not answer in time", partial=partial)
    if isinstance(error, (ValueError, TypeError, KeyError, AttributeError)):
        return BrokenReply(f"the answer is not of this protocol: {error}", partial=partial)
    raise error


def _not_carried(error: Exception, partial: str) -> ModelError:
    import openai

    cause = error.__cause__ or error
    if type(cause).__name__ in _BEFORE_CONNECTION:
        return Unreachable(f"the server cannot be reached: {cause}", cure="is the server running?")
    if isinstance(error, openai.APITimeoutError):
        return Stalled("the server did not answer in time", partial=partial)
    if _BEFORE_HEADERS in str(cause) or type(cause).__name__ in ("ReadError", "WriteError"):
        # The library does not tell whether the connection was a kept one.
        return CutOff("the connection broke within the answer", partial=partial) if partial else _dropped(cause)
    return CutOff(f"the connection broke within the answer: {cause}", partial=partial)


def _dropped(cause: BaseException) -> Unreachable:
    return Unreachable(f"the server closed the connection before it answered: {cause}", cure="is the server running?")
