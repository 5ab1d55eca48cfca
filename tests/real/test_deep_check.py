"""Deep checks on real servers: one with its model gets them, one that would load a model for them gets none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import open_in_process
from scripts.build_llama_server import cache_folder
from tests.real.llama import LlamaServers
from tests.real.serving import QUIET, metric, until
from tests.real.tiny_model import CHATTY, make

pytestmark = pytest.mark.anyio

MANIFEST = """
metadata: {name: desk}
deployment:
  type: single-device
  models:
    - {alias: one, provider: llama-cpp, model: tiny, endpoint: "ONE"}
    - {alias: many, provider: llama-cpp, model: alpha, endpoint: "MANY"}
  agents:
    - {name: sales, model: one, instructions: You sell., max_tokens: 8, examples: [buy a drill]}
    - {name: help, model: many, instructions: You help., max_tokens: 8, examples: [it is broken]}
"""


async def test_an_idle_server_is_asked_for_a_token_and_a_router_loads_nothing_for_it(
    llama_server: LlamaServers, tmp_path: Path
) -> None:
    """The first writes a token for each check; the other still has nothing in memory after three of them."""
    models, path = tmp_path / "models", tmp_path / "desk.yaml"
    models.mkdir()
    shutil.copy(make(CHATTY, cache_folder()), models / "alpha.gguf")
    router, plain = llama_server.router(models), llama_server(CHATTY, alias="tiny")
    path.write_text(MANIFEST.replace("ONE", plain.url).replace("MANY", router.url), encoding="utf-8")
    blueprint = compile_files([str(path)], environment={}).blueprint
    settings = Settings.read({**QUIET, "ORCHESTRATOR_DEEP_CHECK": "0.2s"})
    written = metric(plain, "tokens_predicted_total")
    async with open_in_process(blueprint, state=tmp_path / "state", settings=settings) as desk:
        assert {view.state for view in desk.planes.loop.snapshot()} <= {"unknown", "live"}
        await until(lambda: metric(plain, "tokens_predicted_total") >= written + 3)
    assert [model["status"]["value"] for model in router.get("/models").json["data"]] == ["unloaded"]
