"""Machines of a fleet for tests: each a state folder on this one, with real servers on free ports of loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.app.fleet.certificates import fingerprint, read_certificate
from orchestrator.app.fleet.identity import FirstNode, FleetFolder, begin_fleet
from orchestrator.app.fleet.mesh import Mesh, joined
from orchestrator.app.fleet.sidecar import SidecarRules
from orchestrator.app.fleet.token import Token
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.free_port import free_port, free_ports
from orchestrator.plugins.hosts.processes import LocalProcesses

HURRIED = SidecarRules(again=Backoff(0.05, 0.2), look=0.2, poll=0.02, grace=3.0)


def first_machine(path: Path, *, insecure: bool = False) -> FleetFolder:
    """A fleet begins here."""
    folder = FleetFolder(path / "fleet")
    link, enrol = free_ports("127.0.0.1", 2)
    begin_fleet(folder, FirstNode("edge-1", link_port=link, enrol_port=enrol, insecure=insecure))
    return folder


def token_of(hub: FleetFolder, seconds: float = 3600.0) -> Token:
    """One that lets a node in."""
    membership = hub.member()
    known = b"" if membership.insecure else fingerprint(read_certificate(hub.tls.authority))
    return Token(membership.enrol, hub.ledger.invite(seconds), known)


@asynccontextmanager
async def running(folder: FleetFolder, rules: SidecarRules = HURRIED) -> AsyncIterator[Mesh]:
    """Its servers, ready."""
    async with joined(folder, LocalProcesses(), rules=rules) as mesh:
        for server in (mesh.hub, mesh.leaf):
            if server is not None:
                await server.ready(20)
        yield mesh


def at_other_port(token: Token) -> Token:
    """The same, where nobody listens."""
    return replace(token, enrol=(f"127.0.0.1:{free_port('127.0.0.1')}",))
