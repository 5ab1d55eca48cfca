"""The servers beside the runtime: ready when they can be used, started again when they cannot, and none left behind."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.app.fleet.mesh import Mesh, joined
from orchestrator.app.fleet.records import read_record
from orchestrator.app.fleet.sidecar import Sidecar
from orchestrator.core.errors import DeployError
from orchestrator.core.fleet_errors import FleetError
from orchestrator.deploy.free_port import free_port
from orchestrator.plugins.hosts.processes import LocalProcesses
from orchestrator.ports.bus import BusDown
from tests.buses.servers import fill, linked, until
from tests.fleet.machines import HURRIED, first_machine, running

pytestmark = pytest.mark.anyio

RUNS_AND_IS_KILLED = """
import anyio, os, signal, sys
from pathlib import Path
from orchestrator.app.fleet.identity import FleetFolder
from orchestrator.app.fleet.mesh import joined
from orchestrator.plugins.hosts.processes import LocalProcesses

async def main():
    async with joined(FleetFolder(Path(sys.argv[1])), LocalProcesses()) as mesh:
        await mesh.hub.ready(20)
        await mesh.leaf.ready(20)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


def pid_of(server: Sidecar | None) -> int:
    assert server is not None and server._record is not None and server._record.process is not None
    return server._record.process.pid


def gone(pid: int) -> bool:
    """Whether it runs no more; who adopted it may not have buried it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def started_again(mesh: Mesh, before: int) -> None:
    assert mesh.hub is not None
    await until(lambda: mesh.hub is not None and mesh.hub.starts == 2 and mesh.hub.state == "ready", 20)
    assert pid_of(mesh.hub) != before
    assert gone(before)


async def test_servers_end_with_us(tmp_path: Path) -> None:
    """Each leads a group of its own, and nothing of them stays: no process, no record."""
    folder = first_machine(tmp_path)
    async with running(folder) as mesh:
        pids = [pid_of(mesh.hub), pid_of(mesh.leaf)]
        assert [os.getpgid(pid) for pid in pids] == pids
        assert mesh.hub is not None and mesh.hub.order.log.stat().st_mode & 0o777 == 0o600
    assert all(map(gone, pids))
    assert sorted(each.name for each in folder.servers.iterdir()) == [
        "hub.conf",
        "hub.log",
        "leaf.conf",
        "leaf.log",
        "lock",
    ]


async def test_a_server_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """What it kept is there, and the bus goes on."""
    async with running(first_machine(tmp_path)) as mesh:
        before = pid_of(mesh.hub)
        await mesh.keeper.swap("desired", "d.manifest", b"1")  # type: ignore[union-attr] # checked above
        os.kill(before, signal.SIGKILL)
        await started_again(mesh, before)
        await linked(mesh.bus)
        found = await mesh.bus.read("desired", "d.manifest")
        assert found is not None and found.value == b"1"


async def test_a_server_that_hangs_is_started_again(tmp_path: Path) -> None:
    """It runs, but does not answer: SIGTERM does nothing to it, SIGKILL ends it."""
    async with running(first_machine(tmp_path)) as mesh:
        before = pid_of(mesh.hub)
        os.kill(before, signal.SIGSTOP)
        await started_again(mesh, before)


async def test_a_store_that_failed_is_mended_by_a_restart(tmp_path: Path) -> None:
    """After a full disk the server would fail for ever, and says so in its log."""
    async with running(first_machine(tmp_path)) as mesh:
        assert mesh.keeper is not None
        before = pid_of(mesh.hub)
        resource.prlimit(before, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        with pytest.raises(BusDown):
            await fill(mesh.keeper)
        await started_again(mesh, before)
        await mesh.keeper.ready(5)
        await mesh.keeper.probe()


async def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    """Without an interruption: the next one does not start them again, and ends them when it is stopped."""
    folder = first_machine(tmp_path)
    left = _left_by_a_killed_one(folder.path)
    async with running(folder) as mesh:
        assert mesh.hub is not None
        assert (pid_of(mesh.hub), pid_of(mesh.leaf)) == left
        assert (mesh.hub.starts, mesh.leaf.starts) == (0, 0)
    assert all(map(gone, left))


async def test_what_is_not_wanted_any_more_is_not_taken_over(tmp_path: Path) -> None:
    """A leaf that shall go elsewhere is ended, and a new one is started."""
    folder = first_machine(tmp_path)
    left = _left_by_a_killed_one(folder.path)
    folder.write(replace(folder.member(), leaf_port=free_port("127.0.0.1")))
    async with running(folder) as mesh:
        assert pid_of(mesh.hub) == left[0] and pid_of(mesh.leaf) != left[1]
        assert gone(left[1])


def _left_by_a_killed_one(path: Path) -> tuple[int, int]:
    ended = subprocess.run(
        [sys.executable, "-c", RUNS_AND_IS_KILLED, str(path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    records = [read_record(path / "servers", name) for name in ("hub", "leaf")]
    hub, leaf = [record.process.pid for record in records if record and record.process]
    assert psutil.pid_exists(hub) and psutil.pid_exists(leaf)
    return hub, leaf


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """With what the server said; it goes on trying, and comes up when the port is free."""
    folder = first_machine(tmp_path)
    with socket.create_server(("127.0.0.1", folder.member().leaf_port)):
        async with joined(folder, LocalProcesses(), rules=HURRIED) as mesh:
            with pytest.raises(DeployError, match=r"leaf server is not ready.*address already in use"):
                await mesh.leaf.ready(1.5)


async def test_two_processes_do_not_run_one_node(tmp_path: Path) -> None:
    """The second is told so, and the first is not disturbed."""
    folder = first_machine(tmp_path)
    async with running(folder) as mesh:
        with pytest.raises(FleetError, match="runs this node's servers already"):
            async with running(folder):
                raise AssertionError("two run it")
        await linked(mesh.bus)
        assert mesh.leaf.state == "ready"
