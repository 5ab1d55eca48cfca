"""The client's patience counts for a whole answer, however many lines it comes in."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.app.patience import Patience, SocketConnection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"


@pytest.fixture
def dripping(tmp_path: Path) -> Iterator[Path]:
    """A server that sends a line every 50 ms, for ever."""
    path, over = tmp_path / "s", threading.Event()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(HEAD)
            while not over.wait(0.05):
                try:
                    connection.sendall(b"{}\n")
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    yield path
    over.set()
    thread.join()
    server.close()


def test_an_answer_that_moves_may_take_long_and_one_that_stands_still_may_not(dripping: Path) -> None:
    """A sign of life a while is enough, as long as no limit was given."""
    connection = SocketConnection(dripping, Patience(silence=0.4))
    connection.request("GET", "/")
    response = connection.getresponse()
    lines = iter(response.readline, b"")
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        assert next(lines) == b"{}\n"
    response.close()
    connection.close()


def test_an_answer_that_drips_ends_in_time(dripping: Path) -> None:
    """Each read is quick; the whole is not waited for longer than asked."""
    connection = SocketConnection(dripping, Patience(10.0, limit=0.4))
    began = time.monotonic()
    connection.request("GET", "/")
    response = connection.getresponse()
    with pytest.raises(TimeoutError):
        list(iter(response.readline, b""))
    assert time.monotonic() - began < 5
    response.close()
    connection.close()
