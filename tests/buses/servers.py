"""Real NATS servers for tests: on free ports of loopback, in folders of their own, ended with the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from orchestrator.deploy.free_port import free_port
from orchestrator.plugins.buses.nats import NatsBus, opened
from orchestrator.plugins.buses.nats_connection import NatsOptions
from orchestrator.plugins.buses.nkey import NKey
from orchestrator.plugins.sidecars.nats_conf import DOMAIN, LEAF_SEED, STORE_KEY, Hub, Leaf, hub_text, leaf_text
from orchestrator.plugins.sidecars.nats_rights import rights_of
from orchestrator.plugins.sidecars.nats_server import command, find_server, write_configuration
from orchestrator.ports.bus import BusDown, Letter


@dataclass
class Server:
    """One process. It may be killed, stopped and begun again on the same port."""

    folder: Path
    text: str
    secrets: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True, parents=True)
        write_configuration(self.folder / "conf", self.text)
        argv = command(find_server(os.environ), self.folder / "conf")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, stderr=log, stdout=log, env={**os.environ, **self.secrets})

    def kill(self) -> None:
        """With SIGKILL, and wait for it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def reload(self, text: str) -> None:
        write_configuration(self.folder / "conf", text)
        self.running.send_signal(signal.SIGHUP)


@dataclass
class Fleet:
    """A hub, the keys of nodes, and their leaves, all on loopback and without certificates."""

    folder: Path
    keeper: NKey = field(default_factory=NKey.new)
    warden: NKey = field(default_factory=NKey.new)
    nodes: dict[str, NKey] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    leads: str = ""
    port: int = 0
    link: int = 0

    def hub_conf(self) -> str:
        members = tuple(rights_of(name, key.public, leads=name == self.leads) for name, key in self.nodes.items())
        listen = f"127.0.0.1:{self.link}"
        return hub_text(
            Hub("first", listen, self.port, self.keeper.public, self.warden.public, self.folder / "store", members)
        )

    def hub(self) -> Server:
        self.port, self.link = self.port or free_port("127.0.0.1"), self.link or free_port("127.0.0.1")
        return self._begun(Server(self.folder / "hub", self.hub_conf(), {STORE_KEY: "k-of-tests"}))

    def leaf(self, node: str) -> tuple[Server, NatsOptions]:
        engine, port = NKey.new(), free_port("127.0.0.1")
        text = leaf_text(Leaf(node, port, engine.public, (f"127.0.0.1:{self.link}",)))
        server = self._begun(Server(self.folder / node, text, {LEAF_SEED: self.nodes[node].seed}))
        return server, NatsOptions(node, (f"nats://127.0.0.1:{port}",), engine, domain=DOMAIN)

    def options(self, node: str = "keeper") -> NatsOptions:
        """To the hub itself, where everything may be done."""
        return NatsOptions(node, (f"nats://127.0.0.1:{self.port}",), self.keeper, domain=DOMAIN)

    def _begun(self, server: Server) -> Server:
        self.servers.append(server)
        server.start()
        return server


@contextmanager
def fleet_in(folder: Path, *nodes: str, leads: str = "") -> Iterator[Fleet]:
    """A hub that runs, and keys for these nodes."""
    fleet = Fleet(folder, nodes={name: NKey.new() for name in nodes}, leads=leads)
    fleet.hub()
    try:
        yield fleet
    finally:
        for server in fleet.servers:
            server.kill()


def said(server: Server, pattern: str) -> bool:
    """Whether its log has it."""
    return re.search(pattern, server.log.read_text(errors="replace")) is not None


@asynccontextmanager
async def connected(options: NatsOptions) -> AsyncIterator[NatsBus]:
    """A bus that has its connection."""
    async with opened(options) as bus:
        await bus.ready(10)
        yield bus


async def linked(bus: NatsBus) -> None:
    """Wait until the hub answers, over all links between."""
    with anyio.fail_after(15):
        while True:
            try:
                await bus.read("desired", "nothing")
            except BusDown:
                await anyio.sleep(0.02)  # real servers, which give no sign
            else:
                return


async def hears(bus: NatsBus, pattern: str, sender: NatsBus, subject: str) -> bool:
    """Whether what one sends to a subject reaches another that listens to the pattern. Letters that may pass go around it, so that
    "not" is no guess: they are sent after it, over the same links."""
    passing = f"orc.v1.d.call.{bus.node}.marker"
    got: set[bytes] = set()
    async with bus.listen(pattern) as letters, bus.listen(passing) as markers, anyio.create_task_group() as tasks:

        async def collect() -> None:
            async for letter in letters:
                got.add(letter.body)

        async def knock() -> None:
            while True:
                await sender.send(Letter(subject, b"asked"))
                await sender.send(Letter(passing, b"marker"))
                await anyio.sleep(0.02)  # real servers, which give no sign

        tasks.start_soon(collect)
        tasks.start_soon(knock)
        with anyio.fail_after(15):
            for _ in range(3):
                await anext(markers)
        tasks.cancel_scope.cancel()
    return b"asked" in got


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what a process of somebody else's brings about."""
    with anyio.fail_after(seconds):
        while not true():  # noqa: ASYNC110 - it has no event for us
            await anyio.sleep(0.02)  # real servers, which give no sign


async def fill(bus: NatsBus) -> None:
    """Write until it does not go any more."""
    for number in range(50):
        await bus.swap("desired", f"d.k{number}", b"x" * 2000)
