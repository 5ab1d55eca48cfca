"""A server that loads a model for the call that needs it, and tells its window only then: it is loaded first, and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from orchestrator.core.errors import BadRequest
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.lifecycle import Loader, LoadOptions
from orchestrator.ports.provider import ChatCall, Provider
from orchestrator.serve.before import Before
from orchestrator.serve.clock import current_time
from orchestrator.serve.steps.window import too_long, window_of

Learn = Callable[[str, int], None]
"""Is told the window of an endpoint."""
LEAST: Final = 0.001
"""Seconds that a call is left at least: its deadline is held by who asked for it."""


class WindowFirst(Before):
    """Stands before the ``carrier`` of calls to an endpoint, whose provider is a ``Loader``; raises ``ContextTooLong`` where the
    window that its server tells is too small, and what a load raises. The load is the one that the call would have caused: how
    long the model stays is left to its server."""

    def __init__(self, carrier: Provider, spec: EndpointSpec, learn: Learn) -> None:
        super().__init__(carrier)
        self._spec = spec
        self._learn = learn

    async def checked(self, call: ChatCall) -> ChatCall:
        """The call with the time that is left, where it fits."""
        began = current_time()
        try:
            loaded = await cast(Loader, self._spec.provider).load(call.target, LoadOptions(), call.timeout)
        except BadRequest:  # what stands before the server lets no such request through: nothing is known, as before
            return call
        if loaded.context is not None:
            self._learn(self._spec.id, loaded.context)
            why = too_long(call, window_of(self._spec, loaded.context))
            if why is not None:
                raise why
        return replace(call, timeout=max(LEAST, call.timeout - (current_time() - began)))
