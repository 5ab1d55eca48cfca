"""What a run needs of the other nodes of its fleet: somebody who answers for an agent that this one does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from orchestrator.core.request import Request, Result


class Elsewhere(Protocol):
    """The other nodes."""

    node: str
    """The id of this one, which results tell."""

    def epoch_of(self, agent: str) -> int | None:
        """The epoch of the lease under which this node may answer at this moment for an agent that it holds: 0 where it needs
        none, ``None`` where it does not have it."""

    async def answer(self, request: Request, say: Callable[[str], None] | None) -> Result:
        """The result of the node that holds ``request.agent``, with its ``node``.

        ``say`` gets the pieces of the answer as they come; without it, it comes whole. ``request.timeout`` is the time that is
        left, in seconds. A fault of the run there is raised as what it was there, as far as its kind is known here. Raises
        ``NoHolder`` where no node that holds it answers, and ``RunError``.
        """
