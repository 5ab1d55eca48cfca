"""Models run in a process of their own: it is held to the port, and its crash ends one answer and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from orchestrator.core.errors import (
    BadRequest,
    ContextTooLong,
    GrammarRefused,
    ModelNotFound,
    ServerBusy,
    ServerFailed,
    Stalled,
)
from orchestrator.core.message import Message
from orchestrator.plugins.providers.addresses import root_of, usual_places
from orchestrator.plugins.providers.discovery import discover
from orchestrator.plugins.providers.in_process.gguf import context_of
from orchestrator.plugins.providers.in_process.library import LIBRARIES, ONNX, OPENVINO, Library
from orchestrator.plugins.providers.in_process.place import address_of, folder_of
from orchestrator.plugins.providers.in_process.process import Worker
from orchestrator.plugins.providers.in_process.provider import InProcessProvider, open_onnx, open_openvino_genai
from orchestrator.ports.provider import ChatCall, ServedModel, Target
from orchestrator.testing.conformance import CLOCK, ProviderConformance, Subject
from orchestrator.testing.lifecycle_conformance import LifecycleSubject, LoaderConformance
from tests.providers.opened import open_all

pytestmark = pytest.mark.anyio
FAKES = Path(__file__).parent / "fake_libraries"


@pytest.fixture(params=LIBRARIES, ids=lambda library: str(library.kind))
def library(request: pytest.FixtureRequest) -> Library:
    found: Library = request.param
    return found


@pytest.fixture
def models(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with one model of a context of 200 tokens; the worker finds the double of the library."""
    monkeypatch.setenv("PYTHONPATH", f"{FAKES}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (tmp_path / "tiny").mkdir()
    if library is ONNX:
        settings = {"model": {"context_length": 200}, "search": {"max_length": 200}}
        (tmp_path / "tiny" / "genai_config.json").write_text(json.dumps(settings))
    else:
        (tmp_path / "tiny" / "openvino_model.xml").write_text("<net/>")
        (tmp_path / "tiny" / "config.json").write_text('{"max_position_embeddings": 200}')
    (tmp_path / "notes").mkdir()
    return address_of(library, str(tmp_path))


@pytest.fixture
async def provider(library: Library) -> AsyncIterator[InProcessProvider]:
    opened = InProcessProvider(library, Worker(library, sys.executable))
    yield opened
    await opened.aclose()


def call_to(models: str, text: str, model: str = "tiny", **fields: object) -> ChatCall:
    target = Target(models.partition(":")[0], models, model)
    return ChatCall(target, (Message("user", text),), **{"timeout": 20.0, **fields})  # type: ignore[arg-type] # fields as the test names them


class TestInProcess(ProviderConformance):
    """The suite, on a double of the library in a real process."""

    @pytest.fixture
    async def subject(self, models: str, provider: InProcessProvider) -> Subject:
        dead = Target(provider.kind, "http://127.0.0.1:9", "tiny")
        return Subject(provider, models, Target(provider.kind, models, "tiny"), echoes=False, tools=False, dead=dead)


class TestLoading(LoaderConformance):
    """The suite of those that load and unload, on the same double."""

    @pytest.fixture
    async def subject(self, models: str, provider: InProcessProvider) -> LifecycleSubject:
        return LifecycleSubject(provider, models, Target(provider.kind, models, "tiny"))


async def test_a_model_that_is_unloaded_has_no_process_any_more(models: str, provider: InProcessProvider) -> None:
    """Nobody else's: one that is not in memory ends nothing. The next call starts it again."""
    worker, tiny = provider._worker, Target(provider.kind, models, "tiny")
    await provider.chat(call_to(models, "one"))
    first = worker._process
    assert first is not None and first.returncode is None
    shutil.copytree(folder_of(models) / "tiny", folder_of(models) / "other")  # type: ignore[operator] # it is a folder
    await provider.unload(Target(provider.kind, models, "other"), 5.0)
    assert first.returncode is None
    await provider.unload(tiny, 5.0)
    assert await first.wait() != 0 and worker.holds == ""
    assert (await provider.chat(call_to(models, "one two"))).message.content == "one two"


async def test_one_that_answers_is_not_unloaded(models: str, provider: InProcessProvider) -> None:
    """It is told that it is busy, and goes on answering."""
    async with aclosing(provider.stream(call_to(models, "one HANG"))) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        async for _ in deltas:
            with pytest.raises(ServerBusy):
                await provider.unload(Target(provider.kind, models, "tiny"), 0.05)
            break


async def test_a_folder_is_found_like_a_server(models: str, provider: InProcessProvider) -> None:
    """With its models and their context; a folder without models, and one that is not there, are not."""
    others = open_all()
    found = await discover([provider, *others], [models, f"{models}/notes", f"{models}/missing"])
    for other in others:
        await other.aclose()
    assert [sighting.state for sighting in found.sightings] == ["served", "foreign", "absent"]
    assert found.sightings[0].models == (
        ServedModel("tiny", None, 200, 1, "chat", size=found.sightings[0].models[0].size),
    )
    assert (found.sightings[0].models[0].size or 0) > 0


async def test_a_crash_ends_one_answer_and_nothing_else(models: str, provider: InProcessProvider) -> None:
    """The signal is told with the text so far; the next call is answered by a new process."""
    with pytest.raises(ServerFailed, match="was ended by SIGSEGV") as raised:
        await provider.chat(call_to(models, "one two CRASH three"))
    assert raised.value.partial == "one two "
    assert (await provider.chat(call_to(models, "one two"))).message.content == "one two"


async def test_what_the_library_raises_is_told(models: str, provider: InProcessProvider) -> None:
    """And the process goes on."""
    with pytest.raises(ServerFailed, match="RuntimeError: out of device memory"):
        await provider.chat(call_to(models, "one RAISE"))
    assert (await provider.chat(call_to(models, "PRINT two"))).message.content == "PRINT two"


async def test_a_call_that_hangs_is_ended(models: str, provider: InProcessProvider) -> None:
    """At its deadline, and its process with it, because others wait for it."""
    with pytest.raises(Stalled):
        await provider.chat(call_to(models, "one HANG", timeout=1.5))
    assert (await provider.chat(call_to(models, "one two"))).message.content == "one two"


async def test_a_call_that_is_cancelled_while_it_hangs_keeps_nobody_waiting(
    models: str, provider: InProcessProvider
) -> None:
    """As where a caller goes away or a deadline passes: all that still awaits is cancelled too. The next call has a new process."""
    begun = anyio.Event()

    async def hang() -> None:
        async for _ in provider.stream(call_to(models, "one HANG")):
            begun.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang)
        await begun.wait()
        tasks.cancel_scope.cancel()
    assert (await provider.chat(call_to(models, "one two", timeout=5.0))).message.content == "one two"


async def test_leaving_a_stream_frees_the_process(models: str, provider: InProcessProvider) -> None:
    """The next call is answered at once."""
    async with aclosing(provider.stream(call_to(models, "word " * 80))) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        async for _ in deltas:
            break
    assert (await provider.chat(call_to(models, "one two"))).message.content == "one two"


async def test_the_process_gets_no_secrets(
    models: str, provider: InProcessProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the runtime has in its environment goes to no library; what libraries are found by, and told, does."""
    monkeypatch.setenv("SHOP_KEY", "sk-of-the-shop")
    monkeypatch.setenv("OPENVINO_DEVICE", "CPU")
    with pytest.raises(ServerFailed) as raised:
        await provider.chat(call_to(models, "one ENVIRONMENT"))
    assert "SHOP_KEY" not in str(raised.value)
    assert {"PATH", "PYTHONPATH", "OPENVINO_DEVICE"} <= set(raised.value.message.split())


async def test_limits_are_kept(models: str, provider: InProcessProvider) -> None:
    """Tokens, words that end an answer, the context; and each says so."""
    cut = await provider.chat(call_to(models, "one two three", max_tokens=2))
    assert (cut.message.content, cut.finish_reason) == ("one two ", "length")
    stopped = await provider.chat(call_to(models, "one two three", stop=("two",)))
    assert (stopped.message.content, stopped.finish_reason) == ("one ", "stop")
    within = await provider.chat(call_to(models, "one two three", stop=("o t", "e tw")))
    assert within.message.content == "on"
    with pytest.raises(ContextTooLong, match="300 tokens exceed the context of 200"):
        await provider.chat(call_to(models, "word " * 300))
    marker = "genai_config" if provider.kind == "onnx" else "openvino_model"
    with pytest.raises(ModelNotFound, match=f"other holds no {marker}"):
        await provider.chat(call_to(models, "one", model="other"))
    with pytest.raises(BadRequest, match="calls no functions"):
        await provider.chat(call_to(models, "one", tools=(CLOCK,)))


async def test_the_form_of_an_answer_is_held(models: str, provider: InProcessProvider) -> None:
    """By the library itself."""
    reply = await provider.chat(call_to(models, "which?", schema={"type": "object"}))
    assert json.loads(reply.message.content) == {"route": "billing", "sure": 3}


async def test_a_schema_that_the_library_cannot_hold_to_is_told_as_that(
    models: str, provider: InProcessProvider
) -> None:
    """No fault of the library, which other calls would have to wait for; the next one is answered."""
    with pytest.raises(GrammarRefused, match=r"Unimplemented keys|Lookahead"):
        await provider.chat(call_to(models, "which?", schema={"not": {}}))
    with pytest.raises(GrammarRefused):
        async for _ in provider.stream(call_to(models, "which?", schema={"not": {}})):
            pass
    assert (await provider.chat(call_to(models, "one"))).message.content == "one"


@pytest.fixture
def without_library(library: Library, models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The library is away, here and for the worker, whether or not this environment has it; gives the folder of models."""
    away = tmp_path / "away"
    away.mkdir()
    missing = f"raise ModuleNotFoundError(\"No module named '{library.module}'\", name='{library.module}')\n"
    (away / f"{library.module}.py").write_text(missing)
    monkeypatch.setenv("PYTHONPATH", str(away))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library.module else find(name))
    return models


async def test_without_the_library_it_says_what_to_install(library: Library, without_library: str) -> None:
    """Where it is looked for, and where it is called."""
    opened = {"onnx": open_onnx, "openvino-genai": open_openvino_genai}[library.kind]()
    package, extra = {"onnx": ("onnxruntime-genai", "onnx"), "openvino-genai": ("openvino-genai", "openvino")}[
        library.kind
    ]
    line = f"python -m pip install {package} (the extra {extra})"
    identity = await opened.identify(without_library)
    assert identity is not None
    assert identity.notes == (f"needs {line}",)
    with pytest.raises(ServerFailed) as listed:
        await opened.models(identity)
    with pytest.raises(ServerFailed, match=f"need the package {package}") as called:
        await opened.chat(call_to(without_library, "one"))
    assert listed.value.cure == called.value.cure == line
    await opened.aclose()


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def head(key: str, kind: int, value: int, *, before: tuple[bytes, ...] = (), version: int = 3) -> bytes:
    """The head of a GGUF file that ends with this key."""
    begin = struct.pack("<4sIQQ", b"GGUF", version, 0, 1 + len(before)) + b"".join(before)
    return begin + text(key) + struct.pack("<I", kind) + struct.pack({4: "<I", 10: "<Q"}[kind], value)


NAME = text("general.name") + struct.pack("<I", 8) + text("tiny")
TAGS = text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
SCALES = text("general.scales") + struct.pack("<IIQ", 9, 6, 3) + bytes(12)
WORDS = text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1) + text("a")


@pytest.mark.parametrize(
    ("content", "context"),
    [
        (head("qwen3.context_length", 4, 40960), 40960),
        (head("llama.context_length", 10, 8192, before=(NAME, TAGS, SCALES), version=2), 8192),
        (head("general.alignment", 4, 32), None),
        (head("qwen3.context_length", 4, 40960, version=1), None),
        (head("qwen3.context_length", 4, 40960, before=(WORDS,)), None),
        (head("qwen3.context_length", 4, 40960)[:-2], None),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**60), None),
        (b"GGUF", None),
        (b"<html>", None),
        (b"", None),
    ],
    ids=["first", "later", "untold", "old form", "behind the words", "cut", "absurd", "only magic", "a page", "empty"],
)
def test_the_head_of_a_gguf_file_tells_the_context(content: bytes, context: int | None, tmp_path: Path) -> None:
    """Whatever else the file is, it is only one that tells nothing."""
    file = tmp_path / "any.gguf"
    file.write_bytes(content)
    assert context_of(file) == context


async def test_a_gguf_file_is_a_model_of_openvino(tmp_path: Path) -> None:
    """By its name without the ending, with the context that its head tells; a prepared folder of the same name goes first."""
    (tmp_path / "small.gguf").write_bytes(head("qwen3.context_length", 4, 4096))
    (tmp_path / "both.gguf").write_bytes(b"GGUF")
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "openvino_model.xml").write_text("<net/>")
    opened = InProcessProvider(OPENVINO, Worker(OPENVINO))
    identity = await opened.identify(address_of(OPENVINO, str(tmp_path)))
    assert identity is not None
    assert {model.id: model.context for model in await opened.models(identity)} == {"both": None, "small": 4096}
    assert OPENVINO.found(tmp_path)["both"].is_dir()
    assert await InProcessProvider(ONNX).identify(identity.url) is None
    await opened.aclose()


def test_a_folder_is_looked_at_where_the_environment_names_it(library: Library) -> None:
    """First, and only then."""
    assert usual_places({library.variable: "/srv/my models"})[0] == f"{library.kind}://localhost/srv/my%20models"
    assert folder_of(f"{library.kind}://localhost/srv/my%20models") == Path("/srv/my models")
    assert not any(place.startswith(f"{library.kind}:") for place in usual_places({}))
    for servers in ([], ["http://127.0.0.1:9"]):  # these stand in the place of addresses, not of a folder that is named
        assert usual_places({library.variable: "/srv/m"}, servers) == (f"{library.kind}://localhost/srv/m", *servers)
    assert root_of(f"{library.kind}://localhost/srv/v1") == f"{library.kind}://localhost/srv/v1"
