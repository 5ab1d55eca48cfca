"""Machines of a test, each a network namespace with one cable to a switch; nothing of the network of the host itself is touched."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

IP: Final = shutil.which("ip") or ""
SWITCH: Final = Path(__file__).with_name("switch.py")
_CARD: Final = "eth0"
_SECONDS: Final = 20.0


def missing() -> str:
    """Why namespaces cannot be made here; empty where they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are of Linux"
    if not IP:
        return "the program `ip` is missing (Debian package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces are made as root: sudo make test-mesh"
    name = f"orc-{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", name)
        try:
            _ip("link", "add", "name", "a", "netns", name, "type", "veth", "peer", "name", "b", "netns", name)
        finally:
            _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces with veth cannot be made here: {error.stderr.strip()}"
    return ""


@dataclass(frozen=True, slots=True)
class Lan:
    """Machines by name, the first at 10.77.0.1 of this network alone."""

    prefix: str
    names: tuple[str, ...]
    switch: subprocess.Popen[str]

    def address(self, name: str) -> str:
        """Where others reach it."""
        return f"10.77.0.{self.names.index(name) + 1}"

    def inside(self, name: str, argv: Sequence[str]) -> list[str]:
        """A command, as it is run on that machine."""
        return [IP, "netns", "exec", self._space(name), *argv]

    def cable(self, name: str, *, plugged: bool) -> None:
        """Pull out the cable of a machine, or plug it in."""
        _ip("-n", self._space("switch"), "link", "set", "dev", name, "up" if plugged else "down")

    def lose(self, name: str, *, come: float = 0.0, go: float = 0.0) -> None:
        """From now on this part of the packets that are to come to that machine is lost, and of those that go from it."""
        for way, part in (("from", go), ("to", come)):
            _writer(self.switch).write(f"{name} {way} {part}\n")
            _writer(self.switch).flush()
            _done(self.switch)

    def routes(self, name: str) -> str:
        """The ways that the system of a machine knows."""
        return _ip("-n", self._space(name), "route")

    def heal(self) -> None:
        """All cables are in, and nothing is lost."""
        for name in self.names:
            self.cable(name, plugged=True)
            self.lose(name)

    def _space(self, name: str) -> str:
        return f"{self.prefix}-{name}"


@contextmanager
def lan(names: Sequence[str]) -> Iterator[Lan]:
    """The machines and their switch; in the end nothing of them is left."""
    prefix = f"orc-{secrets.token_hex(3)}"
    spaces = [f"{prefix}-{name}" for name in (*names, "switch")]
    made: list[str] = []
    try:
        for space in spaces:
            _ip("netns", "add", space)
            made.append(space)
        for number, name in enumerate(names, 1):
            _plug(spaces[-1], f"{prefix}-{name}", name, number)
        argv = [IP, "netns", "exec", spaces[-1], sys.executable, str(SWITCH), *names]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as switch:
            try:
                _done(switch)
                yield Lan(prefix, tuple(names), switch)
            finally:
                _writer(switch).close()  # that ends it
                switch.wait(_SECONDS)
    finally:
        for space in made:
            _ip("netns", "del", space)


def _plug(switch: str, space: str, name: str, number: int) -> None:
    _ip("link", "add", "name", name, "netns", switch, "type", "veth", "peer", "name", _CARD, "netns", space)
    _ip("-n", switch, "link", "set", "dev", name, "addrgenmode", "none", "up")
    _ip("-n", space, "link", "set", "lo", "up")
    _ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", _CARD)
    _ip("-n", space, "link", "set", _CARD, "addrgenmode", "none", "gso_max_segs", "1", "up")


def _done(switch: subprocess.Popen[str]) -> None:
    if switch.stdout is None or switch.stdout.readline() != "done\n":
        raise RuntimeError("the switch between the machines of this test has ended")


def _writer(switch: subprocess.Popen[str]) -> IO[str]:
    if switch.stdin is None:
        raise RuntimeError("the switch between the machines of this test has no input")
    return switch.stdin


def _ip(*words: str) -> str:
    ran = subprocess.run([IP, *words], check=True, capture_output=True, text=True, timeout=_SECONDS)
    return ran.stdout
