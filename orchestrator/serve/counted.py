"""A server that counts the tokens of a prompt before it gets it, where the manifest allows fewer than it would take."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from orchestrator.ports.provider import ChatCall, Counter, Provider
from orchestrator.serve.before import Before
from orchestrator.serve.steps.window import Window, is_to_be_counted, too_long, too_many


class Counted(Before):
    """Stands before a ``provider`` that is a ``Counter``; raises ``ContextTooLong`` where its count, or without one the careful
    estimate, is more than the ``window`` has."""

    def __init__(self, provider: Provider, window: Window) -> None:
        super().__init__(provider)
        self._window = window

    async def checked(self, call: ChatCall) -> ChatCall:
        """The call as it is."""
        if not is_to_be_counted(call, self._window):
            return call
        counted = await cast(Counter, self.carrier).count(call)
        if counted is None:
            why = too_long(call, replace(self._window, counts=False))
        else:
            why = too_many(call, self._window, counted)
        if why is not None:
            raise why
        return call
