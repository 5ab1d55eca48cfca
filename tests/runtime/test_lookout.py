"""A command and the runtime each look for models by their own environment: where these differ, it is said who looks where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.app.lookout import looks_at, told_apart
from tests.cli.commands import Ran, apart
from tests.runtime.living import Home

MANIFEST = """
metadata: {name: kiosk}
deployment:
  type: single-device
  models: [{alias: qwen2.5-0.5b, provider: onnx}]
  agents: [{name: desk, instructions: Answer in one sentence.}]
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one ONNX model."""
    (tmp_path / "models" / "qwen2.5-0.5b").mkdir(parents=True)
    (tmp_path / "models" / "qwen2.5-0.5b" / "genai_config.json").write_text('{"model": {"context_length": 2048}}')
    return tmp_path / "models"


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    """One model in a folder, one agent."""
    (tmp_path / "kiosk.yaml").write_text(MANIFEST)
    return str(tmp_path / "kiosk.yaml")


def test_a_folder_that_only_the_shell_names_is_told_with_who_looks_where(
    home: Home, models: Path, manifest: str
) -> None:
    """By plan, apply and what lists models: the plan alone would say to put a model where one is."""
    pid = home.start().about()["pid"]
    told = f"note: ONNX_MODELS: this command looks at {models}, but what is applied is served by the runtime (process {pid})"
    for words in (["plan", manifest], ["apply", manifest], ["models", "list"]):
        ran = apart(*words, environment={"ONNX_MODELS": str(models)})
        assert f"{told}, which has looked at nothing since its start" in ran.err, words
    assert told not in apart("plan", manifest).err


def test_a_folder_that_only_the_runtime_names_is_listed(home: Home, models: Path, manifest: str) -> None:
    """Its models are used by what is applied; doctor says by whose look. An address is made of no model in a folder."""
    home.start(ONNX_MODELS=str(models))

    def asked(*words: str) -> Ran:
        ran = apart(*words, environment={"ONNX_MODELS": ""})
        assert ran.code == 0
        return ran

    assert "ONNX_MODELS" not in asked("apply", manifest).err
    (server,) = json.loads(asked("models", "list", "--json").out)["servers"]
    assert (server["url"], server["models"][0]["applied"]) == (f"onnx://localhost{models}", ["kiosk: qwen2.5-0.5b"])
    assert (
        "ONNX_MODELS: this command looks at nothing, but what is applied is served by" in asked("doctor", manifest).out
    )


def test_what_differs_is_told_by_variable() -> None:
    """By where each leads: written in another way it is the same, and the usual address need not be written at all."""
    about = {"pid": 7, "looks_at": looks_at({"OLLAMA_HOST": ":11434", "VLLM_URL": "box:1"}, None)}
    assert (
        told_apart(looks_at({"OLLAMA_HOST": "http://127.0.0.1:11434", "VLLM_URL": "http://box:1/v1"}, None), about)
        == []
    )
    (vllm,) = told_apart(looks_at({}, None), about)
    assert vllm.startswith(
        "VLLM_URL: this command looks at http://127.0.0.1:8000, but what is applied is served by the "
    )
    (servers,) = told_apart(looks_at({}, ["http://127.0.0.1:9"]), about)
    assert "looks at http://127.0.0.1:9, but" in servers and "has looked at the usual places since" in servers
    assert told_apart(looks_at({}, None), {"pid": 7}) == []  # an older runtime does not tell
