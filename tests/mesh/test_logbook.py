"""The events of a whole fleet, asked for at one node, over a net that loses and cuts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from orchestrator.node.logbook import ASK_EVERY, LARGEST, TELL_FOR, Logbook
from orchestrator.ports.bus import Letter
from tests.mesh.sim import DEPLOYMENT, Fleet, fleet

pytestmark = pytest.mark.anyio


@dataclass
class MemoryLines:
    """The event log of a node, in memory."""

    written: list[bytes] = field(default_factory=list)
    readers: list[MemoryObjectSendStream[bytes]] = field(default_factory=list)

    @asynccontextmanager
    async def opened(
        self, deployment: str, count: int
    ) -> AsyncIterator[tuple[list[bytes], MemoryObjectReceiveStream[bytes]]]:
        send, receive = anyio.create_memory_object_stream[bytes](1000)
        self.readers.append(send)
        try:
            yield self.written[-count:] if count else [], receive
        finally:
            self.readers.remove(send)
            send.close()
            receive.close()

    def write(self, at: float, text: str) -> None:
        line = json.dumps({"at": at, "kind": "said", "text": text}).encode() + b"\n"
        self.written.append(line)
        for each in self.readers:
            each.send_nowait(line)


@dataclass
class Writers:
    """Nodes that only tell of their events."""

    net: Fleet
    lines: dict[str, MemoryLines] = field(default_factory=dict)
    books: dict[str, Logbook] = field(default_factory=dict)
    scopes: dict[str, anyio.CancelScope] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names:
            bus, _ = self.net.net.join(name)
            lines = self.lines.setdefault(name, MemoryLines())
            self.books[name] = Logbook(bus, DEPLOYMENT, lines)
            self.scopes[name] = anyio.CancelScope()
            self.net.group.start_soon(self._serve, name)

    async def _serve(self, name: str) -> None:
        with self.scopes[name]:
            await self.books[name].serve()

    def crash(self, name: str) -> None:
        self.net.net.crash(name)
        self.scopes[name].cancel()


def others(*names: str, dead: str = "") -> Callable[[], Mapping[str, bool]]:
    return lambda: {name: name != dead for name in names}


def short(entry: Any) -> str:
    return f"{entry['node']}:{entry.get('text', entry['kind'])}"


async def test_the_newest_lines_of_all_nodes_come_in_the_order_of_their_times() -> None:
    async with fleet() as net:
        them = Writers(net)
        them.start("a", "b", "c")
        for number in range(9):
            them.lines["abc"[number % 3]].write(float(number), str(number))
        await anyio.sleep(1)
        async with them.books["b"].read(5, follows=False, nodes=others("a", "c")) as entries:
            assert [short(each) async for each in entries] == ["b:4", "c:5", "a:6", "b:7", "c:8"]
        await anyio.sleep(1)
        assert all(lines.readers == [] for lines in them.lines.values())


async def test_a_node_that_does_not_answer_is_named() -> None:
    """And nobody waits for it longer than a moment."""
    async with fleet() as net:
        them = Writers(net)
        them.start("a", "b", "c")
        them.lines["a"].write(1.0, "here")
        await anyio.sleep(1)
        net.net.freeze("c")
        began = anyio.current_time()
        async with them.books["a"].read(5, follows=False, nodes=others("b", "c")) as entries:
            found = [each async for each in entries]
        assert [short(each) for each in found] == ["a:here", "c:mesh.silent"]
        assert anyio.current_time() - began <= 2.1


async def test_nobody_waits_for_a_node_that_is_known_to_be_dead() -> None:
    """It is named all the same; and where one node is asked for, the others are left out."""
    async with fleet() as net:
        them = Writers(net)
        them.start("a", "b")
        them.lines["a"].write(1.0, "own")
        them.lines["b"].write(2.0, "other")
        await anyio.sleep(1)
        began = anyio.current_time()
        async with them.books["a"].read(5, follows=False, nodes=others("b", "c", dead="c")) as entries:
            assert [short(each) async for each in entries] == ["a:own", "b:other", "c:mesh.silent"]
        assert anyio.current_time() - began < 0.1
        for node, found in (("a", ["a:own"]), ("b", ["b:other"]), ("c", ["c:mesh.silent"])):
            async with them.books["a"].read(5, follows=False, nodes=others("b", "c", dead="c"), only=node) as entries:
                assert [short(each) async for each in entries] == found


async def test_who_follows_hears_all_and_nothing_twice() -> None:
    """Over a node that is killed, one that comes, and a link that is cut."""
    async with fleet() as net:
        them = Writers(net)
        them.start("a", "b")
        them.lines["b"].write(0.5, "before")
        await anyio.sleep(1)
        heard: list[str] = []

        async def follow() -> None:
            async with them.books["a"].read(10, follows=True, nodes=others("b")) as entries:
                async for each in entries:
                    heard.append(short(each))  # noqa: PERF401 - the list is read while this goes on

        reading = anyio.CancelScope()
        net.group.start_soon(_within, reading, follow)
        await anyio.sleep(3)
        them.lines["b"].write(10, "live")
        them.lines["a"].write(11, "own")
        await anyio.sleep(1)
        them.crash("b")
        them.lines["b"].write(12, "while nobody heard")
        them.start("b", "c")
        them.lines["c"].write(13, "new node")
        await anyio.sleep(2 * ASK_EVERY)
        net.net.cut("b", "hub")
        them.lines["b"].write(14, "lost on the way")
        await anyio.sleep(4)
        net.net.heal()
        them.lines["b"].write(20, "after")
        await anyio.sleep(2 * TELL_FOR)
        reading.cancel()
        assert sorted(heard) == sorted(set(heard))
        assert set(heard) == {
            "b:before", "b:live", "a:own", "b:while nobody heard", "c:new node", "b:lost on the way", "b:after",
        }  # fmt: skip
        await anyio.sleep(TELL_FOR + 1)
        assert all(lines.readers == [] for lines in them.lines.values())


async def _within(scope: anyio.CancelScope, work: Callable[[], Any]) -> None:
    with scope:
        await work()


async def test_more_lines_than_one_letter_holds_come_whole() -> None:
    async with fleet() as net:
        them = Writers(net)
        them.start("a", "b")
        for number in range(40):
            them.lines["b"].write(float(number), f"{number}:" + "x" * (LARGEST // 10))
        await anyio.sleep(1)
        async with them.books["a"].read(100, follows=False, nodes=others("b")) as entries:
            assert [each["text"].partition(":")[0] async for each in entries] == [str(number) for number in range(40)]


async def test_letters_that_are_no_questions_are_left_alone() -> None:
    """Whoever may send letters cannot end the task that hears them."""
    async with fleet() as net:
        them = Writers(net)
        them.start("a", "b")
        await anyio.sleep(1)
        for body in (b"", b"[]", b'{"since": 3}', b'{"since": {}, "count": "x", "follows": 1, "begun": null}', b"\xff"):
            await them.books["b"].bus.send(Letter(f"orc.v1.{DEPLOYMENT}.evt.b.ask", body, reply="nowhere"))
        await anyio.sleep(1)
        them.lines["a"].write(1.0, "still here")
        async with them.books["b"].read(5, follows=False, nodes=others("a")) as entries:
            assert [short(each) async for each in entries] == ["a:still here"]
