"""A model server that says the same always, in a process of its own: ``python -m benchmarks.canned [DELAY]``.

It speaks just enough HTTP and costs little, so that what is measured is the client. Its first line of output is its port.
A request that asks for a route (a JSON Schema of that name) gets one; every other gets a sentence.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ROUTE = '{"agent": "sales"}'
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
ANSWER = "Yes, we have three of them in aisle 12."


def _answer(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "canned",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 12, "total_tokens": 412},
    }
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


class Canned(asyncio.Protocol):
    """One connection."""

    delay = 0.0
    route, answer = _answer(ROUTE), _answer(ANSWER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.got = b""

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, found, rest = self.got.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self.got = b""
        if b"/chat/completions " not in head.partition(b"\r\n")[0]:
            self._send(NOT_FOUND)
            return
        reply = self.route if b'"name":"route"' in rest else self.answer
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._send, reply)
        else:
            self._send(reply)

    def _send(self, reply: bytes) -> None:
        assert isinstance(self.transport, asyncio.WriteTransport)
        if not self.transport.is_closing():
            self.transport.write(reply)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def canned_server(delay: float = 0.0) -> Iterator[str]:
    """Its base URL while it runs. ``delay`` is seconds before each answer."""
    command = [sys.executable, "-m", "benchmarks.canned", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


if __name__ == "__main__":
    Canned.delay = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    asyncio.run(_serve())
