"""``orchestrator plan`` of an unchanged manifest, before and after a server that loads on request has the model in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.testing.lifecycle.store import StoredModel
from tests.cli.commands import Ran, apart
from tests.cli.shop import Shop

MANIFEST = """
metadata: {{name: desk}}
deployment:
  type: single-device
  resources: {resources}
  models: [{{alias: llama-3.2-1b, provider: ollama, endpoint: "{url}"}}]
  agents: [{{name: clerk, instructions: Answer in one sentence.}}]
"""
LOOKS: dict[str, str] = {"ORCHESTRATOR_LOOK_EVERY": "0.2s"}


@pytest.fixture(autouse=True)
def stopped(shop: Shop) -> Iterator[None]:
    """No runtime stays; it ends before the server that it asks."""
    del shop
    yield
    apart("runtime", "stop")


def types(shop: Shop, *words: str) -> Ran:
    ran = apart(*words, environment={"ORCHESTRATOR_SERVERS": shop.url, **LOOKS})
    assert ran.code == 0, ran.err
    return ran


@pytest.mark.parametrize("resources", ["{max_memory_usage: 8GB}", "{auto_unload_idle_models: false}"])
def test_a_plan_says_the_same_after_its_model_is_loaded(shop: Shop, tmp_path: Path, resources: str) -> None:
    """The context that the server tells only now makes no other version, at once or after the runtime's next looks, nor after the
    model is gone again: the revision stays the first."""
    shop.store.loaded.clear()
    shop.store.installed["llama3.2:1b"] = StoredModel("llama3.2:1b", 1_321_098_329)
    file = tmp_path / "desk.yaml"
    file.write_text(MANIFEST.format(url=shop.url, resources=resources))
    types(shop, "apply", str(file))
    before = types(shop, "plan", str(file)).out
    assert "nothing to do" in before
    assert types(shop, "run", "desk", "hello").out
    shop.store.loaded.setdefault("llama3.2:1b", 4096)  # where nobody asks for it, this double loads nothing by itself
    assert types(shop, "plan", str(file)).out == before
    time.sleep(1.0)  # five looks of the runtime: nothing is to be seen of them, that is what is tested
    assert types(shop, "plan", str(file)).out == before
    shop.store.loaded.clear()
    time.sleep(1.0)  # as above
    assert types(shop, "plan", str(file)).out == before
    (deployment,) = json.loads(types(shop, "status", "desk", "--json").out)["deployments"]
    assert deployment["revision"] == 1
