"""Faults after which the same thing may succeed later, as it is: the one table of them, with a column for each use.

- ``kept``: a new request is kept in the outbox, and its caller is told to wait. Not where there is only no room or no time just
  now: the caller is there, hears that, and asks again himself.
- ``forwarded``: a request that the outbox has kept is tried again, for as long as it may wait (a day, unless the manifest says
  else): its caller has gone. So also what says that this try had too little time or room.
- ``decided``: a run that a person has decided on is tried again, for minutes, because its call was made or is to be made once.
  Not where its own time was over: that began anew with this try. Nor for a budget, which is the same until tomorrow.

A fault that is not here is the request's own. A call that was not sent at all, as its server rests, is told none of those: see
``fallback.told_of``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.core.errors import (
    AnswerLost,
    BudgetExceeded,
    CutOff,
    DeadlinePassed,
    DoesNotFit,
    FleetBusy,
    KeptNear,
    LeaseLost,
    ModelNotFound,
    NoHolder,
    NoModel,
    QueueFull,
    RateLimited,
    Refused,
    RunCancelled,
    RunError,
    ServerBusy,
    ServerFailed,
    StaleConnection,
    Stalled,
    Unreachable,
    WouldMissDeadline,
)
from orchestrator.core.record import record


@record
class Later:
    """In which uses a fault is waited out."""

    kept: bool
    forwarded: bool
    decided: bool


_TABLE: Final[Mapping[type[RunError], Later]] = {
    NoModel: Later(kept=True, forwarded=True, decided=True),
    Unreachable: Later(kept=True, forwarded=True, decided=True),
    StaleConnection: Later(kept=True, forwarded=True, decided=True),
    ServerBusy: Later(kept=True, forwarded=True, decided=True),
    RateLimited: Later(kept=True, forwarded=True, decided=True),
    # A 5xx is the server's own trouble, or that of a gateway before one that is away. What a server says in a 5xx of the request
    # itself is another kind (``BadRequest``, ``ContextTooLong``; see ``plugins/providers/failures.py``).
    ServerFailed: Later(kept=True, forwarded=True, decided=True),
    # Nothing of the request: a key that is not known (any more, yet), a portal before the net, a model that is not loaded yet.
    # Whose server rests for it has not even been sent. Somebody mends it, as he raises a budget.
    Refused: Later(kept=True, forwarded=True, decided=True),
    ModelNotFound: Later(kept=True, forwarded=True, decided=True),
    # What is malformed would be so again; where the connection ended within it, it may be whole the next time.
    CutOff: Later(kept=True, forwarded=True, decided=True),
    Stalled: Later(kept=True, forwarded=True, decided=True),
    BudgetExceeded: Later(kept=True, forwarded=True, decided=False),
    # Of a fleet: nobody who holds the agent is there, or says so any more.
    NoHolder: Later(kept=True, forwarded=True, decided=True),
    AnswerLost: Later(kept=True, forwarded=True, decided=True),
    LeaseLost: Later(kept=True, forwarded=True, decided=True),
    FleetBusy: Later(kept=False, forwarded=True, decided=True),
    QueueFull: Later(kept=False, forwarded=True, decided=True),
    DoesNotFit: Later(kept=False, forwarded=True, decided=True),
    # By a stop, or by the end of its revision: it goes on with the next.
    RunCancelled: Later(kept=False, forwarded=True, decided=True),
    DeadlinePassed: Later(kept=False, forwarded=True, decided=False),
    WouldMissDeadline: Later(kept=False, forwarded=True, decided=False),
}
FORWARDED: Final = frozenset(fault.__name__ for fault, later in _TABLE.items() if later.forwarded)
"""By the name that a result tells (``kind``), for what the outbox has kept. A kind of its own is not its base: what is full of
what waits already is not waited for."""
DECIDED: Final = frozenset(fault.__name__ for fault, later in _TABLE.items() if later.decided)
"""The same, for what a person has decided on."""
_KEPT: Final = tuple(fault for fault, later in _TABLE.items() if later.kept)


def may_be_kept(error: RunError) -> bool:
    """Whether a new request that ended so may be kept: its target is away, has no time, or may not be paid today."""
    if isinstance(error, BudgetExceeded) and error.again is None:  # of this run: tomorrow it would be the same
        return False
    return isinstance(error, _KEPT) and not isinstance(error, KeptNear)
