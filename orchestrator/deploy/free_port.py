"""Ports of this device: whether one is free, and one that is."""

from __future__ import annotations

import socket


def free_port(host: str, before: int = 0) -> int:
    """A port that nobody has now; the one that it had ``before``, where that is still free."""
    if before and is_free(host, before):
        return before
    with socket.create_server((_bindable(host), 0), family=_family(host)) as sock:
        port: int = sock.getsockname()[1]
        return port


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    try:
        with socket.create_server((_bindable(host), port), family=_family(host)):
            return True
    except OSError:
        return False


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bindable(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def port_of(url: str) -> int:
    """The port of a root URL that has one."""
    return int(url.rpartition(":")[2])
