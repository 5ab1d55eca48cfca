"""Ports of this device: whether one is free, one that is, and who has one."""

from __future__ import annotations

import socket
from collections.abc import Collection
from contextlib import ExitStack
from typing import Final

_ANSWERS_WITHIN: Final = 0.2
"""Seconds; on this device it takes less than one thousandth."""


def free_port(host: str, before: int = 0) -> int:
    """A port that nobody has now; the one that it had ``before``, where that is still free."""
    if before and is_free(host, before):
        return before
    with socket.create_server((_bindable(host), 0), family=_family(host)) as sock:
        port: int = sock.getsockname()[1]
        return port


def free_ports(host: str, count: int, but: Collection[int] = ()) -> list[int]:
    """So many that nobody has now, each another one, and none of those that others are about to listen at."""
    found: list[int] = []
    with ExitStack() as held:  # what is held is not given out again
        while len(found) < count:
            sock = held.enter_context(socket.create_server((_bindable(host), 0), family=_family(host)))
            found += [port] if (port := sock.getsockname()[1]) not in but else []
    return found


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    try:
        with socket.create_server((_bindable(host), port), family=_family(host)):
            return True
    except OSError:
        return False


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there now, seen without listening there: whoever is just about to is not in our way."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWERS_WITHIN)
        return probe.connect_ex((_called(host), port)) == 0


def _called(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, _bindable(host))  # noqa: S104 - recognised, not bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bindable(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def port_of(url: str) -> int:
    """The port of a root URL that has one."""
    return int(url.rpartition(":")[2])


def holder_of(port: int) -> int | None:
    """The process that listens there, where the system tells."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
        listening = [each for each in connections if each.status == psutil.CONN_LISTEN and each.laddr]
        holders = [each.pid for each in listening if tuple(each.laddr)[1:] == (port,)]
        return next((pid for pid in holders if pid), None)
    except psutil.Error:
        return None


def named(pid: int | None) -> str:
    """`` by NAME (process N)``, where the system tells."""
    import psutil

    try:
        return f" by {psutil.Process(pid).name()} (process {pid})" if pid else ""
    except psutil.Error:
        return ""
