"""Deployments on real llama.cpp servers, opened in this process, and what the servers themselves say of the work."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio

import orchestrator
from orchestrator.app.api import Opened
from tests.real.llama import LlamaServer
from tests.real.tiny_model import TinyModel

ENDLESS = TinyModel(stop_bias=-30.0)
"""It never ends an answer by itself."""
LONG = ("--override-kv", "qwen3.context_length=int:131072")
"""For a server with more context than the model was made for: an answer then lasts for minutes."""
QUIET = {"ORCHESTRATOR_SERVERS": "", "ORCHESTRATOR_LOOK_EVERY": "0.3s"}
"""No other servers of this machine; the named ones are looked at often."""

FRONT_DESK = """\
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
  agents:
    - {name: front, role: router, strategy: intent, model: tiny, routes: [billing, technical, sales]}
    - {name: billing, description: Bills and payments., instructions: You answer bills., model: tiny, max_tokens: 40}
    - {name: technical, description: Faults and repairs., instructions: You mend., model: tiny, max_tokens: 40}
    - {name: sales, description: Offers and prices., instructions: You sell., model: tiny, max_tokens: 40}
"""


def write(folder: Path, text: str, **servers: LlamaServer) -> Path:
    """A manifest in which ``$NAME`` is the address of that server."""
    for name, server in servers.items():
        text = text.replace(f"${name.upper()}", server.url)
    path = folder / "deployment.yaml"
    path.write_text(text)
    return path


def opened(manifest: Path) -> AbstractAsyncContextManager[Opened]:
    """The deployment of a manifest; its tools' stores are beside it."""
    return orchestrator.open(manifest, environment=QUIET, state=manifest.parent / "state")


def metric(server: LlamaServer, name: str) -> int:
    """One of the server's own counters."""
    found = re.search(rf"^llamacpp:{name} (\S+)$", server.get("/metrics").text, re.MULTILINE)
    assert found is not None, f"no metric {name}"
    return int(float(found[1]))


def tokens_counted_by(server: LlamaServer) -> tuple[int, int]:
    """Tokens of prompts (those it had kept from earlier ones too), and tokens that it wrote."""
    read = metric(server, "prompt_tokens_total") + metric(server, "prompt_tokens_cached_total")
    return read, metric(server, "tokens_predicted_total")


def working(server: LlamaServer) -> int:
    """How many of the server's slots work."""
    slots: list[dict[str, Any]] = server.get("/slots").json
    return sum(slot["is_processing"] for slot in slots)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another process does."""
    with anyio.fail_after(seconds):
        while not await anyio.to_thread.run_sync(condition):  # noqa: ASYNC110 - the condition is another process's
            await anyio.sleep(0.01)
