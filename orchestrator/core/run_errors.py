"""Why a run ended without an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core.root_error import OrchestratorError

if TYPE_CHECKING:  # every command imports the errors, and few the results
    from orchestrator.core.request import Result


class RunError(OrchestratorError):
    """A run ended without an answer."""

    code = "ORC501"
    exit_code = 5
    node = ""
    """The one of the fleet on which it happened, where that was another."""
    there: Result | None = None
    """The run that ended with it there."""


class NoModel(RunError):
    """No model serves this agent."""

    code = "ORC502"


class KeptNear(NoModel):
    """What has to stay on this device or its network has only models in the cloud: tomorrow it would be the same."""


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


class DeliveryExpired(RunError):
    """The target did not come back before the time of what waited for it was over."""

    code = "ORC544"


class OutboxFull(QueueFull):
    """As much waits for targets as may."""

    code = "ORC545"


class DeliveryCancelled(RunError):
    """Somebody took back what waited for its target."""

    code = "ORC546"


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
    """A tool refused its arguments or failed. ``value``: what its message holds of rows and files, as a plain value under the names
    of its fields: so values of named fields are hidden there as in a result (``core/marks.py``)."""

    code = "ORC507"

    def __init__(self, message: str, *, cure: str = "", value: Any = None) -> None:
        super().__init__(message, cure=cure)
        self.value = value


class WrongArguments(ToolFailed):
    """What was asked of a function does not fit it; nothing was done."""


class SchemaInvalid(RunError):
    """The model's answer stayed invalid after one repair. ``attempt`` is the answer, for whoever takes over."""

    code = "ORC508"

    def __init__(self, message: str, *, cure: str = "", attempt: str = "") -> None:
        super().__init__(message, cure=cure)
        self.attempt = attempt


class WouldMissDeadline(RunError):
    """Waiting work makes it impossible to finish in time."""

    code = "ORC509"
