"""Virtual time on asyncio: what is slept takes none, and all clocks agree."""

from __future__ import annotations

import time

import anyio
import pytest

from orchestrator.app.simulation.clock import in_virtual_time
from orchestrator.serve.clock import current_time


def test_an_hour_takes_no_time_and_every_clock_shows_it() -> None:
    seen: list[tuple[float, float]] = []

    async def main() -> str:
        await anyio.sleep(3600)
        with anyio.move_on_after(60):
            await anyio.sleep_forever()
        seen.append((anyio.current_time(), current_time()))
        return "done"

    began = time.monotonic()
    assert in_virtual_time(main) == "done"
    assert seen == [(3660.0, 3660.0)] and time.monotonic() - began < 5

    async def after() -> float:
        return current_time()

    assert abs(anyio.run(after) - time.monotonic()) < 5  # the system's clock again


def test_tasks_run_in_the_order_of_their_moments() -> None:
    ran: list[int] = []

    async def after(seconds: int) -> None:
        await anyio.sleep(seconds)
        ran.append(seconds)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for seconds in (3, 1, 2, 1):
                group.start_soon(after, seconds)

    in_virtual_time(main)
    assert ran == [1, 1, 2, 3]


def test_where_all_wait_for_each_other_it_is_told_at_once() -> None:
    """It would never end."""
    with pytest.raises(RuntimeError, match="every task of the simulation waits"):
        in_virtual_time(anyio.sleep_forever)
