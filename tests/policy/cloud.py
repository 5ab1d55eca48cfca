"""Two model servers over HTTP, one near and one that stands for the cloud, which keeps every byte that it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_protocol import Connection, HttpRequest
from orchestrator.testing.http_shell import HttpShell


class Keeping(HttpShell):
    """Serves as its shell does, and keeps each request: its line, its headers and its body, as they came."""

    def __init__(self, endpoint: SimulatedEndpoint) -> None:
        super().__init__(endpoint, "openai")
        self.came: list[str] = []

    def serve(self, connection: Connection, request: HttpRequest) -> None:
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        self.came.append(f"{request.method} {request.path}\n{headers}\n\n{request.body.decode('utf-8', 'replace')}")
        super().serve(connection, request)

    def got(self, text: str) -> list[str]:
        """The requests that hold this text anywhere, also as JSON escapes it."""
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in text)
        return [each for each in self.came if text in each or escaped in each]

    @property
    def asked(self) -> list[str]:
        """The requests that ask for something: no listing of models."""
        return [each for each in self.came if each.startswith("POST")]


@dataclass
class Servers:
    """What a deployment is served by."""

    near: Keeping
    far: Keeping


@asynccontextmanager
async def servers(near: SimulatedEndpoint, far: SimulatedEndpoint) -> AsyncIterator[Servers]:
    """Both on ports of this process, while the block runs."""
    async with AsyncExitStack() as stack:
        made = Servers(Keeping(near), Keeping(far))
        for shell in (made.near, made.far):
            await shell.start()
            stack.push_async_callback(shell.stop)
        yield made
