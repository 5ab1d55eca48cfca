"""Looks at the model servers before the next round, when one of them says that it has not the model that it listed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import anyio

from orchestrator.core.errors import OrchestratorError

PAUSE: Final = 1.0
"""Seconds between two such looks at least, however many endpoints ask for one."""


class EarlyLook:
    """Whoever finds a model missing asks for a look; one at a time is made, also for all that ask meanwhile."""

    def __init__(self) -> None:
        self._asked = anyio.Event()

    def ask(self, endpoint: str) -> None:
        """This endpoint's model is missing."""
        del endpoint  # a look is at all of them: what one server has no more, another may have
        self._asked.set()

    async def run(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look when asked to, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            with suppress(OrchestratorError):  # on the way out; a look tells its own faults
                await look()
            await anyio.sleep(PAUSE)
