"""What waits for targets that are away, in the control API: list, show, cancel, retry."""

from __future__ import annotations

from typing import Final, Protocol

from orchestrator.core.errors import UsageError
from orchestrator.core.names import did_you_mean
from orchestrator.gateway.answering import Asked
from orchestrator.gateway.guard import send_json
from orchestrator.serve.forward import Forwarder

LONGEST_NAME: Final = 200
USUAL_COUNT: Final = 100
_ACTS: Final = ("cancel", "retry")


class Forwarding(Protocol):
    """What the routes need."""

    @property
    def forwarder(self) -> Forwarder: ...


class OutboxRoutes:
    """The routes."""

    def __init__(self, it: Forwarding) -> None:
        self._it = it

    async def look(self, asked: Asked) -> None:
        """One of them with all that was done with it, or the newest: those that wait, with ``all`` the others too."""
        if asked.rest:
            found, audit = await self._it.forwarder.find(asked.rest)
            whole = {**found.as_json(), "audit": [entry.as_json() for entry in audit]}
            await send_json(asked.send, 200, {"delivery": whole})
            return
        count, closed = asked.count("count", USUAL_COUNT), asked.query.get("all") in ("1", "true")
        newest = await self._it.forwarder.newest(asked.query.get("name", ""), max(1, count), closed=closed)
        await send_json(asked.send, 200, {"deliveries": [each.as_json() for each in newest]})

    async def act(self, asked: Asked) -> None:
        """``ID/cancel``, ``ID/retry``; ``retry`` alone for all, or all of the deployment ``name``."""
        if asked.rest == "retry":
            count = await self._it.forwarder.retry(asked.words("name", LONGEST_NAME), "")
            await send_json(asked.send, 200, {"count": count})
            return
        delivery, _, act = asked.rest.partition("/")
        if act not in _ACTS:
            cure = did_you_mean(act, _ACTS) or " or ".join(_ACTS)
            raise UsageError(f'what waits for its target cannot be "{act}"', cure=cure)
        if act == "cancel":
            ended = await self._it.forwarder.cancel(delivery, asked.words("by", LONGEST_NAME))
            await send_json(asked.send, 200, {"delivery": ended.as_json()})
            return
        found, _audit = await self._it.forwarder.find(delivery)
        count = await self._it.forwarder.retry("", found.id)
        await send_json(asked.send, 200, {"count": count})
