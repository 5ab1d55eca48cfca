"""What a model server did wrong, or what kept a call from it."""

from __future__ import annotations

from typing import Any

from orchestrator.core.run_errors import RunError


class ModelError(RunError):
    """A call to a model server failed. ``status`` is the HTTP status where there was one; ``retry_after`` is in seconds;
    ``partial`` is the text that had arrived before a stream broke."""

    def __init__(
        self,
        message: str,
        *,
        cure: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        partial: str = "",
    ) -> None:
        super().__init__(message, cure=cure)
        self.status = status
        self.retry_after = retry_after
        self.partial = partial


class Unreachable(ModelError):
    """The connection was refused, or reset before any header."""

    code = "ORC520"


class StaleConnection(Unreachable):
    """A reused connection was closed before the first byte: one free retry on a fresh one, not counted."""


class ServerBusy(ModelError):
    """The server loads a model or its queue is full: wait; not a failure of the server."""

    code = "ORC521"


class RateLimited(ModelError):
    """The server answered 429."""

    code = "ORC522"


class Refused(ModelError):
    """The server answered 401, 402, 403 or 407: not retried within a call, but a request may wait until somebody has mended it."""

    code = "ORC523"


class BadRequest(ModelError):
    """The server answered 400 or 422: never retried."""

    code = "ORC524"


class ContextTooLong(BadRequest):
    """The prompt does not fit the context that is served."""

    code = "ORC525"


class GrammarRefused(BadRequest):
    """The server says that it makes no grammar of a schema, or not of this one: of the answer's, or of a function's parameters."""


class ModelNotFound(ModelError):
    """The server does not serve this model."""

    code = "ORC526"


class ServerFailed(ModelError):
    """The server answered with 5xx that is not about the request, with 408, 409 or 425, or told of a fault within its answer."""

    code = "ORC527"


class NotAsAnnounced(ServerFailed):
    """What a server fetched is not what its registry announced. It is not there any more."""


class BrokenReply(ModelError):
    """The answer was cut off, malformed, or not of this protocol."""

    code = "ORC528"


class CutOff(BrokenReply):
    """The connection ended within the answer: so the link broke, or a server behind a gateway went. It may be whole the next time,
    where what is malformed would be so again."""


class Stalled(ModelError):
    """No byte came for too long."""

    code = "ORC529"


class DoesNotFit(ModelError):
    """The model needs more memory than models may take on this device."""

    code = "ORC530"


class Withheld(ModelError):
    """The policy of the manifest keeps it on this device: nothing was sent, and nobody is to blame. Never tried again."""

    code = "ORC550"


class BudgetExceeded(Withheld):
    """It would cost more than may be spent. ``again`` is when there is a new budget, in seconds since 1970, where that will be."""

    code = "ORC551"
    again: float | None = None

    def as_json(self) -> dict[str, Any]:
        """With ``again``, where there will be a new budget."""
        return super().as_json() | ({"again": self.again} if self.again is not None else {})
