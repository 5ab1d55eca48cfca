"""Bind what is listened on: loopback ports, and a private socket file. A fault says who is in the way."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

from orchestrator.core.errors import DeployError, PortTaken, StateUnusable
from orchestrator.core.hosts import in_url
from orchestrator.deploy.free_port import holder_of, named

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
OWN: Final = "choose another port, or leave `serve.port` out: the runtime answers for all deployments there"
MOST_TRIES: Final = 50
"""Ports that are tried one after the other where none was asked for."""


def bind_port(host: str, port: int) -> socket.socket:
    """A bound socket, on loopback only. Raises ``PortTaken`` that names who has the port."""
    if host not in LOOPBACK:
        raise DeployError(f"nothing listens on {host}: only on loopback", cure="use 127.0.0.1, ::1 or localhost")
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is told; with it on, each answer waits 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1)  # two sockets can be bound to one port until one of them listens
    except OSError as error:
        sock.close()
        raise _translated(error, host, port) from error
    sock.setblocking(False)
    return sock


def bind_first_free(host: str, first: int) -> socket.socket:
    """The first free port from ``first`` on."""
    for port in range(first, first + MOST_TRIES):
        try:
            return bind_port(host, port)
        except PortTaken:
            continue
    raise PortTaken(f"ports {first} to {first + MOST_TRIES - 1} are all taken", cure="set ORCHESTRATOR_PORT")


def taken_by(host: str, port: int) -> str:
    """Why a port cannot be had, with who has it; an empty text where it is free."""
    try:
        bind_port(host, port).close()
    except PortTaken as error:
        return error.message
    except DeployError as error:
        return error.message
    return ""


def bind_private(path: Path) -> socket.socket:
    """A socket file with mode 0600. One that a killed process left is replaced; one that answers is left alone.

    Raises ``DeployError`` where another process answers there, ``StateUnusable`` where the file cannot be made.
    """
    try:
        _clear(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        except OSError:
            sock.close()
            raise
        finally:
            os.umask(before)
    except OSError as error:
        raise StateUnusable(f"the socket {path} cannot be made: {error.strerror or error}") from error
    sock.listen(1)
    sock.setblocking(False)
    return sock


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StateUnusable(f"{path} is there and is no socket", cure=f"move {path} away")
    if answers(path):
        raise DeployError(f"another process answers at {path}", cure="orchestrator runtime status")
    path.unlink()


def answers(path: Path) -> bool:
    """Whether a process accepts connections at a socket file. Raises ``OSError`` where that cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (BlockingIOError, TimeoutError):  # the first on Linux
            return True  # its backlog is full: somebody is there
    return True


def _translated(error: OSError, host: str, port: int) -> DeployError:
    if error.errno == errno.EADDRINUSE:
        pid = holder_of(port)
        if pid == os.getpid():
            return PortTaken(f"port {port} is taken by the runtime itself", cure=OWN)
        return PortTaken(f"port {port} is taken{named(pid)}", cure="choose another port, or stop that process")
    if error.errno == errno.EACCES:
        return PortTaken(f"this user may not listen on port {port}", cure="choose a port above 1023")
    return DeployError(f"cannot listen on {in_url(host)}:{port}: {error.strerror}", cure="choose another host or port")
