"""What a real server takes to hand one heartbeat on to many, part of ``benchmarks/scale.py``.

Method: one nats-server, connections that listen and throw away what comes (in a thread, so that they take little), and one that
sends heartbeats as fast as they are taken. CPU time of the server, for each letter that it handed on."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from benchmarks.measure import Row, cpu_of
from orchestrator.deploy.free_port import free_port
from orchestrator.plugins.sidecars.nats_server import find_server

LISTENERS: Final = 100
BEATS: Final = 10_000
SIZE: Final = 223
LOOPBACK: Final = "127.0.0.1"


def rows() -> Iterator[Row]:
    """The figures."""
    with server() as (port, process):
        listeners = [_connected(port, b"SUB hb.* 1\r\n") for _ in range(LISTENERS)]
        got = [0]
        drain = threading.Thread(target=_drain, args=(listeners, got), daemon=True)
        drain.start()
        body = b"x" * SIZE
        letter = b"HPUB hb.node-1 18 %d\r\nNATS/1.0\r\nV: 1\r\n\r\n%s\r\n" % (18 + SIZE, body)
        sender = _connected(port, b"")
        before, begun = cpu_of(process), time.perf_counter()
        for _ in range(BEATS // 100):
            sender.sendall(letter * 100)
        drain.join(60)
        took, spent = time.perf_counter() - begun, cpu_of(process) - before
        bytes_each = got[0] / (BEATS * LISTENERS)
        yield Row(f"one server to {LISTENERS} listeners: letters handed on", BEATS * LISTENERS / took, "/s")
        yield Row(
            f"one server to {LISTENERS} listeners: computing of the server",
            spent / BEATS / LISTENERS * 1e6,
            "us a letter",
        )
        yield Row("a heartbeat of five agents on the wire, without TLS and TCP", bytes_each, "bytes")
        for each in (*listeners, sender):
            each.close()


@contextmanager
def server() -> Iterator[tuple[int, psutil.Process]]:
    """A server of its own."""
    port = free_port(LOOPBACK)
    with tempfile.TemporaryDirectory() as folder:
        argv = [str(find_server(os.environ)), "-a", LOOPBACK, "-p", str(port)]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            _wait(port)
            yield port, psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()


def _wait(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((LOOPBACK, port)).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def _connected(port: int, words: bytes) -> socket.socket:
    line = socket.create_connection((LOOPBACK, port))
    line.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n' + words + b"PING\r\n")
    told = b""
    while b"PONG\r\n" not in told:
        told += line.recv(4096)
    return line


def _drain(lines: list[socket.socket], got: list[int]) -> None:
    """Until each has had all letters: their bytes are counted."""
    wanted, had = BEATS * SIZE * len(lines), 0
    with selectors.DefaultSelector() as ready:
        for line in lines:
            line.setblocking(False)
            ready.register(line, selectors.EVENT_READ)
        while had < wanted or ready.select(0.2):
            for key, _ in ready.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                had += len(key.fileobj.recv(1 << 20))
    got[0] = had
