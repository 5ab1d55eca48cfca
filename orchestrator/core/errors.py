"""What goes wrong while acting, as one small tree.

::

    OrchestratorError                      exit  1
    ├── ManifestError     (diagnostics)          2
    ├── PlanError                                3
    │   └── PlanOutdated      what it was made from has changed
    ├── DeployError                              4
    │   ├── RuntimeUnavailable
    │   ├── AnotherRuns       another runtime of this user holds the lock
    │   ├── StateUnusable
    │   ├── NoSuchDeployment
    │   ├── NoServer          no model server that can do it answers
    │   ├── NoSuchApproval
    │   └── ApprovalClosed    it is decided, expired, used, or not what was seen
    ├── RunError                                 5
    │   ├── NoModel
    │   ├── QueueFull
    │   │   └── DeskFull          too much waits for people already
    │   ├── ApprovalDenied    a person said no
    │   ├── ApprovalExpired   no person came in time
    │   ├── HeldRunLost       a run that waited for a person cannot go on
    │   ├── DeadlinePassed
    │   ├── RunCancelled
    │   ├── LimitReached
    │   ├── ToolFailed
    │   │   └── WrongArguments    nothing was done
    │   ├── SchemaInvalid
    │   ├── WouldMissDeadline
    │   └── ModelError
    │       ├── Unreachable       connect refused, or reset before headers
    │       │   └── StaleConnection    closed before the first byte on a reused socket
    │       ├── ServerBusy        503 "Loading model", queue full: wait, does not count as a failure
    │       ├── RateLimited       429
    │       ├── Refused           401, 403
    │       ├── BadRequest        400, 422
    │       │   └── ContextTooLong
    │       ├── ModelNotFound     404 for the model
    │       ├── ServerFailed      5xx
    │       ├── BrokenReply       cut off, malformed, not this protocol
    │       ├── Stalled           no byte in time
    │       ├── DoesNotFit        its model needs more memory than models may take
    │       └── Withheld          our own policy kept it here: nothing was sent
    │           └── BudgetExceeded
    └── UsageError                               64

Plug-ins translate the exceptions of their libraries into these at their own door (``raise … from error``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from orchestrator.core.diagnostic import Diagnostic, Severity, render


class OrchestratorError(Exception):
    """Root of every error that a user may see: a stable ``code``, a message and a ``cure``."""

    code: ClassVar[str] = "ORC501"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def as_json(self) -> dict[str, Any]:
        """A plain form: code, kind, message, cure."""
        return {"code": self.code, "kind": type(self).__name__, "message": self.message, "cure": self.cure}


class ManifestError(OrchestratorError):
    """The manifest has faults; all of them are in ``diagnostics``, with the ``sources`` (file -> lines) to show them."""

    code = "ORC100"
    exit_code = 2

    def __init__(self, diagnostics: Sequence[Diagnostic], sources: dict[str, list[str]] | None = None) -> None:
        count = sum(one.severity is not Severity.NOTE for one in diagnostics)
        super().__init__(f"the manifest has {count} fault{'s' if count != 1 else ''}")
        self.diagnostics = tuple(diagnostics)
        self.sources = sources or {}

    def __str__(self) -> str:
        """How many faults there are, and each in short: what a traceback shows."""
        return "\n".join([self.message, *(render(one, {}) for one in self.diagnostics)])


class PlanError(OrchestratorError):
    """The plan cannot be made or was not agreed to."""

    code = "ORC401"
    exit_code = 3


class PlanOutdated(PlanError):
    """What is there is no longer what the plan was made from: nothing was done."""


class DeployError(OrchestratorError):
    """A step of the plan, or the runtime, failed."""

    code = "ORC410"
    exit_code = 4


class RuntimeUnavailable(DeployError):
    """The background runtime does not answer or could not start."""

    code = "ORC411"


class AnotherRuns(DeployError):
    """Another runtime of this user has the lock: there is one a user."""


class StateUnusable(DeployError):
    """The state folder cannot be used."""

    code = "ORC412"


class NoSuchDeployment(DeployError):
    """No applied deployment has this name."""

    code = "ORC413"


class RuntimeVersionClash(DeployError):
    """The running runtime belongs to another version of the program, or to another Python."""

    code = "ORC414"


class PortTaken(DeployError):
    """Another process listens on the port that was asked for."""

    code = "ORC415"


class NameClash(DeployError):
    """Two different manifests claim one deployment name."""

    code = "ORC416"


class NoServer(DeployError):
    """No model server answers that can do what is asked with this model."""

    code = "ORC417"


class NoSuchApproval(DeployError):
    """Nothing of this id waits or waited for a person."""

    code = "ORC440"


class ApprovalClosed(DeployError):
    """It cannot be decided (any more): somebody was faster, its time is over, or it is not what was seen."""

    code = "ORC441"


class RunError(OrchestratorError):
    """A run ended without an answer."""

    code = "ORC501"
    exit_code = 5


class NoModel(RunError):
    """No model serves this agent."""

    code = "ORC502"


class QueueFull(RunError):
    """The bounded queue has no room. ``retry_after`` is in seconds."""

    code = "ORC503"

    def __init__(self, message: str, *, cure: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, cure=cure)
        self.retry_after = retry_after


class DeskFull(QueueFull):
    """As many things wait for people as may."""

    code = "ORC542"


class ApprovalDenied(RunError):
    """A person refused it."""

    code = "ORC540"


class ApprovalExpired(RunError):
    """No person decided in time."""

    code = "ORC541"


class HeldRunLost(RunError):
    """A run that waited for a person cannot go on: its call was cut off, or its deployment is no longer what it was."""

    code = "ORC543"


class DeadlinePassed(RunError):
    """The request did not finish within its time."""

    code = "ORC504"


class RunCancelled(RunError):
    """The client went away, or the run was cancelled."""

    code = "ORC505"


class LimitReached(RunError):
    """An agent reached its limit of steps, tool calls or tokens."""

    code = "ORC506"


class ToolFailed(RunError):
    """A tool refused its arguments or failed."""

    code = "ORC507"


class WrongArguments(ToolFailed):
    """What was asked of a function does not fit it; nothing was done."""


class SchemaInvalid(RunError):
    """The model's answer stayed invalid after one repair."""

    code = "ORC508"


class WouldMissDeadline(RunError):
    """Waiting work makes it impossible to finish in time."""

    code = "ORC509"


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
    """The server answered 401 or 403: never retried."""

    code = "ORC523"


class BadRequest(ModelError):
    """The server answered 400 or 422: never retried."""

    code = "ORC524"


class ContextTooLong(BadRequest):
    """The prompt does not fit the context that is served."""

    code = "ORC525"


class ModelNotFound(ModelError):
    """The server does not serve this model."""

    code = "ORC526"


class ServerFailed(ModelError):
    """The server answered with 5xx."""

    code = "ORC527"


class BrokenReply(ModelError):
    """The answer was cut off, malformed, or not of this protocol."""

    code = "ORC528"


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


class UsageError(OrchestratorError):
    """What was asked does not fit: a word of the command line, or the ``field`` of a request."""

    code = "ORC601"
    exit_code = 64

    def __init__(self, message: str, *, cure: str = "", field: str = "") -> None:
        super().__init__(message, cure=cure)
        self.field = field
