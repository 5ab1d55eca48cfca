"""The events of all nodes of a deployment, as one of them asks for them.

A node asks all others in one letter, and each tells its newest lines. Who follows asks again every few seconds, with how many
letters of each node it has had and the time of the last line in them; a node goes on telling for a while after each question. So
what a node that was restarted has to tell, and what was lost on the way, comes after the next question or the one after it, and
nobody goes on telling somebody who has left.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from orchestrator.core.errors import BusDown
from orchestrator.node.subjects import Subjects
from orchestrator.ports.bus import Bus, Letter

ASK_EVERY: Final = 5.0
"""Seconds between two questions of somebody who follows."""
TELL_FOR: Final = 15.0
"""Seconds for which a node goes on telling after a question."""
FIRST_WORDS: Final = 2.0
"""Seconds in which a node that lives has told its newest lines."""
CAUGHT_UP: Final = 10_000
"""How many of its newest lines a node looks through for those that somebody does not have."""
LARGEST: Final = 256 * 1024
"""Bytes of lines in one letter, unless one line alone is longer."""
_UNREAD: Final = 10_000
_MORE: Final = "More"
_NUMBER: Final = "Number"
_NODE: Final = "Node"
_SILENT: Final = "it did not answer: its events are not among these"

Entry = Mapping[str, Any]
Nodes = Callable[[], Mapping[str, bool]]


class Lines(Protocol):
    """A node's own events, each a line of JSON with the time ``at``."""

    def opened(
        self, deployment: str, count: int
    ) -> AbstractAsyncContextManager[tuple[list[bytes], MemoryObjectReceiveStream[bytes]]]:
        """The newest ``count`` lines, and those that come from then on."""
        ...


@dataclass(frozen=True, slots=True)
class _Question:
    """``since``: by node, the time of the last line that is known of it; ``heard``: how many letters of it. ``begun``: the time for
    nodes that are not in ``since``, where others were heard already; without it they tell the newest ``count``."""

    count: int
    follows: bool
    since: Mapping[str, float] = field(default_factory=dict)
    heard: Mapping[str, int] = field(default_factory=dict)
    begun: float | None = None

    def written(self) -> bytes:
        """As the body of a letter."""
        told = {"count": self.count, "follows": self.follows, "begun": self.begun}
        return json.dumps({**told, "since": dict(self.since), "heard": dict(self.heard)}).encode()

    @classmethod
    def read(cls, body: bytes) -> _Question | None:
        """That of a letter; ``None`` for what is no question."""
        try:
            told = json.loads(body)
            since = {str(node): float(at) for node, at in told["since"].items()}
            begun = None if told["begun"] is None else float(told["begun"])
            heard = {str(node): int(number) for node, number in told["heard"].items()}
            return cls(int(told["count"]), bool(told["follows"]), since, heard, begun)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def wanted(self, node: str) -> tuple[int, float]:
        """How many lines of a node, and after which time."""
        since = self.since.get(node, self.begun)
        return (self.count, -inf) if since is None else (CAUGHT_UP, since)


@dataclass(eq=False, slots=True)
class _Telling:
    """To one who follows: ``sent`` letters in all, ``before`` of them at the last question, which must have arrived by the next."""

    scope: anyio.CancelScope
    sent: int = 0
    before: int = 0


@dataclass(eq=False, slots=True)
class Logbook:
    """One node's side of it. ``serve`` tells others; ``read`` asks them."""

    bus: Bus
    deployment: str
    lines: Lines
    _telling: dict[str, _Telling] = field(default_factory=dict)
    _asked: int = 0

    async def serve(self) -> None:
        """Tell others until cancelled."""
        async with (
            anyio.create_task_group() as group,
            self.bus.listen(Subjects(self.deployment).questions("*")) as letters,
        ):
            async for letter in letters:
                question = _Question.read(letter.body)
                if question is not None and letter.reply and letter.subject != self._own_questions:
                    self._take(question, letter.reply, group)

    @asynccontextmanager
    async def read(
        self, count: int, *, follows: bool, nodes: Nodes, only: str = ""
    ) -> AsyncIterator[AsyncIterator[Entry]]:
        """The newest ``count`` of all nodes (or ``only`` of one) in the order of their times, then where it ``follows`` those that
        come; each with its ``node``. ``nodes`` gives the others, and whether each lives: of one that does not answer an entry
        ``mesh.silent`` says so."""
        self._asked += 1
        inbox = self.bus.inbox(f"events-{self._asked}")
        send, receive = anyio.create_memory_object_stream[_Heard](_UNREAD)
        async with (
            send,
            receive,
            anyio.create_task_group() as tasks,
            self.lines.opened(self.deployment, count) as (own, coming),
            self.bus.listen(inbox) as letters,
        ):
            reading = _Reading(self, inbox, count, follows, only, receive)
            tasks.start_soon(_hear, letters, send)
            if follows:
                tasks.start_soon(_hear_own, self.bus.node, coming, send)
            tasks.start_soon(reading.ask)
            yield reading.all([_entry(each, self.bus.node) for each in own], nodes)
            tasks.cancel_scope.cancel()

    @property
    def _own_questions(self) -> str:
        return Subjects(self.deployment).questions(self.bus.node)

    def _take(self, question: _Question, reply: str, group: TaskGroup) -> None:
        known = self._telling.get(reply)
        if known is not None and question.heard.get(self.bus.node, 0) >= known.before:
            known.scope.deadline, known.before = anyio.current_time() + TELL_FOR, known.sent
            return
        if known is not None:  # what was told has not arrived
            known.scope.cancel()
        telling = self._telling[reply] = _Telling(anyio.CancelScope(deadline=anyio.current_time() + TELL_FOR))
        group.start_soon(self._tell, question, reply, telling)

    async def _tell(self, question: _Question, reply: str, telling: _Telling) -> None:
        try:
            with telling.scope:
                count, since = question.wanted(self.bus.node)
                async with self.lines.opened(self.deployment, count) as (first, coming):
                    await self._send(reply, [each for each in first if _at(each) > since], telling, whole=True)
                    if not question.follows:
                        return
                    async for line in coming:
                        await self._send(reply, [line, *_waiting(coming)], telling, whole=False)
        except BusDown:  # whoever follows asks again
            return
        finally:
            if self._telling.get(reply) is telling:
                del self._telling[reply]

    async def _send(self, reply: str, lines: list[bytes], telling: _Telling, *, whole: bool) -> None:
        parts = _parts(lines) or [b""]
        for at, part in enumerate(parts):
            more = "" if whole and at == len(parts) - 1 else "1"
            await self.bus.send(Letter(reply, part, {_NODE: self.bus.node, _MORE: more, _NUMBER: str(telling.sent)}))
            telling.sent += 1


@dataclass(frozen=True, slots=True)
class _Heard:
    """One letter: ``number`` counts those of one telling, ``whole`` ends what is told at once."""

    node: str
    number: int
    whole: bool
    entries: list[Entry]


@dataclass(eq=False, slots=True)
class _Reading:
    """What one who asks has heard."""

    book: Logbook
    inbox: str
    count: int
    follows: bool
    only: str
    letters: MemoryObjectReceiveStream[_Heard]
    since: dict[str, float] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    begun: float | None = None

    async def ask(self) -> None:
        """Ask all, and again for as long as somebody follows."""
        subject = Subjects(self.book.deployment).questions(self.book.bus.node)
        while True:
            question = _Question(self.count, self.follows, self.since, self.heard, self.begun)
            with suppress(BusDown):  # that nobody answers is told, and it is asked again
                await self.book.bus.send(Letter(subject, question.written(), reply=self.inbox))
            if not self.follows:
                return
            await anyio.sleep(ASK_EVERY)

    async def all(self, own: list[Entry], nodes: Nodes) -> AsyncIterator[Entry]:
        """One by one: those that were, then those that come."""
        first = self._wanted(own)
        with anyio.move_on_after(FIRST_WORDS):
            while not self.whole.issuperset(self._wait_for(nodes())):
                first += await self._next()
        missing = sorted(node for node in nodes() if self.only in ("", node) and node not in self.whole)
        self.begun = max([0.0, *map(_time, first)])
        for entry in sorted(first, key=_time)[-self.count :] if self.count else ():
            yield entry
        for node in missing:
            yield {"at": self.begun, "kind": "mesh.silent", "revision": 0, "run": "", "node": node, "why": _SILENT}
        while self.follows:
            for entry in sorted(await self._next(), key=_time):
                yield entry

    def _wait_for(self, nodes: Mapping[str, bool]) -> Iterator[str]:
        return (node for node, lives in nodes.items() if lives and self.only in ("", node))

    def _wanted(self, entries: list[Entry]) -> list[Entry]:
        return [each for each in entries if self.only in ("", each["node"])]

    async def _next(self) -> list[Entry]:
        return self._wanted(await self._next_of_any())

    async def _next_of_any(self) -> list[Entry]:
        letter = await self.letters.receive()
        node = letter.node
        if node == self.book.bus.node:
            return letter.entries
        if letter.number != self.heard.get(node, 0) and letter.number:
            return []  # one before it was lost: all is told again, once this node asks
        self.heard[node] = letter.number + 1
        if letter.whole:
            self.whole.add(node)
        last = self.since.get(node, -inf)
        fresh = [each for each in letter.entries if _time(each) > last] if letter.number == 0 else letter.entries
        if fresh:
            self.since[node] = max(last, *map(_time, fresh))
        return fresh


async def _hear(letters: AsyncIterator[Letter], send: MemoryObjectSendStream[_Heard]) -> None:
    async for letter in letters:
        node, number = letter.headers.get(_NODE, ""), letter.headers.get(_NUMBER, "")
        if node and number.isdecimal():
            entries = [_entry(each, node) for each in letter.body.splitlines()]
            whole = not letter.headers.get(_MORE)
            await send.send(_Heard(node, int(number), whole, [each for each in entries if each]))


async def _hear_own(node: str, coming: AsyncIterator[bytes], send: MemoryObjectSendStream[_Heard]) -> None:
    async for line in coming:
        await send.send(_Heard(node, 0, whole=False, entries=[_entry(line, node)]))


def _waiting(coming: MemoryObjectReceiveStream[bytes]) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < _UNREAD:
        try:
            found.append(coming.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return found


def _parts(lines: list[bytes]) -> list[bytes]:
    parts: list[bytes] = []
    for line in lines:
        if parts and len(parts[-1]) + len(line) <= LARGEST:
            parts[-1] += line
        else:
            parts.append(line)
    return parts


def _entry(line: bytes, node: str) -> Entry:
    """That of a line, with its node; empty for what is none."""
    try:
        return {**json.loads(line), "node": node}
    except (ValueError, TypeError):
        return {}


def _time(entry: Entry) -> float:
    at = entry.get("at")
    return float(at) if isinstance(at, int | float) else -inf


def _at(line: bytes) -> float:
    return _time(_entry(line, ""))
