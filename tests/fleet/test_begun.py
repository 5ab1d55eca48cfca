"""How a fleet begins: what cannot be is refused before anything is made, and a server that does not run says why."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from orchestrator.app.fleet.identity import FirstNode, FleetFolder, begin_fleet
from orchestrator.app.fleet.mesh import joined
from orchestrator.app.fleet.records import log_file
from orchestrator.app.fleet.told import status_of
from orchestrator.cli.view.node import shown_status
from orchestrator.core.errors import UsageError
from orchestrator.plugins.hosts.processes import LocalProcesses
from tests.fleet.machines import HURRIED, first_machine

NO_ADDRESS = "is no name and no number of a machine"


@pytest.mark.parametrize(
    ("fields", "why", "cure"),
    [
        (
            {"link_port": 70000},
            "--port is 70000, which is no port",
            "from 1 to 65535, or leave it out: it is 7422 then",
        ),
        ({"link_port": 0}, "--port is 0, which is no port", "7422"),
        ({"enrol_port": -1}, "--enrol-port is -1, which is no port", "7423"),
        (
            {"link_port": 7822, "enrol_port": 7822},
            "--port and --enrol-port are both 7822, and one port serves one thing",
            "write another number for one of them; without them they are 7422 and 7423",
        ),
        ({"link_port": 7423}, "--port and --enrol-port are both 7423, and one port serves one thing", "7422"),
        ({"address": "bad host!"}, f"--address 'bad host!' {NO_ADDRESS}", "hub.local, 192.168.1.10"),
        ({"address": "192.168.1.10:7422"}, f"--address '192.168.1.10:7422' {NO_ADDRESS}", "without a port"),
        ({"address": "http://hub.local"}, f"--address 'http://hub.local' {NO_ADDRESS}", "hub.local"),
        ({"address": "192.168.1"}, f"--address '192.168.1' {NO_ADDRESS}", "hub.local"),
        ({"address": "192.168.1.256"}, f"--address '192.168.1.256' {NO_ADDRESS}", "hub.local"),
        ({"address": "a..b"}, f"--address 'a..b' {NO_ADDRESS}", "hub.local"),
        ({"address": "-hub"}, f"--address '-hub' {NO_ADDRESS}", "hub.local"),
        ({"address": "h" * 64}, f"--address '{'h' * 64}' {NO_ADDRESS}", "hub.local"),
        ({"address": ".".join(["hub"] * 64)}, f"--address '{'.'.join(['hub'] * 64)}' {NO_ADDRESS}", "hub.local"),
        ({"address": "[::1]"}, f"--address '[::1]' {NO_ADDRESS}", "hub.local"),
        ({"address": "::"}, "--address '::' is the number of no machine", "192.168.1.10"),
        ({"address": "ff02::1"}, "--address 'ff02::1' is the number of no machine", "192.168.1.10"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, fields: dict[str, Any], why: str, cure: str
) -> None:
    """With the option that it stands in, and what to write there."""
    folder = FleetFolder(tmp_path / "fleet")
    with pytest.raises(UsageError) as refused:
        begin_fleet(folder, FirstNode("edge-1", **fields))
    assert refused.value.message == why and cure in (refused.value.cure or "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "address", ["hub", "hub.local", "Hub_1.local.", "3com.example", "192.168.1.10", "fd00::10", "::1"]
)
def test_names_and_numbers_of_machines_are_taken(tmp_path: Path, address: str) -> None:
    """As they were."""
    membership = begin_fleet(FleetFolder(tmp_path / "fleet"), FirstNode("edge-1", address))
    shown = f"[{address}]" if ":" in address else address
    assert (membership.hubs, membership.enrol) == ((f"{shown}:7422",), (f"{shown}:7423",))


@pytest.mark.anyio
async def test_a_server_that_does_not_run_says_why(tmp_path: Path) -> None:
    """A real hub whose port somebody else has."""
    folder, processes = first_machine(tmp_path), LocalProcesses()
    port = int(folder.member().hubs[0].rpartition(":")[2])
    with closing(socket.create_server(("127.0.0.1", port))), anyio.fail_after(30):
        async with joined(folder, processes, rules=HURRIED) as mesh:
            assert mesh.hub is not None
            while "address already in use" not in mesh.hub.why:
                await mesh.hub.changed()
    found = await anyio.to_thread.run_sync(status_of, folder, processes)
    assert found is not None and found["servers"] == {"hub": 0, "leaf": 0} and list(found["why"]) == ["hub"]
    (line,) = [line for line in shown_status(found).splitlines() if line.startswith("hub server")]
    assert line.startswith("hub server   does not run; it said last: Error listening on leafnode port")
    assert line.endswith("address already in use")


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (
            "[7] 2026/11/27 20:06:38.529450 [FTL] Error listening on leafnode port: 70000\n",
            "Error listening on leafnode port: 70000",
        ),
        ("nats-server: hub.conf:3:1: unknown field\n", "nats-server: hub.conf:3:1: unknown field"),
        ("[7] 2026/11/27 20:06:38.5 [FTL] no\n[8] 2026/11/27 20:06:39.5 [INF] Server Exiting..\n", ""),
        ("", ""),
    ],
)
def test_one_that_ended_as_it_should_has_no_fault(tmp_path: Path, log: str, why: str) -> None:
    """Of a server that was never started nothing is known either."""
    folder = first_machine(tmp_path)
    folder.servers.mkdir(parents=True, exist_ok=True)
    log_file(folder.servers, "hub").write_text(log)
    found = status_of(folder, LocalProcesses())
    assert found is not None and found["why"] == ({"hub": why} if why else {})
    assert ("does not run; it said last" in shown_status(found)) is bool(why)
