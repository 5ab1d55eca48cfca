"""A sink hears what happened. Whatever is wrong in one, requests go on and the process lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from orchestrator.core.event import Event

AGAIN: Final = 5.0
"""Seconds before a sink that failed goes on."""
Report = Callable[[str], None]


def hear(event: Event, take: Callable[[Event], None], report: Report) -> None:
    """Tell a sink of an event; a fault of the sink is reported, and the event is lost to it."""
    try:
        take(event)
    except Exception as error:  # noqa: BLE001 - the event comes out of a request, which has nothing to do with it
        report(f"the event {event.kind} of {event.run or event.deployment} is lost: {_named(error)}")


async def keep_running(run: Callable[[], Awaitable[None]], report: Report, again: float = AGAIN) -> None:
    """Run a sink until it ends by itself; after a fault it is reported and run again."""
    while True:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - it runs beside everything else, which must not end with it
            report(f"what happens is not written for {again:g} s: {_named(error)}")
            await anyio.sleep(again)
        else:
            return


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
