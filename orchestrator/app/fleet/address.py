"""By which address others reach this machine."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from orchestrator.core.errors import UsageError
from orchestrator.plugins.sidecars.nats_conf import is_loopback

_DOCUMENTATION: Final = ("192.0.2.1", 9)
"""An address that is nobody's: nothing is sent to it, the system only says which way it would go."""
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"({_LABEL}\.)*(?![0-9]+\.?\Z){_LABEL}\.?", re.IGNORECASE | re.ASCII)
"""The name of a host (RFC 1123, 2.1). One that ends in a number is an address, or nothing."""
_LONGEST: Final = 253
_MOST: Final = 65535


def own_address() -> str:
    """The address of the way out; where there is none, as in a network of its own, the only one that this machine has; loopback
    where it is in no network. Raises ``UsageError`` where there are several and nothing says which others come by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_DOCUMENTATION)
            return str(sock.getsockname()[0])
        except OSError:
            return _only_one()


def check_address(host: str) -> None:
    """Raises ``UsageError`` for what no machine can be reached by."""
    why = _fault_of(host)
    if why:
        raise UsageError(
            f"--address {host!r} {why}",
            cure="write the name or the number by which others reach this machine, without a port: hub.local, 192.168.1.10",
        )


def _fault_of(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return "" if _HOST.fullmatch(host) and len(host) <= _LONGEST else "is no name and no number of a machine"
    return "is the number of no machine" if address.is_unspecified or address.is_multicast else ""


def check_ports(ports: Mapping[str, tuple[int, int]]) -> None:
    """Of options for ports, each with what it is and what it is where it is left out. Raises ``UsageError`` for a number that is no
    port, and where two are one."""
    used: dict[int, str] = {}
    for option, (port, usual) in ports.items():
        if not 1 <= port <= _MOST:
            raise UsageError(
                f"{option} is {port}, which is no port",
                cure=f"write a number from 1 to {_MOST}, or leave it out: it is {usual} then",
            )
        if other := used.get(port):
            raise UsageError(
                f"{other} and {option} are both {port}, and one port serves one thing",
                cure=f"write another number for one of them; without them they are {ports[other][1]} and {usual}",
            )
        used[port] = option


def _only_one() -> str:
    import psutil

    found = sorted(
        each.address
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family == socket.AF_INET and not is_loopback(f"{each.address}:0")
    )
    if len(found) > 1:
        raise UsageError(
            f"this machine has several addresses and no way out that says by which others reach it: {', '.join(found)}",
            cure=f"name it: orchestrator node init --address {found[0]}",
        )
    return found[0] if found else "127.0.0.1"
