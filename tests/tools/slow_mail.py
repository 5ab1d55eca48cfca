"""A mail server that never lets a single step be late, and never comes to an end."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SlowMail(socketserver.ThreadingTCPServer):
    """Says a byte of its greeting now and then; ``ended`` is set when a line to it has ended."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Slow)
        self.ended = threading.Event()

    @property
    def smtp(self) -> dict[str, object]:
        """How it is reached."""
        return {"host": "127.0.0.1", "port": self.server_address[1], "starttls": False}


class _Slow(socketserver.BaseRequestHandler):
    server: SlowMail

    def handle(self) -> None:
        try:
            while not self.server.ended.wait(0.01):
                self.request.sendall(b"2")
        except OSError:
            self.server.ended.set()


@contextmanager
def slow_mail() -> Iterator[SlowMail]:
    """It serves while the block runs."""
    with SlowMail() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()
