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
    │   ├── NotInstalled      the program that would serve a model is not there
    │   ├── NothingToLabel    no score that a label could be put to
    │   ├── NoSuchApproval
    │   ├── ApprovalClosed    it is decided, expired, used, or not what was seen
    │   ├── NoSuchDelivery
    │   ├── DeliveryClosed    it does not wait any more
    │   ├── TakenBack         a fleet went back to what it served
    │   └── FleetError        who belongs to a fleet (core/fleet_errors.py)
    │       ├── TokenRefused
    │       └── NotSigned
    ├── RunError                                 5
    │   ├── NoModel
    │   │   └── KeptNear          only models in the cloud, which may not see it
    │   ├── QueueFull
    │   │   ├── DeskFull          too much waits for people already
    │   │   ├── OutboxFull        too much waits for targets that are away
    │   │   └── FleetBusy         every node that holds the agent is full
    │   ├── ApprovalDenied    a person said no
    │   ├── ApprovalExpired   no person came in time
    │   ├── HeldRunLost       a run that waited for a person cannot go on
    │   ├── DeliveryExpired   the target did not come back in time
    │   ├── DeliveryCancelled somebody took the request back
    │   ├── DeadlinePassed
    │   ├── RunCancelled
    │   ├── LimitReached
    │   ├── ToolFailed
    │   │   └── WrongArguments    nothing was done
    │   ├── SchemaInvalid
    │   ├── WouldMissDeadline
    │   ├── NoHolder          no node that can be reached holds the agent
    │   ├── AnswerLost        the node that answered fell silent
    │   ├── StaysHere         restricted data, and the agent is on another node
    │   ├── WentRound         from node to node too often
    │   ├── RemoteFailed      another node could not answer
    │   ├── LeaseLost         an exclusive agent that may not act here
    │   ├── WaitsThere        another node waits for a person
    │   ├── TooLargeToSend    a request or answer that is no message between nodes
    │   └── ModelError
    │       ├── Unreachable       connect refused, or reset before headers
    │       │   └── StaleConnection    closed before the first byte on a reused socket
    │       ├── ServerBusy        503 "Loading model", queue full: wait, does not count as a failure
    │       ├── RateLimited       429
    │       ├── Refused           401, 402, 403, 407
    │       ├── BadRequest        400, 422
    │       │   ├── ContextTooLong
    │       │   └── GrammarRefused    it makes no grammar of a schema
    │       ├── ModelNotFound     404 for the model
    │       ├── ServerFailed      5xx
    │       │   └── NotAsAnnounced    what was pulled is not what was announced
    │       ├── BrokenReply       malformed, not this protocol
    │       │   └── CutOff            the connection ended within the answer
    │       ├── Stalled           no byte in time
    │       ├── DoesNotFit        its model needs more memory than models may take
    │       └── Withheld          our own policy kept it here: nothing was sent
    │           └── BudgetExceeded
    ├── BusDown           the bus between the nodes does not carry
    │   └── LetterTooLarge    however well it is
    ├── Conflict          somebody else has written the entry meanwhile
    ├── NotUnderstood     a letter between nodes that is of no known kind
    └── UsageError                               64
        └── NoSuchRun

Plug-ins translate the exceptions of their libraries into these at their own door (``raise … from error``).
"""

from __future__ import annotations

from orchestrator.core.deploy_errors import (
    AnotherRuns,
    ApprovalClosed,
    DeliveryClosed,
    DeployError,
    NameClash,
    NoServer,
    NoSuchApproval,
    NoSuchDelivery,
    NoSuchDeployment,
    NothingToLabel,
    NotInstalled,
    PlanError,
    PlanOutdated,
    PortTaken,
    RuntimeUnavailable,
    RuntimeVersionClash,
    StateUnusable,
    TakenBack,
)
from orchestrator.core.mesh_errors import (
    AnswerLost,
    BusDown,
    Conflict,
    FleetBusy,
    LeaseLost,
    LetterTooLarge,
    NoHolder,
    NotUnderstood,
    RemoteFailed,
    StaysHere,
    TooLargeToSend,
    WaitsThere,
    WentRound,
)
from orchestrator.core.model_errors import (
    BadRequest,
    BrokenReply,
    BudgetExceeded,
    ContextTooLong,
    CutOff,
    DoesNotFit,
    GrammarRefused,
    ModelError,
    ModelNotFound,
    NotAsAnnounced,
    RateLimited,
    Refused,
    ServerBusy,
    ServerFailed,
    StaleConnection,
    Stalled,
    Unreachable,
    Withheld,
)
from orchestrator.core.root_error import (
    ManifestError,
    NoSuchRun,
    OrchestratorError,
    UsageError,
    in_one_line,
)
from orchestrator.core.run_errors import (
    ApprovalDenied,
    ApprovalExpired,
    DeadlinePassed,
    DeliveryCancelled,
    DeliveryExpired,
    DeskFull,
    HeldRunLost,
    KeptNear,
    LimitReached,
    NoModel,
    OutboxFull,
    QueueFull,
    RunCancelled,
    RunError,
    SchemaInvalid,
    ToolFailed,
    WouldMissDeadline,
    WrongArguments,
)

__all__ = [
    "AnotherRuns",
    "AnswerLost",
    "ApprovalClosed",
    "ApprovalDenied",
    "ApprovalExpired",
    "BadRequest",
    "BrokenReply",
    "BudgetExceeded",
    "BusDown",
    "Conflict",
    "ContextTooLong",
    "CutOff",
    "DeadlinePassed",
    "DeliveryCancelled",
    "DeliveryClosed",
    "DeliveryExpired",
    "DeployError",
    "DeskFull",
    "DoesNotFit",
    "FleetBusy",
    "GrammarRefused",
    "HeldRunLost",
    "KeptNear",
    "LeaseLost",
    "LetterTooLarge",
    "LimitReached",
    "ManifestError",
    "ModelError",
    "ModelNotFound",
    "NameClash",
    "NoHolder",
    "NoModel",
    "NoServer",
    "NoSuchApproval",
    "NoSuchDelivery",
    "NoSuchDeployment",
    "NoSuchRun",
    "NotAsAnnounced",
    "NotInstalled",
    "NotUnderstood",
    "NothingToLabel",
    "OrchestratorError",
    "OutboxFull",
    "PlanError",
    "PlanOutdated",
    "PortTaken",
    "QueueFull",
    "RateLimited",
    "Refused",
    "RemoteFailed",
    "RunCancelled",
    "RunError",
    "RuntimeUnavailable",
    "RuntimeVersionClash",
    "SchemaInvalid",
    "ServerBusy",
    "ServerFailed",
    "StaleConnection",
    "Stalled",
    "StateUnusable",
    "StaysHere",
    "TakenBack",
    "TooLargeToSend",
    "ToolFailed",
    "Unreachable",
    "UsageError",
    "WaitsThere",
    "WentRound",
    "Withheld",
    "WouldMissDeadline",
    "WrongArguments",
    "in_one_line",
]
