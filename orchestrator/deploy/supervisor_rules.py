"""How long the supervisor of servers waits for each thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.deploy.backoff import Backoff

AGAIN: Final = Backoff(1.0, 60.0)


@dataclass(frozen=True, slots=True)
class SupervisorRules:
    """Times are seconds. A server is given up after ``most_exits`` within ``window``, or after ``most_unready`` in a row
    without a first token; then it ``rests``, and is tried once more. One that was ready for ``calm`` is as good as new.
    ``glance`` is the time between two askings of a server that starts, doubling to ``longest_glance``; ``grace`` is what it
    has between SIGTERM and SIGKILL. ``doubted`` is what one that was ready has at most to show a token again, as its model is
    loaded. ``looks`` is the time between two looks whether one that is empty has its model now. ``finishes`` is what one that
    goes, or is started again with other options, has at most to end what it works on: so it has when it worked on nothing for
    ``idle``.
    """

    again: Backoff = AGAIN
    window: float = 600.0
    most_exits: int = 5
    most_unready: int = 3
    rests: float = 900.0
    calm: float = 60.0
    glance: float = 0.05
    longest_glance: float = 1.0
    grace: float = 10.0
    doubted: float = 60.0
    looks: float = 5.0
    finishes: float = 30.0
    idle: float = 0.5


END_SECONDS: Final = 2 * SupervisorRules().grace + 1.0
"""The longest that ending all servers may take: asked, then killed."""
