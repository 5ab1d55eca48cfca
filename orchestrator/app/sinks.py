"""What works beside the requests: sinks, which hear what happened, and the owners of what waits. Whatever is wrong in one, requests
go on and the process lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from orchestrator.core.event import Event

AGAIN: Final = 5.0
"""Seconds before one that failed goes on."""
Report = Callable[[str], None]


def hear(event: Event, take: Callable[[Event], None], report: Report) -> None:
    """Tell a sink of an event; a fault of the sink is reported, and the event is lost to it."""
    try:
        take(event)
    except Exception as error:  # noqa: BLE001 - the event comes out of a request, which has nothing to do with it
        report(f"the event {event.kind} of {event.run or event.deployment} is lost: {_named(error)}")


async def keep_running(who: str, run: Callable[[], Awaitable[None]], report: Report, again: float = AGAIN) -> None:
    """Run what works beside the requests until it ends by itself; after a fault ``who`` failed is reported, and it is run again
    ``again`` seconds later."""
    while True:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - it runs beside everything else, which must not end with it
            report(f"{who} failed, and goes on in {again:g} s: {_named(error)}")
            await anyio.sleep(again)
        else:
            return


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
