"""Two models on a real llama-server that routes, with memory for one: who is asked is loaded, the other makes room."""

from __future__ import annotations

import shutil
from pathlib import Path

import anyio.to_thread
import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import open_in_process
from orchestrator.core.event import Event
from orchestrator.core.request import Request
from scripts.build_llama_server import cache_folder
from tests.deploy.fakes import until
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.tiny_model import CHATTY, TinyModel, make

pytestmark = pytest.mark.anyio

MANIFEST = """
metadata: {name: desk}
deployment:
  type: single-device
  resources: {max_memory_usage: 8GB}
  models:
    - {alias: small, provider: llama-cpp, model: alpha, endpoint: "URL", memory: 5GB, keep_alive: 2s}
    - {alias: large, provider: llama-cpp, model: beta, endpoint: "URL", memory: 6GB}
  agents:
    - {name: sales, model: small, instructions: You sell., max_tokens: 8, examples: [buy a drill]}
    - {name: help, model: large, instructions: You help., max_tokens: 8, examples: [it is broken]}
"""


@pytest.fixture(scope="module")
def router(llama_server: LlamaServers, tmp_path_factory: pytest.TempPathFactory) -> LlamaServer:
    """A router with two models, that would keep both in memory."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(make(CHATTY, cache_folder()), folder / "alpha.gguf")
    shutil.copy(make(TinyModel(seed=1), cache_folder()), folder / "beta.gguf")
    return llama_server.router(folder, "--models-max", "2")


def _loaded(router: LlamaServer) -> list[str]:
    """What the server itself says that it has in memory."""
    models = router.get("/models").json["data"]
    return sorted(model["id"] for model in models if model["status"]["value"] == "loaded")


async def test_the_models_of_a_real_router_take_turns(router: LlamaServer, tmp_path: Path) -> None:
    """The server would keep both; the limit of the manifest holds, and each request is answered by a loaded model."""
    path, events = tmp_path / "desk.yaml", list[Event]()
    path.write_text(MANIFEST.replace("URL", router.url), encoding="utf-8")
    blueprint = compile_files([str(path)], environment={}).blueprint
    settings = Settings.read({"ORCHESTRATOR_LOOK_EVERY": "0.5"})
    async with open_in_process(blueprint, state=tmp_path / "state", settings=settings, emit=events.append) as desk:
        for agent, model in (("sales", "alpha"), ("help", "beta"), ("sales", "alpha")):
            result = await desk.run(Request("hello", agent=agent))
            assert result.error is None
            assert any("load_ms" in step.detail for step in result.steps)
            assert await anyio.to_thread.run_sync(_loaded, router) == [model]
        await until(lambda: [event.kind for event in events].count("model.unloaded") == 3, 20.0)  # small rests for 2 s
        assert await anyio.to_thread.run_sync(_loaded, router) == []
    told = [
        (event.kind, event.fields["model"].rpartition("/")[2]) for event in events if event.kind.startswith("model.")
    ]
    assert told == [
        ("model.loading", "alpha"),
        ("model.loaded", "alpha"),
        ("model.unloaded", "alpha"),
        ("model.loading", "beta"),
        ("model.loaded", "beta"),
        ("model.unloaded", "beta"),
        ("model.loading", "alpha"),
        ("model.loaded", "alpha"),
        ("model.unloaded", "alpha"),
    ]
