"""Servers of ours that take turns, whose options change: each is started anew in its turn, and the apply comes to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import anyio
import pytest

from orchestrator.app.wiring import InProcess
from orchestrator.core.blueprint import Blueprint
from tests.servers.test_turns import ONE, apply, ask, counting, several, states
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio

SIZES = {"one": 500_000_000, "two": 400_000_000, "three": 100_000_000}
"""Of 620 MB: the third fits beside each of the others, which do not fit together."""


def desk(place: Place, threads: int, sizes: Mapping[str, int]) -> Blueprint:
    """One that is sized, with servers of so many threads."""
    made = several(place, *sizes, limit=ONE)
    elements = dict(made.elements)
    for alias, size in sizes.items():
        element = elements[f"model.{alias}"]
        server = {**element.spec["server"], "options": {"threads": threads}}
        elements[element.address] = replace(
            element, spec={**element.spec, "memory": size, "whole_memory": size, "server": server}
        )
    return replace(made, elements=elements)


@pytest.mark.parametrize("last", list(SIZES))
async def test_an_apply_with_other_options_for_all_shows_each_anew_and_ends(
    opened: tuple[Place, InProcess], last: str
) -> None:
    """Whichever of them runs meanwhile, and also where one of them grows."""
    place, made = opened
    for alias in SIZES:
        place.model(f"{alias}.gguf")
    async with counting(place) as seen:
        await apply(made, desk(place, 1, SIZES))
        result = await ask(made, last)
        assert result.text == "well", result.error
        await looked(made)
        with anyio.fail_after(15):
            await apply(made, desk(place, 2, SIZES | {"two": 450_000_000}))
        await looked(made)
        for alias in (*SIZES, "two"):
            assert (await ask(made, alias)).text == "well"
    assert [place.starts(f"{alias}.starts")[-1].partition("--threads ")[2][0] for alias in SIZES] == ["2"] * 3
    assert sorted(states(made).values()) in (["ready", "ready", "resting"], ["ready", "resting", "resting"])
    assert max(seen) <= 2


async def test_one_in_work_finishes_and_who_waits_for_the_other_is_next(opened: tuple[Place, InProcess]) -> None:
    """The process with the old options answers what it has, and the other's turn waits for its new one to show a token: not until
    an unload that was refused may be tried again."""
    place, made = opened
    for alias in SIZES:
        place.model(f"{alias}.gguf")
    place.model("one.gguf", takes=1, loading=0.5)
    await apply(made, desk(place, 1, SIZES))
    assert (await ask(made, "one")).text == "well"
    said: list[str] = []

    async def call(alias: str, state: str) -> None:
        await until(lambda: states(made)["one"] == state)
        result = await ask(made, alias)
        said.append(result.text or f"{alias}: {result.error}")

    live = made.planes.reconciler.table.get("desk")
    with anyio.fail_after(20):  # of the 30 s after which a refused unload is tried again
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, "one", "ready")
            await until(lambda: live is not None and live.serving.in_flight == 1)
            tasks.start_soon(call, "two", "stopping")
            await apply(made, desk(place, 2, SIZES))
    assert said == ["well", "well"]
    assert [each.partition("--threads ")[2][0] for each in place.starts("one.starts")][:2] == ["1", "2"]


async def test_requests_that_come_meanwhile_are_answered(opened: tuple[Place, InProcess]) -> None:
    """By the servers as they were or as they are then, in their turns."""
    place, made = opened
    for alias in SIZES:
        place.model(f"{alias}.gguf", loading=0.1)
    await apply(made, desk(place, 1, SIZES))
    said: list[str] = []

    async def call(alias: str, after: float) -> None:
        await anyio.sleep(after)  # real processes: calls come one after the other, as callers do
        result = await ask(made, alias)
        said.append(result.text or f"{alias} after {after}: {result.error}")

    with anyio.fail_after(25):
        async with anyio.create_task_group() as tasks:
            for number, alias in enumerate((*SIZES, *SIZES)):
                tasks.start_soon(call, alias, 0.15 * number)
            await apply(made, desk(place, 2, SIZES | {"two": 450_000_000}))
    assert said.count("well") >= 5  # one may meet a server between its first token and the look at it
    await looked(made)
    await until(lambda: "waiting" not in states(made).values() and "starting" not in states(made).values())
    await looked(made)
    for alias in SIZES:
        assert (await ask(made, alias)).text == "well"
