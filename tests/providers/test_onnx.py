"""ONNX models run in a process of their own: it is held to the port, and its crash ends one answer and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from orchestrator.core.errors import BadRequest, ContextTooLong, ModelNotFound, ServerFailed, Stalled
from orchestrator.core.message import Message
from orchestrator.plugins.providers.addresses import root_of, usual_places
from orchestrator.plugins.providers.discovery import discover
from orchestrator.plugins.providers.onnx.place import address_of, folder_of
from orchestrator.plugins.providers.onnx.process import Worker
from orchestrator.plugins.providers.onnx.provider import OnnxProvider, open_onnx
from orchestrator.ports.provider import ChatCall, ServedModel, Target
from orchestrator.testing.conformance import CLOCK, ProviderConformance, Subject
from tests.providers.opened import open_all

pytestmark = pytest.mark.anyio
FAKE = Path(__file__).parent / "fake_onnx"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with one model of a context of 200 tokens; the worker finds the double of the library."""
    monkeypatch.setenv("PYTHONPATH", f"{FAKE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (tmp_path / "tiny").mkdir()
    settings = {"model": {"context_length": 200}, "search": {"max_length": 200}}
    (tmp_path / "tiny" / "genai_config.json").write_text(json.dumps(settings))
    (tmp_path / "notes").mkdir()
    return address_of(str(tmp_path))


@pytest.fixture
async def provider() -> AsyncIterator[OnnxProvider]:
    opened = OnnxProvider(Worker(sys.executable))
    yield opened
    await opened.aclose()


def call_to(models: str, text: str, model: str = "tiny", **fields: object) -> ChatCall:
    return ChatCall(Target("onnx", models, model), (Message("user", text),), **{"timeout": 20.0, **fields})  # type: ignore[arg-type]


class TestOnnx(ProviderConformance):
    """The suite, on a double of the library in a real process."""

    @pytest.fixture
    async def subject(self, models: str, provider: OnnxProvider) -> Subject:
        dead = Target("onnx", "http://127.0.0.1:9", "tiny")
        return Subject(provider, models, Target("onnx", models, "tiny"), echoes=False, tools=False, dead=dead)


async def test_a_folder_is_found_like_a_server(models: str, provider: OnnxProvider) -> None:
    """With its models and their context; a folder without models, and one that is not there, are not."""
    others = open_all()
    found = await discover([provider, *others], [models, f"{models}/notes", f"{models}/missing"])
    for other in others:
        await other.aclose()
    assert [sighting.state for sighting in found.sightings] == ["served", "foreign", "absent"]
    assert found.sightings[0].models == (ServedModel("tiny", None, 200, 1, "chat"),)


async def test_a_crash_ends_one_answer_and_nothing_else(models: str, provider: OnnxProvider) -> None:
    """The signal is told with the text so far; the next call is answered by a new process."""
    with pytest.raises(ServerFailed, match="was ended by SIGSEGV") as raised:
        await provider.chat(call_to(models, "one two CRASH three"))
    assert raised.value.partial == "one two "
    assert (await provider.chat(call_to(models, "one two"))).message.content == "one two"


async def test_what_the_library_raises_is_told(models: str, provider: OnnxProvider) -> None:
    """And the process goes on."""
    with pytest.raises(ServerFailed, match="RuntimeError: out of device memory"):
        await provider.chat(call_to(models, "one RAISE"))
    assert (await provider.chat(call_to(models, "PRINT two"))).message.content == "PRINT two"


async def test_a_call_that_hangs_is_ended(models: str, provider: OnnxProvider) -> None:
    """At its deadline, and its process with it, because others wait for it."""
    with pytest.raises(Stalled):
        await provider.chat(call_to(models, "one HANG", timeout=1.5))
    assert (await provider.chat(call_to(models, "one two"))).message.content == "one two"


async def test_leaving_a_stream_frees_the_process(models: str, provider: OnnxProvider) -> None:
    """The next call is answered at once."""
    async with aclosing(provider.stream(call_to(models, "word " * 80))) as deltas:  # type: ignore[type-var]
        async for _ in deltas:
            break
    assert (await provider.chat(call_to(models, "one two"))).message.content == "one two"


async def test_limits_are_kept(models: str, provider: OnnxProvider) -> None:
    """Tokens, words that end an answer, the context; and each says so."""
    cut = await provider.chat(call_to(models, "one two three", max_tokens=2))
    assert (cut.message.content, cut.finish_reason) == ("one two ", "length")
    stopped = await provider.chat(call_to(models, "one two three", stop=("two",)))
    assert (stopped.message.content, stopped.finish_reason) == ("one ", "stop")
    within = await provider.chat(call_to(models, "one two three", stop=("o t", "e tw")))
    assert within.message.content == "on"
    with pytest.raises(ContextTooLong, match="300 tokens exceed the context of 200"):
        await provider.chat(call_to(models, "word " * 300))
    with pytest.raises(ModelNotFound, match=r"holds no genai_config\.json"):
        await provider.chat(call_to(models, "one", model="other"))
    with pytest.raises(BadRequest, match="calls no functions"):
        await provider.chat(call_to(models, "one", tools=(CLOCK,)))


@pytest.fixture
def without_library(models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is away, here and for the worker, whether or not this environment has it."""
    away = tmp_path / "away"
    away.mkdir()
    missing = "raise ModuleNotFoundError(\"No module named 'onnxruntime_genai'\", name='onnxruntime_genai')\n"
    (away / "onnxruntime_genai.py").write_text(missing)
    monkeypatch.setenv("PYTHONPATH", str(away))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime_genai" else find(name))


@pytest.mark.usefixtures("without_library")
async def test_without_the_library_it_says_what_to_install(models: str) -> None:
    """Where it is looked for, and where it is called."""
    provider = open_onnx()
    identity = await provider.identify(models)
    assert identity is not None
    assert identity.notes == ("needs python -m pip install onnxruntime-genai (the extra onnx)",)
    with pytest.raises(ServerFailed) as listed:
        await provider.models(identity)
    with pytest.raises(ServerFailed, match="need the package onnxruntime-genai") as called:
        await provider.chat(call_to(models, "one"))
    assert listed.value.cure == called.value.cure == "python -m pip install onnxruntime-genai (the extra onnx)"
    await provider.aclose()


def test_a_folder_is_looked_at_where_the_environment_names_it() -> None:
    """First, and only then."""
    assert usual_places({"ONNX_MODELS": "/srv/my models"})[0] == "onnx://localhost/srv/my%20models"
    assert folder_of("onnx://localhost/srv/my%20models") == Path("/srv/my models")
    assert not any(place.startswith("onnx:") for place in usual_places({}))
    assert root_of("onnx://localhost/srv/v1") == "onnx://localhost/srv/v1"
