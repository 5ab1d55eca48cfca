"""What goes wrong between the nodes of a fleet."""

from __future__ import annotations

from orchestrator.core.root_error import OrchestratorError
from orchestrator.core.run_errors import QueueFull, RunError


class BusDown(OrchestratorError):
    """The bus cannot be reached, does not answer in time, or does not let this node do that."""

    code = "ORC570"


class LetterTooLarge(BusDown):
    """The bus carries no message as large as that, however well it is."""


class Conflict(OrchestratorError):
    """Somebody else has written the entry meanwhile: read it again."""

    code = "ORC571"


class NotUnderstood(OrchestratorError):
    """A letter of another version, of an unknown kind, or with a field that is missing or wrong."""

    code = "ORC577"


class NoHolder(RunError):
    """No node that can be reached holds the agent."""

    code = "ORC572"


class FleetBusy(QueueFull):
    """Every node that holds the agent has as much to do as it may."""

    code = "ORC573"


class AnswerLost(RunError):
    """The node that answered fell silent, and the request could not be given to another one."""

    code = "ORC574"


class StaysHere(RunError):
    """The data may not leave this node, and the agent is on another one."""

    code = "ORC575"


class WentRound(RunError):
    """The request was handed from node to node too often."""

    code = "ORC576"


class RemoteFailed(RunError):
    """Another node could not answer: what went wrong there is in the message."""

    code = "ORC578"


class LeaseLost(RunError):
    """An agent that may act on one node only would have acted here, and its lease is not this node's (any more)."""

    code = "ORC579"


class TooLargeToSend(RunError):
    """The request, or its answer, is larger than what may go from node to node."""

    code = "ORC581"


class WaitsThere(RunError):
    """The node that was asked waits for a person before it can answer. ``node`` is that one, where it was heard."""

    code = "ORC580"
