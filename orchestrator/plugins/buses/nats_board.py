"""Shared state in the buckets of the hub: read, compare and swap, list, watch.

Reads use the direct interface: one question, no consumer. What is written goes to the bucket's own subject with the revision that
it must find there. A deleted or expired entry is one without a value, with a revision of its own.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio
import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from orchestrator.plugins.buses.nats_buckets import CANARY, news_of, prepare, stream_of
from orchestrator.plugins.buses.nats_connection import Connection
from orchestrator.plugins.buses.nats_faults import HUB_AWAY, refused, translated
from orchestrator.ports.bus import Bucket, BusDown, Entry

MOST_AT_ONCE: Final = 1000
"""Keys of which the newest values are asked for in one question; the server refuses above 1024."""
_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_STATUS: Final = "Status"
_NOT_FOUND, _TOO_MANY, _END = "404", "413", "204"


@dataclass(eq=False)
class NatsBoard:
    """A ``Board`` over a connection."""

    line: Connection
    _numbers: int = 0

    async def prepare(self) -> tuple[str, ...]:
        """Make the buckets that are missing, for a node that may; gives those that were made."""
        return await prepare(self._jetstream(), self.line.options.replicas)

    async def linked(self) -> bool:
        """Whether the hub answers, whatever it says."""
        try:
            await self._jetstream().stream_info(stream_of(CANARY))
        except NotFoundError:
            return True
        except (BusDown, nats.errors.Error, OSError):
            return False
        return True

    async def probe(self) -> None:
        """Write something to the hub and read it back. Raises ``BusDown`` where that does not go."""
        key, value = self.line.options.node, secrets.token_hex(8).encode()
        written = await self._write(CANARY, key, value, {})  # whoever tries at the same time: no reason to call it sick
        after = await self._read(CANARY, key)
        if after is None or (after.revision <= written.revision and after != written):
            raise BusDown("the hub gave back something else than was written", cure="see the log of the hub's server")

    async def read(self, bucket: Bucket, key: str) -> Entry | None:
        """What is there; ``None`` where nothing ever was."""
        return await self._read(bucket, key)

    async def _read(self, bucket: str, key: str) -> Entry | None:
        doing = f"read {key} of {bucket}"
        subject = f"{self._api}.DIRECT.GET.{stream_of(bucket)}.{self._subject(bucket, _checked(key))}"
        found = await self._request(doing, subject)
        if _status(found) == _NOT_FOUND:
            return None
        _check(doing, found)
        return _entry(found, key)

    async def swap(self, bucket: Bucket, key: str, value: bytes, expected: int = 0) -> Entry:
        """Write, if the newest revision of the key is ``expected``; an empty value deletes."""
        headers = {_EXPECTED: str(expected)} | ({} if value else {"KV-Operation": "DEL"})
        return await self._write(bucket, key, value, headers)

    async def _write(self, bucket: str, key: str, value: bytes, headers: dict[str, str]) -> Entry:
        doing = f"write {key} of {bucket}"
        subject = self._written_to(bucket, _checked(key))
        try:
            answer: dict[str, Any] = json.loads((await self._request(doing, subject, value, headers)).data)
        except BusDown as error:
            raise await self._why_refused(bucket, key, error) from error
        if "error" in answer:
            raise refused(doing, answer["error"])
        return Entry(key, value, int(answer["seq"]))

    async def entries(self, bucket: Bucket, prefix: str = "") -> tuple[Entry, ...]:
        """All whose keys begin so, deleted ones left out, in the order of their keys."""
        whole = prefix.rpartition(".")[0]
        pattern = self._subject(bucket, f"{_checked(whole)}.>" if whole else ">")
        found = await self._last(bucket, [pattern])
        if found is None:
            names = await self._names(bucket, pattern)
            found = [
                message
                for begin in range(0, len(names), MOST_AT_ONCE)
                for message in await self._last(bucket, names[begin : begin + MOST_AT_ONCE]) or ()
            ]
        cut = len(self._subject(bucket, ""))
        entries = [_entry(message, (message.headers or {})["Nats-Subject"][cut:]) for message in found]
        return tuple(
            sorted((each for each in entries if each.value and each.key.startswith(prefix)), key=lambda each: each.key)
        )

    @asynccontextmanager
    async def watch(self, bucket: Bucket, prefix: str = "") -> AsyncIterator[AsyncIterator[Entry]]:
        """Those that change from now on, the newest value of each. After a connection that was lost all are read again, and those
        that changed meanwhile are given."""
        begins, newest = news_of(bucket), _Newest()

        def heard(message: Msg) -> None:
            key, headers = message.subject[len(begins) :], message.headers or {}
            genuine = headers.get("Nats-Subject") == self._subject(
                bucket, key
            )  # the hub writes it, whoever asked it to answer here
            if key.startswith(prefix) and genuine:
                newest.put(_entry(message, key))

        async with self.line.ear(f"{begins}>", heard):
            if self.line.connected:
                await self._fill(bucket, prefix, newest, quietly=True)
            with self.line.beside(partial(self._again, bucket, prefix, newest)):
                yield newest

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _again(self, bucket: Bucket, prefix: str, newest: _Newest) -> None:
        life = self.line.life
        while True:
            life = await self.line.alive(after=life)
            while self.line.life == life:  # the link to the hub comes back after the one to the own server
                if await self._fill(bucket, prefix, newest, quietly=not newest.filled):
                    break
                await anyio.sleep(1.0)

    async def _fill(self, bucket: Bucket, prefix: str, newest: _Newest, *, quietly: bool) -> bool:
        before = newest.seen
        try:
            found = await self.entries(bucket, prefix)
        except BusDown:
            return False  # it is tried again
        newest.fill(found, before, quietly=quietly)
        return True

    async def _last(self, bucket: str, subjects: list[str]) -> list[Msg] | None:
        """The newest message of each subject; ``None`` where they are too many for one question."""
        doing, subject = f"list {bucket}", f"{self._api}.DIRECT.GET.{stream_of(bucket)}"
        question: dict[str, Any] = {"multi_last": subjects}
        found: list[Msg] = []
        while True:
            part = await self._many(doing, subject, question)
            end = part.pop()
            found += part
            status = _status(end)
            if status in (_TOO_MANY, _NOT_FOUND):
                return None if status == _TOO_MANY else found
            if status != _END:
                _check(doing, end)
            headers = end.headers or {}
            if int(headers.get("Nats-Num-Pending", 0)) <= 0 or not part:
                return found
            last, up_to = (int(headers[f"Nats-{name}"]) for name in ("Last-Sequence", "UpTo-Sequence"))
            question = {"multi_last": subjects, "seq": last + 1, "up_to_seq": up_to}

    async def _many(self, doing: str, subject: str, question: dict[str, Any]) -> list[Msg]:
        """All answers to a question that has several; the last one says how it ended."""
        send, receive = anyio.create_memory_object_stream[Msg](max_buffer_size=MOST_AT_ONCE * 2)
        self._numbers += 1
        inbox = f"_INBOX.{self.line.options.node}.many{self.line.life}-{self._numbers}"
        found: list[Msg] = []
        with receive, send, translated(doing):
            async with self.line.ear(inbox, send.send_nowait):
                await self.line.client.publish(subject, json.dumps(question).encode(), reply=inbox)
                with anyio.fail_after(self.line.options.patience):
                    while not found or not _status(found[-1]):
                        found.append(await receive.receive())
        if _status(found[-1]) == "503":
            raise BusDown(f"{doing}: {HUB_AWAY}")
        return found

    async def _names(self, bucket: str, pattern: str) -> list[str]:
        with translated(f"list {bucket}"):
            info = await self._jetstream().stream_info(stream_of(bucket), subjects_filter=pattern)
        return sorted(info.state.subjects or {})

    async def _why_refused(self, bucket: str, key: str, error: BusDown) -> BusDown:
        """A write that a permission forbids looks to the client as if nobody was there; so it is asked who is."""
        nobody = isinstance(error.__cause__, nats.errors.NoRespondersError)
        if self.line.refusal(self._subject(bucket, key).lower()) or (nobody and await self._answers(bucket)):
            node = self.line.options.node
            return BusDown(
                f"the hub does not let node {node} write {key} of {bucket}",
                cure=f"only the node that it belongs to may write it; is this node really {node}?",
            )
        return error

    async def _answers(self, bucket: str) -> bool:
        try:
            with translated(f"look at {bucket}"):
                await self._jetstream().stream_info(stream_of(bucket))
        except BusDown:
            return False
        return True

    async def _request(self, doing: str, subject: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Msg:
        with translated(doing):
            return await self.line.client.request(subject, body, timeout=self.line.options.patience, headers=headers)

    def _jetstream(self) -> JetStreamContext:
        options = self.line.options
        return self.line.client.jetstream(timeout=options.patience, domain=options.domain or None)

    @property
    def _api(self) -> str:
        domain = self.line.options.domain
        return f"$JS.{domain}.API" if domain else "$JS.API"

    def _written_to(self, bucket: str, key: str) -> str:
        """Where a write is sent: a server of another domain does not take it on the bucket's own subject."""
        prefix = f"{self._api}." if self.line.options.domain else ""
        return prefix + self._subject(bucket, key)

    @staticmethod
    def _subject(bucket: str, key: str) -> str:
        return f"$KV.{bucket.upper()}.{key}"


@dataclass(eq=False)
class _Newest:
    """The newest value of each key that changed, until it is taken. ``seen``: the newest revision of each."""

    filled: bool = False
    _seen: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, Entry] = field(default_factory=dict)
    _there: anyio.Event = field(default_factory=anyio.Event)

    def put(self, entry: Entry) -> None:
        """It changed."""
        self._seen[entry.key] = entry.revision
        self._waiting[entry.key] = entry
        self._there.set()

    @property
    def seen(self) -> dict[str, int]:
        """The newest revision of each key until now."""
        return dict(self._seen)

    def fill(self, found: tuple[Entry, ...], before: Mapping[str, int], *, quietly: bool) -> None:
        """What was found when all were read; ``before``: what was seen before. ``quietly``: that is where it begins, no change.
        A revision may be lower than one that was seen, where the store was made anew; but news that came meanwhile is newer."""
        self.filled = True
        for entry in found:
            seen = self._seen.get(entry.key)
            if quietly:
                self._seen.setdefault(entry.key, entry.revision)
            elif seen == before.get(entry.key) and seen != entry.revision:
                self.put(entry)

    def __aiter__(self) -> AsyncIterator[Entry]:
        return self

    async def __anext__(self) -> Entry:
        while not self._waiting:
            self._there = anyio.Event()
            await self._there.wait()
        return self._waiting.pop(next(iter(self._waiting)))


def _status(message: Msg) -> str:
    return (message.headers or {}).get(_STATUS, "")


def _check(doing: str, message: Msg) -> None:
    if status := _status(message):
        raise BusDown(f"{doing}: {(message.headers or {}).get('Description') or f'the hub answered {status}'}")


def _entry(message: Msg, key: str) -> Entry:
    return Entry(key, message.data or b"", int((message.headers or {})["Nats-Sequence"]))


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise BusDown(f"no entry can be called {key!r}", cure="write words of letters, digits, - and _, joined by dots")
    return key
