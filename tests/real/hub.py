"""A registry of models as llama-server downloads from it, with one file, in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40
FILE = "tiny-Q4_K_M.gguf"


class Hub(ThreadingHTTPServer):
    """Sends ``content`` under the SHA-256 that it has ``announced``; half of it, and then a trickle until it may ``go_on``."""

    daemon_threads = True

    def __init__(self, content: bytes, announced: str, go_on: threading.Event | None) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.content = content
        self.announced = announced
        self.go_on = go_on


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def _answer(self, *, body: bool) -> None:
        size = len(self.server.content)
        if "/resolve/" in self.path:
            self._file(body=body)
        elif "/refs" in self.path:
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}
            self._json({"branches": [branch], "tags": [], "converts": []})
        elif "/tree/" in self.path:
            large = {"oid": self.server.announced, "size": size, "pointerSize": 133}
            self._json([{"type": "file", "oid": "b" * 40, "size": size, "path": FILE, "lfs": large}])
        else:
            self._json({"ggufFile": {"rfilename": FILE, "size": size}})

    def _json(self, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _file(self, *, body: bool) -> None:
        content = self.server.content
        self.send_response(200)
        self.send_header("ETag", f'"{self.server.announced}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        half = len(content) // 2
        self.wfile.write(content[:half])
        self.wfile.flush()
        rest = memoryview(content)[half:]
        while self.server.go_on is not None and rest and not self.server.go_on.wait(0.05):
            self.wfile.write(rest[:512])  # a client looks whether it is to end whenever something comes
            rest = rest[512:]
        self.wfile.write(rest)


@contextmanager
def hub(content: bytes, announced: str, go_on: threading.Event | None = None) -> Iterator[str]:
    """Its address, while it runs."""
    server = Hub(content, announced, go_on)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        if go_on is not None:
            go_on.set()
        server.shutdown()
        server.server_close()
