"""What a run needs of the other nodes of its fleet: somebody who answers for an agent that this one does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from orchestrator.core.handed import NOTHING_HANDED, Handed
from orchestrator.core.request import Request, Result
from orchestrator.ports.effects import Effect


class Elsewhere(Protocol):
    """The other nodes."""

    node: str
    """The id of this one, which results tell."""
    away: int
    """Requests of this one that wait for the others now: they keep nothing here busy."""

    def sooner(self, agent: str) -> bool:
        """Whether another node would answer clearly sooner than this one, for an agent that both hold; of a request that came from
        another node, never."""

    def begin(self, agent: str) -> int | None:
        """The epoch of the lease under which this node answers for an agent that it holds, from now until :meth:`end`: 0 where it
        needs none, ``None`` where it does not have it. A lease that is to go to another node is kept until all have ended."""

    def end(self, agent: str, epoch: int) -> None:
        """An answer that began under that epoch is over, however."""

    def holds(self, agent: str, epoch: int) -> bool:
        """Whether what began under that epoch may go on."""

    async def answer(
        self, request: Request, say: Callable[[str], None] | None, key: str = "", handed: Handed = NOTHING_HANDED
    ) -> Result:
        """The result of the node that holds ``request.agent``, with its ``node``. ``handed`` is what it is to know beside the
        request. With a ``key``, which is the same at each try of
        one request, that node writes its answer down before it gives it, and does not work on it twice.

        ``say`` gets the pieces of the answer as they come; without it, it comes whole. ``request.timeout`` is the time that is
        left, in seconds. A fault of the run there is raised as what it was there, as far as its kind is known here, with that run
        as its ``there``. Raises ``NoHolder`` where no node that holds it answers, and ``RunError``.
        """

    async def look(self, node: str, run: str, agent: str) -> Result:
        """How a ``run`` of that node stands, which an earlier answer said to wait for: that it waits still, or its end, which may
        be a failure. Raises ``RunError`` where the node does not say."""
        ...

    async def act(self, effect: Effect) -> None:
        """Right before an exclusive agent does something outside: see that the lease is still of this epoch, and write it down.
        Raises ``LeaseLost``, and ``StateUnusable`` where it cannot be written: then it must not be done."""
