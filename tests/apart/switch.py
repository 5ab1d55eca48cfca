"""A switch between machines, as a program: it carries Ethernet frames between the ports that it is given, and loses what
it is told to.

Kernels without netem can lose packets so, one way too. It runs in a namespace that has nothing but the ports.
A line ``PORT from 0.2`` has it lose a fifth of what comes from that port, ``PORT to 0.2`` of what goes to it; it answers ``done``.
"""

from __future__ import annotations

import random
import select
import socket
import sys
from dataclasses import dataclass, field
from typing import Final

_ALL: Final = 0x0003
_SOL_PACKET, _IGNORE_OUTGOING, _VNET_HDR = 263, 23, 15
_HEADER: Final = 10
"""Bytes before each frame, of the kernel: what is left to do for its checksum and its segments. Passed on as it came."""
_LARGEST: Final = _HEADER + 14 + 65536
_GROUP: Final = 1
"""The bit of an address that means more than one machine."""
_BUFFER: Final = 8 * 1024 * 1024


@dataclass(eq=False)
class Port:
    """One cable. ``lost``: which part of the frames ``from`` and ``to`` the machine at its other end."""

    name: str
    socket: socket.socket
    lost: dict[str, float] = field(default_factory=lambda: {"from": 0.0, "to": 0.0})

    @classmethod
    def open(cls, name: str) -> Port:
        """Listen at a network interface of this namespace. Raises ``OSError``."""
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sock.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.bind((name, _ALL))
        sock.setblocking(False)
        return cls(name, sock)

    def loses(self, way: str) -> bool:
        """Whether the next frame is lost."""
        return random.random() < self.lost[way]


@dataclass
class Switch:
    """The ports, and at which one an address was seen last."""

    ports: dict[str, Port]
    seen: dict[bytes, Port] = field(default_factory=dict)

    def run(self) -> None:
        """Until the input ends."""
        poll = select.poll()
        by_number = {port.socket.fileno(): port for port in self.ports.values()}
        for number in (sys.stdin.fileno(), *by_number):
            poll.register(number, select.POLLIN)
        while True:
            for number, _ in poll.poll():
                if number in by_number:
                    self._carry_all(by_number[number])
                elif not self._told(sys.stdin.readline()):
                    return

    def _told(self, line: str) -> bool:
        if not line:
            return False
        name, way, part = line.split()
        self.ports[name].lost[way] = float(part)
        sys.stdout.write("done\n")
        sys.stdout.flush()
        return True

    def _carry_all(self, port: Port) -> None:
        while True:
            try:
                frame = port.socket.recv(_LARGEST)
            except (BlockingIOError, OSError):  # nothing more; or the cable is out: then it comes back or not
                return
            target, source = frame[_HEADER : _HEADER + 6], frame[_HEADER + 6 : _HEADER + 12]
            self.seen[source] = port
            if port.loses("from"):
                continue
            known = None if target[0] & _GROUP else self.seen.get(target)
            for other in [known] if known else self.ports.values():
                if other is not port and not other.loses("to"):
                    self._send(other, frame)

    def _send(self, port: Port, frame: bytes) -> None:
        try:
            port.socket.send(frame)
        except OSError:
            return  # the cable is out, or its other end is full: it is lost, as in any switch


def main(names: list[str]) -> None:
    """Carry frames between these interfaces."""
    switch = Switch({name: Port.open(name) for name in names})
    sys.stdout.write("done\n")
    sys.stdout.flush()
    switch.run()


if __name__ == "__main__":
    main(sys.argv[1:])
