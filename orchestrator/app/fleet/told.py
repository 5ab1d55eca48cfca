"""What is known here of this machine's part in a fleet, for `orchestrator node status`."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final

from orchestrator.app.fleet.identity import FleetFolder, Membership
from orchestrator.app.fleet.joining import is_put_out
from orchestrator.app.fleet.records import log_file, read_record
from orchestrator.deploy.server_logs import last_lines
from orchestrator.ports.host import Processes

_STAMP: Final = re.compile(r"\[[0-9]+\] \S+ \S+ (?=\[[A-Z]{3}\])")
"""Process, date and time, before the kind of a line of a NATS server."""
_NO_FAULT: Final = frozenset(("", "[INF]", "[DBG]", "[TRC]", "[WRN]"))
_FAULT: Final = frozenset(("[FTL]", "[ERR]"))
LOOK_SECONDS: Final = 2.0
"""How long the own leaf has to say whether the hub answers."""


def status_of(folder: FleetFolder, processes: Processes) -> dict[str, Any] | None:
    """The membership, the days that the certificate is still valid, the servers and why one does not run, whether the hub answers
    or has put this node out, and on the hub the nodes. ``None`` where this machine belongs to no fleet. No secret is in it."""
    membership = folder.read()
    if membership is None:
        return None
    names = ("hub", "leaf") if membership.hub else ("leaf",)
    servers = {name: _process(folder, name, processes) for name in names}
    answers = _hub_answers(folder, membership) if servers["leaf"] else None
    return asdict(membership) | {
        "certificate_days": None if membership.insecure else _days(folder),
        "servers": servers,
        "why": {name: why for name, pid in servers.items() if not pid and (why := _last_fault(folder, name))},
        "hub_answers": answers,
        "put_out": not membership.hub and not answers and is_put_out(folder),
        "nodes": _nodes(folder) if membership.hub else None,
    }


def _process(folder: FleetFolder, name: str, processes: Processes) -> int:
    """The number of the server's process; 0 where none runs."""
    record = read_record(folder.servers, name)
    there = record is not None and record.process is not None and processes.alive(record.process)
    return record.process.pid if there and record is not None and record.process is not None else 0


def _last_fault(folder: FleetFolder, name: str) -> str:
    """The last line of its log, where that tells more than that it was started or ended as it should."""
    said = last_lines(log_file(folder.servers, name), count=1)
    kind, _, text = _STAMP.sub("", said).partition(" ")
    if kind in _NO_FAULT:
        return ""
    return text if kind in _FAULT else said


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
