"""The connection to a NATS server: one client of ``nats-py`` at a time, and a new one for as long as it takes when it is lost.

The library's own way of coming back is not used. It ends for good on most errors that a server may tell (a revoked key, too many
connections), and it keeps what is sent meanwhile to send it later: a call or a heartbeat that comes late is worse than none. So a
client is left as soon as it is lost, and whoever listens is subscribed again by the next.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import nats.errors
from anyio.abc import TaskGroup
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from orchestrator.plugins.buses.nats_faults import CURE, translated
from orchestrator.plugins.buses.nkey import NKey
from orchestrator.ports.bus import BusDown

PING_SECONDS: Final = 1
PINGS: Final = 2
"""Unanswered ones after which the connection counts as lost: a server that hangs is noticed within three seconds."""
AGAIN: Final = (0.1, 0.2, 0.5)
"""Seconds between two tries to connect; the last goes on for ever."""
CLOSE_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 0.2
"""How often it is looked whether there still is a connection, whatever the library tells."""
_REMEMBERED: Final = 100
"""How many refusals of the server are remembered."""

Heard = Callable[[Msg], None]


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """Whose connection it is, to which ``servers`` (``nats://127.0.0.1:4222``), with which key. ``patience``: seconds that a
    question may take. ``replicas``: of each bucket, 1 or 3. ``domain``: of the hub's JetStream, where it has one."""

    node: str
    servers: tuple[str, ...]
    key: NKey | None = None
    tls: ssl.SSLContext | None = None
    patience: float = 2.0
    replicas: int = 1
    domain: str = ""


@dataclass(eq=False, slots=True)
class _Ear:
    pattern: str
    heard: Heard
    subscription: Subscription | None = None


@dataclass(eq=False)
class Connection:
    """Owns the client and all who listen; ``tasks`` are those of whoever opened it. ``life`` counts how often there was a
    connection; ``why`` says why there is none now."""

    options: NatsOptions
    tasks: TaskGroup
    life: int = 0
    why: str = "no connection was made yet"
    _client: Client | None = None
    _ears: list[_Ear] = field(default_factory=list)
    _refusals: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def connected(self) -> bool:
        """Whether there is one, as far as is known."""
        return self._client is not None and self._client.is_connected

    @property
    def client(self) -> Client:
        """The live one. Raises ``BusDown``."""
        if self._client is None or not self._client.is_connected:
            servers = ", ".join(self.options.servers)
            raise BusDown(f"there is no connection to the bus at {servers}: {self.why}", cure=CURE)
        return self._client

    async def alive(self, after: int = 0) -> int:
        """Wait for a connection, for one later than that where a number is given; gives its number."""
        while not self.connected or self.life <= after:
            await self._changed.wait()
        return self.life

    def refusal(self, subject: str) -> str:
        """What the server said against this subject; empty where it said nothing."""
        return next((each for each in reversed(self._refusals) if f'"{subject}"' in each.lower()), "")

    @asynccontextmanager
    async def ear(self, pattern: str, heard: Heard) -> AsyncIterator[None]:
        """Have ``heard`` called with what comes there, also on later connections. Raises ``BusDown`` where it is refused."""
        ear = _Ear(pattern, heard)
        self._ears.append(ear)
        try:
            if self.connected:
                with suppress(BusDown):  # the next connection subscribes it
                    await self._subscribe(self.client, ear)
                if said := self.refusal(pattern.lower()):
                    raise BusDown(f"node {self.options.node} may not listen to {pattern}: {said}", cure=_PERMISSIONS)
            yield
        finally:
            self._ears.remove(ear)
            await self._unsubscribe(ear)

    @contextmanager
    def beside(self, work: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """Have something done while this lasts, in the tasks of the connection."""
        scope = anyio.CancelScope()

        async def do() -> None:
            with scope:
                await work()

        self.tasks.start_soon(do)
        try:
            yield
        finally:
            scope.cancel()

    async def run(self) -> None:
        """Connect, and again whenever it is lost, until cancelled."""
        tries = 0
        try:
            while True:
                lost = anyio.Event()
                client = await self._connect(lost)
                if client is None:
                    await anyio.sleep(AGAIN[min(tries, len(AGAIN) - 1)])
                    tries += 1
                    continue
                tries = 0
                try:
                    await _until_lost(client, lost)
                finally:
                    self._tell("the connection was lost")
                    await _left(client)
        finally:
            self._tell("it was closed")

    async def _connect(self, lost: anyio.Event) -> Client | None:
        client, options = Client(), self.options

        async def on_closed() -> None:
            lost.set()

        async def on_error(error: Exception) -> None:
            self._refusals.append(str(error))

        if options.key is not None:
            client._public_nkey = options.key.public  # the library sets it itself only with `nkeys` (see nkey.py)
        try:
            await client.connect(
                list(options.servers),
                name=f"orchestrator {options.node}",
                error_cb=on_error,
                closed_cb=on_closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, round(options.patience)),
                ping_interval=PING_SECONDS,
                max_outstanding_pings=PINGS,
                inbox_prefix=f"_INBOX.{options.node}",
                signature_cb=options.key.sign if options.key else None,
                tls=options.tls,
            )
            self._client = client
            for ear in list(self._ears):
                await self._subscribe(client, ear)
        except (nats.errors.Error, OSError, TimeoutError, BusDown) as error:
            known = isinstance(error, nats.errors.NoServersError) and self._refusals  # which says nothing itself
            self._tell(self._refusals[-1] if known else str(error) or type(error).__name__)
            await _left(client)
            return None
        except BaseException:  # cancelled: nothing of it may stay
            await _left(client)
            raise
        self.life += 1
        self._wake()
        return client

    async def _subscribe(self, client: Client, ear: _Ear) -> None:
        async def heard(message: Msg) -> None:
            ear.heard(message)

        with translated(f"listen to {ear.pattern}"):
            ear.subscription = await client.subscribe(ear.pattern, cb=heard)
            for _ in range(
                2
            ):  # the first question overtakes what waits to be written; after the second the server knows of it
                await client.flush(timeout=max(1, round(self.options.patience)))

    async def _unsubscribe(self, ear: _Ear) -> None:
        if ear.subscription is None or not self.connected:
            return
        with anyio.CancelScope(shield=True), suppress(nats.errors.Error, OSError):  # it goes with the connection then
            await ear.subscription.unsubscribe()

    def _tell(self, why: str) -> None:
        self._client, self.why = None, why
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


_PERMISSIONS: Final = (
    "the server's permissions for this node do not have it; `orchestrator node status` tells the node's name"
)


async def _until_lost(client: Client, lost: anyio.Event) -> None:
    """The library's word that a connection is over does not always come: where its last words cannot be written any more, as when
    this process stood still and the server has left it, its closing ends in an error before it tells."""
    while client.is_connected:
        with anyio.move_on_after(LOOK_SECONDS):
            await lost.wait()
            return


async def _left(client: Client) -> None:
    """Close it, but do not wait for a server that takes nothing any more. What the library has begun to close and not ended is
    ended here."""
    with (
        anyio.move_on_after(CLOSE_SECONDS, shield=True),
        suppress(nats.errors.Error, OSError),
    ):  # it is left all the same
        await client.close()
    for subscription in list(client._subs.values()):
        subscription._stop_processing()
    if client._transport is not None:
        client._transport.close()  # type: ignore[no-untyped-call]  # as the library has written it
