"""The simulated net and board are as unfair as the real ones, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from orchestrator.core.errors import BusDown, Conflict
from orchestrator.ports.bus import Entry, Letter
from orchestrator.testing.sim_board import SILENT, TTL
from orchestrator.testing.sim_bus import HUB, SimBus, SimNet, Weather, fits

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that waits."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Heard:
    """A net with listeners, and what each of them heard."""

    def __init__(self, net: SimNet, group: anyio.abc.TaskGroup) -> None:
        self.net, self.group = net, group
        self.letters: dict[str, list[str]] = {}

    async def listen(self, bus: SimBus) -> None:
        heard, pattern = self.letters.setdefault(bus.node, []), f"to.{bus.node}"

        async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with bus.listen(pattern) as letters:
                task_status.started()
                async for letter in letters:
                    heard.append(letter.body.decode())

        await self.group.start(run)


@asynccontextmanager
async def heard(**more: Any) -> AsyncIterator[Heard]:
    async with anyio.create_task_group() as group:
        net = SimNet(Random(1), **more)
        group.start_soon(net.run)
        yield Heard(net, group)
        group.cancel_scope.cancel()


def letter(text: str, to: str = "b") -> Letter:
    return Letter(f"to.{to}", text.encode())


@pytest.mark.parametrize(
    ("pattern", "subject", "fit"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.b", "a.c", False),
        ("a.b", "a", False),
    ],
)
def test_a_pattern_fits_as_the_port_says(pattern: str, subject: str, fit: bool) -> None:
    """A star is one word, the other sign one or more."""
    assert fits(pattern, subject) is fit


async def test_a_letter_reaches_all_who_listen_and_nobody_who_is_away() -> None:
    """Who comes later does not get it; letters of one node to another stay in their order."""
    async with heard() as here:
        a, b, c = (here.net.join(name)[0] for name in "abc")
        await here.listen(b)
        for number in range(9):
            await a.send(letter(str(number)))
        await anyio.sleep(1)
        await here.listen(c)
        await anyio.sleep(1)
        assert here.letters == {"b": list("012345678"), "c": []}


async def test_a_cut_goes_one_way_and_what_waits_at_it_is_late_or_lost() -> None:
    """As TCP sends again what was not acknowledged, for a while."""
    async with heard() as here:
        a, b = (here.net.join(name)[0] for name in "ab")
        await here.listen(a)
        await here.listen(b)
        here.net.cut("a", "b")
        await a.send(letter("lost"))
        await b.send(letter("back", "a"))
        await anyio.sleep(3)
        await a.send(letter("late"))
        await anyio.sleep(1)
        assert here.letters == {"a": ["back"], "b": []}
        here.net.heal()
        await anyio.sleep(1)
        assert here.letters["b"] == ["late"]


@pytest.mark.parametrize(("one_hub", "reached"), [(True, []), (False, ["hi"])])
async def test_nodes_without_the_hub_reach_each_other_only_where_each_has_one(
    one_hub: bool, reached: list[str]
) -> None:
    """A leaf without its hub is alone."""
    async with heard(one_hub=one_hub) as here:
        a, b = (here.net.join(name)[0] for name in "ab")
        await here.listen(b)
        here.net.part(["a", "b"], [HUB])
        await a.send(letter("hi"))
        await anyio.sleep(1)
        assert (here.letters["b"], a.connected) == (reached, False)


async def test_a_frozen_node_gets_what_its_buffers_hold_when_it_thaws_and_sends_nothing_before() -> None:
    """The server drops it after a while."""
    async with heard() as here:
        a, b = (here.net.join(name)[0] for name in "ab")
        await here.listen(a)
        await here.listen(b)
        here.net.freeze("b")
        await a.send(letter("soon"))
        here.group.start_soon(b.send, letter("held", "a"))
        await anyio.sleep(5)
        await a.send(letter("dropped"))
        await anyio.sleep(1)
        assert here.letters == {"a": [], "b": []}
        here.net.thaw("b")
        await anyio.sleep(1)
        assert here.letters == {"a": ["held"], "b": ["soon"]}


async def test_a_crashed_node_says_and_hears_nothing_any_more() -> None:
    """Its next life is another process."""
    async with heard() as here:
        a, b = (here.net.join(name)[0] for name in "ab")
        await here.listen(a)
        await here.listen(b)
        here.net.crash("b")
        await b.send(letter("ghost", "a"))
        await a.send(letter("hi"))
        await anyio.sleep(1)
        assert here.letters == {"a": [], "b": []}


async def test_weather_loses_doubles_and_mixes_letters() -> None:
    """In about the shares that it says."""
    async with heard(weather=Weather(lost=0.2, twice=0.2, overtaken=0.5)) as here:
        a, b = (here.net.join(name)[0] for name in "ab")
        await here.listen(b)
        for number in range(500):
            await a.send(letter(str(number)))
        await anyio.sleep(2)
        got = [int(one) for one in here.letters["b"]]
        assert 360 < len(set(got)) < 440 and 60 < len(got) - len(set(got)) < 130 and got != sorted(got)


# ---- the board --------------------------------------------------------------------------------------------------------


async def test_entries_are_written_by_compare_and_swap() -> None:
    """And told to who watches."""
    async with heard() as here:
        _, board = here.net.join("a")
        seen: list[Entry] = []

        async def watch(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with board.watch("desired", "k") as changes:
                task_status.started()
                async for entry in changes:
                    seen.append(entry)  # noqa: PERF401 - it goes on for ever

        await here.group.start(watch)
        assert await board.read("desired", "k") is None
        first = await board.swap("desired", "k", b"1")
        with pytest.raises(Conflict):
            await board.swap("desired", "k", b"2")
        second = await board.swap("desired", "k", b"2", first.revision)
        assert second.revision > first.revision and await board.entries("desired", "k") == (second,)
        await anyio.sleep(0.1)
        assert seen == [first, second]
        here.net.hub(down=True)
        here.net.heal()
        await board.swap("desired", "k", b"3", second.revision)
        await anyio.sleep(0.1)
        assert len(seen) == 2  # watches are silent after a hub was killed
        await anyio.sleep(SILENT)
        await board.swap("desired", "k", b"4", second.revision + 1)
        await anyio.sleep(0.1)
        assert len(seen) == 3


async def test_a_lease_expires_into_an_entry_without_a_value() -> None:
    """Which has a revision: who writes as if nothing were there fails."""
    async with heard() as here:
        _, board = here.net.join("a")
        first = await board.swap("lease", "k", b"me")
        await anyio.sleep(TTL)
        expired = await board.read("lease", "k")
        assert expired == Entry("k", b"", first.revision + 1) and await board.entries("lease") == ()
        with pytest.raises(Conflict):
            await board.swap("lease", "k", b"you")
        assert (await board.swap("lease", "k", b"you", expired.revision)).value == b"you"


@pytest.mark.parametrize("written", [False, True])
async def test_a_board_that_cannot_be_reached_may_have_written_all_the_same(written: bool) -> None:
    """Where only the answer was lost."""
    async with heard() as here:
        _, board = here.net.join("a")
        _, other = here.net.join("b")
        ends = (HUB, "a") if written else ("a", HUB)
        here.net.cut(*ends)
        with pytest.raises(BusDown):
            await board.swap("desired", "k", b"1")
        assert (await other.read("desired", "k") is not None) is written


async def test_a_deleted_store_holds_nothing_and_counts_anew() -> None:
    """For all buckets."""
    async with heard() as here:
        _, board = here.net.join("a")
        await board.swap("desired", "k", b"1")
        await board.swap("lease", "k", b"1")
        here.net.store.wipe()
        assert await board.read("desired", "k") is None and (await board.swap("lease", "k", b"2")).revision == 1
