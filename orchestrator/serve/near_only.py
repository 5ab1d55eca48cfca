"""Before what must stay near goes to a server that could pass it on to another machine, that server is asked whether it does."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from orchestrator.core.errors import Withheld
from orchestrator.ports.provider import ChatCall, Embedder, Forwarder, Provider, Target
from orchestrator.serve.before import Before
from orchestrator.serve.clock import current_time
from orchestrator.serve.window_first import LEAST


def near_only(carrier: Provider, provider: Provider) -> Provider:
    """The ``carrier`` of calls to a ``provider`` nearby, with that question before each; as it is where its servers pass nothing
    on."""
    return cast(Provider, NearOnly(carrier, provider)) if isinstance(provider, Forwarder) else carrier


class NearOnly(Before):
    """Asks right before each call, retries too: between two looks at a server a model of its own may have become one that it only
    passes on. Where it does not tell, nothing is sent."""

    def __init__(self, carrier: Provider, forwarder: Forwarder) -> None:
        super().__init__(carrier)
        self._forwarder = forwarder

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:
        """One vector a text."""
        await self._check(target, timeout)
        return await cast(Embedder, self.carrier).embed(target, texts, timeout)

    async def checked(self, call: ChatCall) -> ChatCall:
        """The call with the time that is left."""
        began = current_time()
        await self._check(call.target, call.timeout)
        return replace(call, timeout=max(LEAST, call.timeout - (current_time() - began)))

    async def _check(self, target: Target, within: float) -> None:
        if await self._forwarder.forwards(target, within):
            raise Withheld(
                f"{target.model} is only passed on by {target.provider} to another machine, and this is restricted",
                cure="Give the agent a model that its server runs itself.",
            )
