"""What every bus must do, as a suite that any test runner can collect.

Derive from :class:`BusConformance` and give a ``subject`` (with pytest: a fixture of that name)::

    class TestMine(BusConformance):
        @pytest.fixture
        async def subject(self): ...

The checks of a bus that goes away run where the subject can take it away (``cut`` and ``heal``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import anyio

from orchestrator.ports.bus import Board, Bus, BusDown, Conflict, Entry, Letter, LetterTooLarge
from orchestrator.testing.conformance import require

_DEADLINE: Final = 15.0  # seconds until what must come counts as missing
_POLL: Final = 0.01
T = TypeVar("T")


class Both(Bus, Board, Protocol):
    """A bus that is a board too."""


@dataclass(frozen=True)
class BusSubject:
    """Two nodes on one bus, which may say and hear everything. ``cut()`` takes the bus away from both, ``heal()`` gives it back
    with all that it held."""

    a: Both
    b: Both
    cut: Callable[[], Awaitable[None]] | None = None
    heal: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def heard(self, pattern: str) -> AsyncIterator[AsyncIterator[Letter]]:
        """What ``b`` hears; entered when what ``a`` sends arrives."""
        async with self.b.listen(pattern) as letters:
            await self.settled()
            yield letters

    async def settled(self) -> None:
        """Wait until what ``b`` listens to is known to whoever carries it from ``a``: a later listening of its own is then too."""
        async with self.b.listen("settled.>") as probes:
            with anyio.fail_after(_DEADLINE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._knock)
                    await anext(probes)
                    tasks.cancel_scope.cancel()

    async def _knock(self) -> None:
        while True:
            if self.a.connected:
                await self.a.send(Letter("settled.now"))
            await anyio.sleep(_POLL)


class BusConformance:
    """The suite. Every method is one promise of the port."""

    async def test_a_letter_arrives_whole(self, subject: BusSubject) -> None:
        """Subject, body, headers and reply are what was sent."""
        sent = Letter("orc.v1.d.call.b.x", b"\x00\r\nbytes", {"Req-Id": "1", "K": "tok"}, subject.a.inbox("r1"))
        async with subject.heard("orc.v1.d.call.b.>") as letters:
            await subject.a.send(sent)
            require(await _next(letters) == sent, "the letter is not what was sent")

    async def test_a_letter_that_is_too_large_is_refused_and_nothing_else_is(self, subject: BusSubject) -> None:
        """Its sender is told, with its headers too, and what was sent before and is sent after arrives."""
        async with subject.heard("large.>") as letters:
            await subject.a.send(Letter("large.before", b"1"))
            for letter in (
                Letter("large.body", b"x" * (4 * 1024 * 1024)),
                Letter("large.headers", b"x" * (1024 * 1024 - 100), {"Handed": "y" * 4096}),
            ):
                try:
                    await subject.a.send(letter)
                except LetterTooLarge:
                    continue
                require(False, f"{letter.subject} was taken")
            await subject.a.send(Letter("large.after", b"2"))
            got = [(await _next(letters)).subject for _ in range(2)]
            require(got == ["large.before", "large.after"], f"what came is {got}")

    async def test_an_answer_comes_back(self, subject: BusSubject) -> None:
        """An inbox is a subject like others, and another one for each node."""
        require(subject.a.inbox("x") != subject.b.inbox("x"), "two nodes have one inbox")
        async with subject.a.listen(subject.a.inbox("x")) as answers, subject.heard("ask") as asked:
            await subject.a.send(Letter("ask", reply=subject.a.inbox("x")))
            await subject.b.send(Letter((await _next(asked)).reply, b"here"))
            require((await _next(answers)).body == b"here", "no answer came")

    async def test_letters_keep_their_order(self, subject: BusSubject) -> None:
        """Between one sender and one listener."""
        async with subject.heard("many.*") as letters:
            for number in range(500):
                await subject.a.send(Letter(f"many.{number % 7}", str(number).encode()))
            got = [(await _next(letters)).body for _ in range(500)]
            require(got == [str(number).encode() for number in range(500)], "letters came out of order")

    async def test_a_star_is_one_word_and_an_end_is_more(self, subject: BusSubject) -> None:
        """As the port says of patterns."""
        async with subject.heard("p.*.z") as one, subject.heard("p.>") as more:
            for name in ("p", "p.a", "p.a.z", "p.a.b.z", "q.a.z"):
                await subject.a.send(Letter(name))
            await subject.a.send(Letter("p.end.z"))
            require([(await _next(one)).subject for _ in range(2)] == ["p.a.z", "p.end.z"], "* is one word")
            names = [(await _next(more)).subject for _ in range(4)]
            require(names == ["p.a", "p.a.z", "p.a.b.z", "p.end.z"], "> is one word or more")

    async def test_every_listener_gets_each_letter(self, subject: BusSubject) -> None:
        """Also two of one node, and the sender's own."""
        async with (
            subject.a.listen("all") as own,
            subject.heard("all") as first,
            subject.heard("all") as second,
        ):
            await subject.a.send(Letter("all", b"1"))
            bodies = [(await _next(letters)).body for letters in (own, first, second)]
            require(bodies == [b"1"] * 3, "a listener was left out")

    async def test_who_does_not_listen_misses_it(self, subject: BusSubject) -> None:
        """Nothing is kept, and a letter to nobody is no fault."""
        await subject.a.send(Letter("late", b"before"))
        await subject.settled()
        async with subject.heard("late") as letters:
            await subject.a.send(Letter("late", b"after"))
            require((await _next(letters)).body == b"after", "what was sent before came too")

    async def test_a_swap_needs_the_newest_revision(self, subject: BusSubject) -> None:
        """A stale one conflicts, and so does making what is there."""
        require(await subject.a.read("desired", "d.k") is None, "there was something")
        first = await subject.a.swap("desired", "d.k", b"1")
        require(
            await subject.b.read("desired", "d.k") == first == Entry("d.k", b"1", first.revision),
            "not what was written",
        )
        await _conflicts(subject.b, "d.k", 0)
        second = await subject.b.swap("desired", "d.k", b"2", first.revision)
        require(second.revision > first.revision, "revisions must grow")
        await _conflicts(subject.a, "d.k", first.revision)
        require(await subject.a.read("desired", "d.k") == second, "a refused write changed something")

    async def test_of_many_who_write_at_once_one_wins(self, subject: BusSubject) -> None:
        """The others conflict."""
        won: list[int] = []

        async def write(board: Board, number: int) -> None:
            try:
                await board.swap("lease", "d.leader", str(number).encode())
            except Conflict:
                return
            won.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(write, (subject.a, subject.b)[number % 2], number)
        require(len(won) == 1, f"{len(won)} won")
        found = await subject.b.read("lease", "d.leader")
        require(found is not None and found.value == str(won[0]).encode(), "another one stands there")

    async def test_an_empty_value_deletes(self, subject: BusSubject) -> None:
        """Its revision stays: who writes the key anew compares with that."""
        first = await subject.a.swap("observed", "d.gone", b"1")
        gone = await subject.a.swap("observed", "d.gone", b"", first.revision)
        require(await subject.b.read("observed", "d.gone") == Entry("d.gone", b"", gone.revision), "it is not marked")
        require(await subject.b.entries("observed", "d.gone") == (), "what was deleted is listed")
        again = await subject.b.swap("observed", "d.gone", b"2", gone.revision)
        require(again.revision > gone.revision, "revisions must grow")

    async def test_entries_are_those_that_begin_so(self, subject: BusSubject) -> None:
        """Letter by letter, not word by word; of one bucket."""
        names = ["d.edge-1", "d.edge-10", "d.edge-2", "dd.edge-1", "d.x.y"]
        for name in names:
            await subject.a.swap("observed", name, name.encode())
        await subject.a.swap("desired", "d.edge-3", b"x")
        for prefix, count in {"": 5, "d": 5, "d.": 4, "d.edge-1": 2, "d.x.": 1, "z": 0}.items():
            found = [each.key for each in await subject.b.entries("observed", prefix)]
            require(found == sorted(each for each in names if each.startswith(prefix)), f"{prefix!r}: {found}")
            require(len(found) == count, f"{prefix!r}: {found}")

    async def test_a_watch_gives_what_changes(self, subject: BusSubject) -> None:
        """From now on, also deletions; only of the prefix."""
        old = await subject.a.swap("desired", "w.old", b"0")
        async with subject.b.watch("desired", "w.") as changes:
            await subject.settled()
            await subject.a.swap("desired", "other", b"1")
            made = await subject.a.swap("desired", "w.new", b"2")
            require(await _next(changes) == made, "the first change did not come first")
            gone = await subject.a.swap("desired", "w.old", b"", old.revision)
            require(await _next(changes) == Entry("w.old", b"", gone.revision), "the deletion did not come")

    async def test_a_slow_watcher_gets_the_newest(self, subject: BusSubject) -> None:
        """What was overwritten before it looked may be left out; the last value may not."""
        async with subject.b.watch("observed", "s.") as changes:
            await subject.settled()
            revision = 0
            for number in range(200):
                revision = (await subject.a.swap("observed", "s.k", str(number).encode(), revision)).revision
            seen = await _next(changes)
            while seen.revision < revision:
                newer = await _next(changes)
                require(newer.revision > seen.revision, "an older value came after a newer one")
                seen = newer
            require(seen.value == b"199", "the last value is not the newest")

    async def test_a_key_that_cannot_be_is_refused(self, subject: BusSubject) -> None:
        """Not written somewhere else."""
        for key in ("", ".", "a..b", "a b", "a.*", "a.>"):
            await _down(subject.a.swap("desired", key, b"1"), f"the key {key!r}")

    async def test_a_bus_that_is_away_says_so(self, subject: BusSubject) -> None:
        """At once, and for everything; nothing is kept to be sent later."""
        if subject.cut is None or subject.heal is None:
            return
        async with subject.heard("after.>") as letters:
            await subject.cut()
            await _until(lambda: not subject.a.connected and not subject.b.connected)
            await _down(subject.a.send(Letter("after.lost", b"lost")), "sending")
            await _down(subject.a.read("desired", "d.k"), "reading")
            await _down(subject.a.swap("desired", "d.k", b"1"), "writing")
            await _down(subject.a.entries("desired"), "listing")
            await subject.heal()
            await _until(lambda: subject.a.connected and subject.b.connected)
            await subject.settled()
            await subject.a.send(Letter("after.back", b"back"))
            require((await _next(letters)).body == b"back", "a letter of the time without a bus came late")

    async def test_a_watch_goes_on_when_the_bus_is_back(self, subject: BusSubject) -> None:
        """And gives what changes then."""
        if subject.cut is None or subject.heal is None:
            return
        kept = await subject.a.swap("desired", "back.k", b"1")
        async with subject.b.watch("desired", "back.") as changes:
            await subject.cut()
            await _until(lambda: not subject.a.connected and not subject.b.connected)
            await subject.heal()
            await _until(lambda: subject.a.connected and subject.b.connected)
            await subject.settled()
            changed = await _written(subject.a, "back.k", kept.revision)
            require(await _next(changes) == changed, "the change did not come")


async def _next(items: AsyncIterator[T]) -> T:
    with anyio.fail_after(_DEADLINE):
        return await anext(items)


async def _until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(_DEADLINE):
        while not true():  # noqa: ASYNC110 - the port has no event for it
            await anyio.sleep(_POLL)


async def _written(board: Board, key: str, expected: int) -> Entry:
    """A store may take a while to be there after its server is."""
    with anyio.fail_after(_DEADLINE):
        while True:
            try:
                return await board.swap("desired", key, b"2", expected)
            except BusDown:
                await anyio.sleep(_POLL)


async def _conflicts(board: Board, key: str, expected: int) -> None:
    try:
        await board.swap("desired", key, b"x", expected)
    except Conflict:
        return
    require(False, f"the revision {expected} did not conflict")


async def _down(act: Awaitable[object], what: str) -> None:
    try:
        await act
    except Conflict:
        require(False, f"{what} conflicts")
    except BusDown:
        return
    require(False, f"{what} went well")
