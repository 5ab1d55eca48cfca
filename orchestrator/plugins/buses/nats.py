"""The bus of a fleet over NATS: letters are plain messages, the board is in the buckets of the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio
import nats.errors
from nats.aio.msg import Msg

from orchestrator.plugins.buses.nats_board import NatsBoard
from orchestrator.plugins.buses.nats_connection import Connection, NatsOptions
from orchestrator.plugins.buses.nats_faults import CURE, translated
from orchestrator.ports.bus import Bucket, BusDown, Entry, Letter

UNREAD: Final = 10_000
"""Letters that may wait for one listener; what comes on top is lost, as letters may be, and is counted."""
STORED: Final = "Nats-Stream"
"""The header that the hub gives to all that it answers from its store; nobody can take it off."""
UNSENT: Final = 1024 * 1024
"""Bytes that may wait to go out before a sender waits for the server to take them."""


class NatsBus:
    """A ``Bus`` and a ``Board``. It is :func:`opened` with its connection."""

    def __init__(self, line: Connection) -> None:
        self.node = line.options.node
        self.lost = 0
        """Letters that came faster than they were read."""
        self._line = line
        self._board = NatsBoard(line)

    @property
    def connected(self) -> bool:
        """Whether letters can go out now, as far as is known."""
        return self._line.connected

    @property
    def why(self) -> str:
        """Why there is no connection; what it was before there was one, where there is."""
        return self._line.why

    async def ready(self, patience: float) -> None:
        """Wait for the connection. Raises ``BusDown`` after ``patience`` seconds."""
        with anyio.move_on_after(patience):
            await self._line.alive()
            return
        self._line.client  # noqa: B018 - raises, and says why
        raise BusDown(f"there was no connection to the bus within {patience:g} s", cure=CURE)

    async def send(self, letter: Letter) -> None:
        """Hand it over. Raises ``BusDown`` where there is no connection: nothing is kept to be sent later."""
        client, headers = self._line.client, dict(letter.headers) or None
        with translated(f"send to {letter.subject}"):
            if client.pending_data_size > UNSENT:
                await client.flush(timeout=max(1, round(self._line.options.patience)))
            if (
                _size(letter) > client.max_payload
            ):  # nats-py looks at the body alone; the server then ends the connection
                raise nats.errors.MaxPayloadError
            await client.publish(letter.subject, letter.body, reply=letter.reply, headers=headers)

    @asynccontextmanager
    async def listen(self, pattern: str) -> AsyncIterator[AsyncIterator[Letter]]:
        """What comes to a subject from the time that the context is entered, also over later connections."""
        send, receive = anyio.create_memory_object_stream[Letter](max_buffer_size=UNREAD)

        def heard(message: Msg) -> None:
            if message.headers and STORED in message.headers:
                return  # no letter: a node has the hub answer with something stored where it may say nothing itself
            try:
                send.send_nowait(Letter(message.subject, message.data, dict(message.headers or {}), message.reply))
            except anyio.WouldBlock:
                self.lost += 1

        with send, receive:
            async with self._line.ear(pattern, heard):
                yield receive

    def inbox(self, name: str) -> str:
        """A subject that only this node may listen to."""
        return f"_INBOX.{self.node}.{name}"

    # -- the board --------------------------------------------------------------------------------------------------

    async def prepare(self) -> tuple[str, ...]:
        """Make the buckets that are missing and read all back, for a node that may; gives those that were made."""
        return await self._board.prepare()

    async def linked(self) -> bool:
        """Whether the hub answers, over all links between."""
        return await self._board.linked()

    async def probe(self) -> None:
        """Write something to the hub and read it back, for a node that may. Raises ``BusDown``."""
        await self._board.probe()

    async def read(self, bucket: Bucket, key: str) -> Entry | None:
        """What is there; ``None`` where nothing ever was."""
        return await self._board.read(bucket, key)

    async def swap(self, bucket: Bucket, key: str, value: bytes, expected: int = 0) -> Entry:
        """Write, if the newest revision of the key is ``expected``; an empty value deletes."""
        return await self._board.swap(bucket, key, value, expected)

    async def entries(self, bucket: Bucket, prefix: str = "") -> tuple[Entry, ...]:
        """All whose keys begin so, deleted ones left out."""
        return await self._board.entries(bucket, prefix)

    def watch(self, bucket: Bucket, prefix: str = "") -> AbstractAsyncContextManager[AsyncIterator[Entry]]:
        """Those that change from now on, the newest value of each."""
        return self._board.watch(bucket, prefix)


@asynccontextmanager
async def opened(options: NatsOptions) -> AsyncIterator[NatsBus]:
    """A bus that connects by itself, for ever; it need not be connected yet (``ready`` waits)."""
    try:
        async with anyio.create_task_group() as tasks:
            line = Connection(options, tasks)
            tasks.start_soon(line.run)
            yield NatsBus(line)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # whoever opened it raised one fault, and looks for that
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _size(letter: Letter) -> int:
    """Bytes of a letter as the server counts them (NATS client protocol, HPUB: the block of headers and the payload)."""
    headers = sum(len(f"{name}: {value}\r\n".encode()) for name, value in letter.headers.items())
    return len(letter.body) + (headers + len(b"NATS/1.0\r\n\r\n") if headers else 0)
