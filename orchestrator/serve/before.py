"""What stands before the carrier of calls to an endpoint, and looks at each call first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import aclosing

from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Provider


class Before(ABC):
    """Has of a ``Provider`` what carries requests. ``checked`` gives the call as it goes on, or raises why it does not."""

    def __init__(self, carrier: Provider) -> None:
        self.carrier = carrier
        self.kind = carrier.kind

    @abstractmethod
    async def checked(self, call: ChatCall) -> ChatCall:
        """The call with what is left of its time."""

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        return await self.carrier.chat(await self.checked(call))

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces."""
        checked = await self.checked(call)
        async with aclosing(self.carrier.stream(checked)) as pieces:  # type: ignore[type-var] # a generator, which closes
            async for delta in pieces:
                yield delta
