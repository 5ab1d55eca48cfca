"""What is known here of this machine's part in a fleet, for `orchestrator node status`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from orchestrator.app.fleet.identity import FleetFolder, Membership
from orchestrator.app.fleet.joining import is_put_out
from orchestrator.app.fleet.records import read_record
from orchestrator.ports.host import Processes

LOOK_SECONDS: Final = 2.0
"""How long the own leaf has to say whether the hub answers."""


def status_of(folder: FleetFolder, processes: Processes) -> dict[str, Any] | None:
    """The membership, the days that the certificate is still valid, the servers, whether the hub answers or has put this node out,
    and on the hub the nodes. ``None`` where this machine belongs to no fleet. There is no secret in it."""
    membership = folder.read()
    if membership is None:
        return None
    names = ("hub", "leaf") if membership.hub else ("leaf",)
    servers = {name: _process(folder, name, processes) for name in names}
    answers = _hub_answers(folder, membership) if servers["leaf"] else None
    return asdict(membership) | {
        "certificate_days": None if membership.insecure else _days(folder),
        "servers": servers,
        "hub_answers": answers,
        "put_out": not membership.hub and not answers and is_put_out(folder),
        "nodes": _nodes(folder) if membership.hub else None,
    }


def _process(folder: FleetFolder, name: str, processes: Processes) -> int:
    """The number of the server's process; 0 where none runs."""
    record = read_record(folder.servers, name)
    there = record is not None and record.process is not None and processes.alive(record.process)
    return record.process.pid if there and record is not None and record.process is not None else 0


def _days(folder: FleetFolder) -> int:
    from orchestrator.app.fleet.certificates import days_left, read_certificate

    return int(days_left(read_certificate(folder.tls.certificate)))


def _nodes(folder: FleetFolder) -> list[dict[str, Any]]:
    return [
        {"node": name, "hub": member.leads, "joined": member.joined, "left": member.left}
        for name, member in sorted(folder.ledger.members().items())
    ]


def _hub_answers(folder: FleetFolder, membership: Membership) -> bool:
    import anyio

    from orchestrator.app.fleet.mesh import engine_options
    from orchestrator.core.errors import OrchestratorError
    from orchestrator.plugins.buses.nats import opened

    async def look() -> bool:
        async with opened(engine_options(folder, membership)) as bus:
            try:
                await bus.ready(LOOK_SECONDS)
            except OrchestratorError:
                return False
            return await bus.linked()

    return anyio.run(look)
