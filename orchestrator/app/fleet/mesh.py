"""This machine's part of the mesh, as it runs: the leaf, on a hub also the hub's server and the enrolment, and the bus over
them."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from orchestrator.app.fleet.enrolment import Enrolment
from orchestrator.app.fleet.identity import LOCALHOST, FleetFolder, Membership
from orchestrator.app.fleet.keys import read_seed
from orchestrator.app.fleet.locked import only_one
from orchestrator.app.fleet.records import configuration_file, reload_server
from orchestrator.app.fleet.renewal import renew_certificate, renewal_is_due, settle
from orchestrator.app.fleet.sidecar import RULES, Sidecar, SidecarOrder, SidecarRules
from orchestrator.app.unwrap import unwrapped
from orchestrator.core.errors import OrchestratorError
from orchestrator.plugins.buses.nats import NatsBus, opened
from orchestrator.plugins.buses.nats_connection import NatsOptions
from orchestrator.plugins.buses.nats_warden import end_leaves
from orchestrator.plugins.secrets import read_private
from orchestrator.plugins.sidecars.nats_conf import (
    DOMAIN,
    LEAF_SEED,
    STORE_KEY,
    Hub,
    Leaf,
    hub_text,
    is_loopback,
    leaf_text,
)
from orchestrator.plugins.sidecars.nats_server import command, find_server
from orchestrator.ports.bus import BusDown
from orchestrator.ports.host import Processes

READ_BACK_SECONDS: Final = 60.0
"""How often the buckets are looked at, and made anew where they are gone."""
LINK_SECONDS: Final = 60.0
"""A leaf without the hub for this long, though the hub's port answers, is started anew (nats-server issue 7615)."""
LOOK_SECONDS: Final = 5.0
RENEWAL_SECONDS: Final = 6 * 3600.0
RETRY_SECONDS: Final = 300.0
"""How often it is looked whether the certificate is soon too old, and after what pause a renewal that failed is tried again."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """What runs here. ``bus`` is this node's; ``hub`` and ``keeper`` are there on the hub only."""

    membership: Membership
    bus: NatsBus
    leaf: Sidecar
    hub: Sidecar | None = None
    keeper: NatsBus | None = None


@asynccontextmanager
async def joined(
    folder: FleetFolder,
    processes: Processes,
    environment: Mapping[str, str] = os.environ,
    rules: SidecarRules = RULES,
) -> AsyncIterator[Mesh]:
    """Have this machine's servers run, and its bus. Neither need be ready yet: a node boots without a network. Raises
    ``FleetError`` where this machine belongs to no fleet, and ``DeployError`` where there is no server program or a port is
    taken."""
    membership = folder.member()
    program = find_server(environment)
    with only_one(folder.servers / "lock"), unwrapped():
        settle(folder)
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(opened(engine_options(folder, membership)))
            keeper = (
                await stack.enter_async_context(opened(keeper_options(folder, membership))) if membership.hub else None
            )
            tasks = await stack.enter_async_context(anyio.create_task_group())
            leaf = Sidecar(_leaf_order(folder, membership, str(program), bus), processes, rules)
            hub = None
            if keeper is not None:
                hub = Sidecar(_hub_order(folder, membership, str(program), keeper), processes, rules)
                tasks.start_soon(hub.run)
                tasks.start_soon(_keep, keeper)
                await tasks.start(Enrolment(folder, partial(_apply, folder, processes, hub)).serve)
            tasks.start_soon(leaf.run)
            tasks.start_soon(_renew, folder, [server for server in (hub, leaf) if server is not None])
            tasks.start_soon(_watch_link, membership, bus, leaf)
            yield Mesh(membership, bus, leaf, hub, keeper)
            tasks.cancel_scope.cancel()


def engine_options(folder: FleetFolder, membership: Membership) -> NatsOptions:
    """How this node's engine comes to its leaf."""
    url = f"nats://{LOCALHOST}:{membership.leaf_port}"
    return NatsOptions(membership.node, (url,), read_seed(folder.seed("engine")), domain=DOMAIN)


def keeper_options(folder: FleetFolder, membership: Membership) -> NatsOptions:
    """How a hub's device comes to the hub itself."""
    url = f"nats://{LOCALHOST}:{membership.hub_port}"
    return NatsOptions(f"{membership.node}-keeper", (url,), read_seed(folder.seed("keeper")), domain=DOMAIN)


async def apply_members(folder: FleetFolder, processes: Processes, *, left: bool) -> bool:
    """Have the hub's server know who belongs to the fleet now, and end the connections of whoever does not; tells whether the
    server runs. Raises ``BusDown`` where it could not be asked to: whoever left may be connected still."""
    membership = folder.member()
    text, now = _hub_text(folder, membership), time.time()
    runs = await anyio.to_thread.run_sync(reload_server, folder.servers, "hub", text, processes)
    if runs and left:
        url = f"nats://{LOCALHOST}:{membership.hub_port}"
        await end_leaves(url, read_seed(folder.seed("warden")), now)
    return runs


async def _apply(folder: FleetFolder, processes: Processes, hub: Sidecar, left: bool) -> None:
    try:
        await apply_members(folder, processes, left=left)
    except BusDown as error:
        hub.restart(f"who left must not stay connected, and: {error.message}")


async def _keep(keeper: NatsBus) -> None:
    """The hub's buckets are there, and as they shall be."""
    while True:
        try:
            await keeper.ready(READ_BACK_SECONDS)
            await keeper.prepare()
        except OrchestratorError:
            await anyio.sleep(1.0)  # the hub's own state tells why
            continue
        await anyio.sleep(READ_BACK_SECONDS)


async def _renew(folder: FleetFolder, servers: Sequence[Sidecar]) -> None:
    """A certificate that is soon too old is renewed, and the servers begin anew with it. Where the hub is away it is tried
    again."""
    while True:
        try:
            if await anyio.to_thread.run_sync(renewal_is_due, folder):
                await anyio.to_thread.run_sync(renew_certificate, folder)
                for server in servers:
                    server.restart("its certificate was renewed")
        except OrchestratorError:
            await anyio.sleep(RETRY_SECONDS)
        else:
            await anyio.sleep(RENEWAL_SECONDS)


async def _watch_link(membership: Membership, bus: NatsBus, leaf: Sidecar) -> None:
    last = time.monotonic()
    while True:
        await anyio.sleep(LOOK_SECONDS)
        if await bus.linked():
            last = time.monotonic()
        elif time.monotonic() - last > LINK_SECONDS and await _answers(membership.hubs):
            leaf.restart("its link to the hub does not come back, though the hub's port answers")
            last = time.monotonic()


async def _answers(addresses: tuple[str, ...]) -> bool:
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            with anyio.fail_after(2.0):
                await (await anyio.connect_tcp(host.strip("[]"), int(port))).aclose()
        except (OSError, TimeoutError):
            continue
        return True
    return False


def _leaf_order(folder: FleetFolder, membership: Membership, program: str, bus: NatsBus) -> SidecarOrder:
    tls = None if membership.insecure else folder.tls
    engine = read_seed(folder.seed("engine")).public
    leaf = Leaf(membership.node, membership.leaf_port, engine, membership.hubs, tls)
    secrets = {LEAF_SEED: read_seed(folder.seed("link")).seed}
    text, probe = partial(leaf_text, leaf), partial(bus.ready, 1.0)
    return SidecarOrder("leaf", _command(folder, program, "leaf"), secrets, folder.servers, text, probe)


def _hub_order(folder: FleetFolder, membership: Membership, program: str, keeper: NatsBus) -> SidecarOrder:
    secrets = {STORE_KEY: read_private("the key of the hub's store", folder.store_key)}

    async def probe() -> None:
        await keeper.ready(1.0)
        await keeper.prepare()
        await keeper.probe()

    text = partial(_hub_text, folder, membership)
    return SidecarOrder("hub", _command(folder, program, "hub"), secrets, folder.servers, text, probe)


def _command(folder: FleetFolder, program: str, name: str) -> tuple[str, ...]:
    return command(Path(program), configuration_file(folder.servers, name))


def _hub_text(folder: FleetFolder, membership: Membership) -> str:
    tls = None if membership.insecure else folder.tls
    keeper, warden = (read_seed(folder.seed(name)).public for name in ("keeper", "warden"))
    port, listen = membership.hub_port, _listen(membership)
    return hub_text(Hub(membership.node, listen, port, keeper, warden, folder.store, folder.ledger.rights(), tls))


def _listen(membership: Membership) -> str:
    """On all addresses, where it is for others: which one a device has may change."""
    address = membership.hubs[0]
    return address if is_loopback(address) else f"0.0.0.0:{address.rpartition(':')[2]}"
