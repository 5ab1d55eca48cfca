"""An event loop whose time is virtual: when nothing can be done now, it is the time of what comes next.

Tasks run in the order in which they became ready, so that a run whose chance is seeded is the same each time. trio's clock for
tests could do it too, at three times the cost and with names of trio that are not public.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import anyio

from orchestrator.serve.clock import reading

Made = TypeVar("Made")
FOREVER: Final = 24 * 3600.0
"""The longest that asyncio asks a selector to wait: until then nothing is to be done but what is to be done never."""


class _Nothing(selectors.BaseSelector):
    """A selector where no file ever has news: time passes instead of waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self._files: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """The loop's own pipe, by which threads wake it: there are none."""
        key = selectors.SelectorKey(
            fileobj, int(fileobj if isinstance(fileobj, int) else fileobj.fileno()), events, data
        )
        self._files[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Not looked at any more."""
        return self._files.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass. Raises ``RuntimeError`` where all tasks wait and nothing is ever to come."""
        if timeout is None or timeout >= FOREVER:
            raise RuntimeError("every task of the simulation waits for another one")
        self.now += max(0.0, timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What is registered."""
        return self._files


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._clock = _Nothing()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._clock.now


def in_virtual_time(main: Callable[[], Awaitable[Made]]) -> Made:
    """Run it to its end; hours of it take as long as what is done in them."""

    async def run() -> Made:
        with reading(asyncio.get_running_loop().time):
            return await main()

    return anyio.run(run, backend="asyncio", backend_options={"loop_factory": VirtualLoop})
