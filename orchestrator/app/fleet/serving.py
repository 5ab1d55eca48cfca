"""This node's servers in the foreground, until a signal comes."""

from __future__ import annotations

import signal
from collections.abc import Callable

import anyio

from orchestrator.app.fleet.identity import FleetFolder
from orchestrator.app.fleet.mesh import Mesh, joined
from orchestrator.app.fleet.sidecar import Sidecar
from orchestrator.ports.host import Processes

Tell = Callable[[str], None]


def serve_until_stopped(folder: FleetFolder, processes: Processes, tell: Tell) -> None:
    """Run them, and say how they are, until SIGINT or SIGTERM; nothing of them stays. Raises as ``joined``."""
    anyio.run(_serve, folder, processes, tell)


async def _serve(folder: FleetFolder, processes: Processes, tell: Tell) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with joined(folder, processes) as mesh, anyio.create_task_group() as tasks:
            for server in filter(None, (mesh.hub, mesh.leaf)):
                tasks.start_soon(_tell_states, server, tell)
            tasks.start_soon(_tell_link, mesh, tell)
            await anext(signals)
            tell("ending")
            tasks.cancel_scope.cancel()


async def _tell_states(server: Sidecar, tell: Tell) -> None:
    told = ""
    while True:
        said = f"{server.order.name} server: {server.state}" + (f" ({server.why})" if server.why else "")
        if said != told:
            tell(told := said)
        await server.changed()


async def _tell_link(mesh: Mesh, tell: Tell) -> None:
    """When the hub's answering begins and ends, as this node sees it."""
    before: bool | None = None
    while True:
        now = await mesh.bus.linked()
        if now != before:
            tell(f"{mesh.membership.node} {'reaches the hub' if now else 'does not reach the hub'}")
        before = now
        await anyio.sleep(1.0)
