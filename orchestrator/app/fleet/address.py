"""By which address others reach this machine."""

from __future__ import annotations

import socket
from typing import Final

import psutil

from orchestrator.core.errors import UsageError
from orchestrator.plugins.sidecars.nats_conf import is_loopback

_DOCUMENTATION: Final = ("192.0.2.1", 9)
"""An address that is nobody's: nothing is sent to it, the system only says which way it would go."""


def own_address() -> str:
    """The address of the way out; where there is none, as in a network of its own, the only one that this machine has; loopback
    where it is in no network. Raises ``UsageError`` where there are several and nothing says which others come by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_DOCUMENTATION)
            return str(sock.getsockname()[0])
        except OSError:
            return _only_one()


def _only_one() -> str:
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
