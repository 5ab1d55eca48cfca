"""A machine of its own: a network namespace, a home, and the commands that a person types there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.app.client import RuntimeClient
from orchestrator.plugins.hosts.local import LocalHost
from tests.apart.net import Lan, lan
from tests.cli.commands import ROOT, Ran, command

_SECONDS: Final = 120.0
_LISTENS: Final = "0A"
_LOOPBACK: Final = ("0100007F", "00000000000000000000000001000000")
"""127.0.0.1 and ::1, as the system's tables write them."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One that may be a node. ``home`` is its alone."""

    name: str
    home: Path
    net: Lan

    @property
    def address(self) -> str:
        """Where others reach it."""
        return self.net.address(self.name)

    def types(self, *argv: str) -> Ran:
        """A command of ours on this machine."""
        environment = {**os.environ, "ORCHESTRATOR_HOME": str(self.home), "ORCHESTRATOR_SERVERS": ""}
        inside = self.net.inside(self.name, command(*argv))
        ended = subprocess.run(
            inside, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def does(self, *argv: str) -> str:
        """A command that goes well; what it says."""
        ran = self.types(*argv)
        assert ran.code == 0, (self.name, argv, ran)
        return ran.out

    def client(self) -> RuntimeClient:
        """Its runtime, asked over its socket file, which is no part of the network."""
        return RuntimeClient(LocalHost(self.home).folders(make=False))

    def open_ports(self) -> set[int]:
        """Those at which its processes listen for other machines, as the system says."""
        process = self.client().about()["pid"]
        found = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{process}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                address, port = local.split(":")
                if state == _LISTENS and address not in _LOOPBACK:
                    found.add(int(port, 16))
        return found


@contextmanager
def machines(root: Path, names: Sequence[str]) -> Iterator[dict[str, Machine]]:
    """Machines on one network. In the end their runtimes are stopped, and the network is gone."""
    with lan(names) as net:
        found = {name: Machine(name, root / name, net) for name in names}
        for each in found.values():
            each.home.mkdir(mode=0o700)
        try:
            yield found
        finally:
            net.heal()
            for each in reversed(found.values()):
                each.types("runtime", "stop")


def founded(found: dict[str, Machine]) -> None:
    """The first machine begins a fleet, the others join it, and the runtimes of all run, as `docs/mesh.md` has a person do it."""
    first, *others = found.values()
    first.does("node", "init", "--name", first.name)
    first.does("runtime", "start")
    for each in others:
        line = first.does("node", "invite").split()
        token = next(word for word in line if word.startswith("orc1-"))
        each.does("node", "join", token, "--name", each.name)
        each.does("runtime", "start")
