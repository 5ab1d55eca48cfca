"""Every make that loads, pulls or removes models does what the ports ask for; which make does what is told by its class."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import BadRequest, ModelError, ModelNotFound, ServerBusy, ServerFailed, Stalled
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.providers.lifecycle import asking
from orchestrator.plugins.providers.lifecycle.foundry_local import Printed
from orchestrator.plugins.providers.lifecycle.llama_router import Files
from orchestrator.plugins.providers.lifecycle.ollama import Layers
from orchestrator.plugins.providers.makes.make import Make
from orchestrator.ports.lifecycle import Loaded, Loader, LoadOptions, Puller, PullProgress, Remover
from orchestrator.ports.provider import Capability, Secret, Support, Target
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import serving
from orchestrator.testing.lifecycle.store import ModelStore, StoredModel, stored
from orchestrator.testing.lifecycle_conformance import (
    LifecycleSubject,
    LoaderConformance,
    PullerConformance,
    RemoverConformance,
)
from tests.providers.opened import open_all

pytestmark = pytest.mark.anyio

FACE_OF = {"llama-cpp": "llama-cpp-router"}
LOADERS = ("ollama", "llama-cpp-router", "lm-studio", "lemonade", "foundry-local", "foundry-local-v1")
PULLERS = ("ollama", "llama-cpp-router", "lm-studio", "lemonade", "foundry-local-v1")
REMOVERS = ("ollama", "llama-cpp-router", "lemonade")
KIND_OF = {"llama-cpp-router": "llama-cpp", "foundry-local-v1": "foundry-local"}
TARGET_OF = {"foundry-local": "phi4-mini"}  # loaded by alias, listed as a variant
VARIANT = "phi4-mini-generic-cpu:1"
WANTED = {"lm-studio": "somebody/qwen-GGUF:Q8_0", "llama-cpp-router": "somebody/qwen-GGUF:Q8_0"}
SIZE = 800 * 1024 * 1024


def opened(kind: str) -> CompatibleProvider:
    return next(provider for provider in open_all() if provider.kind == kind)


def store_of(face: str) -> ModelStore:
    installed = VARIANT if face.startswith("foundry") else "phi4-mini"
    return stored([installed, "nomic-embed-text"], [StoredModel(WANTED.get(face, "qwen2.5:0.5b"), SIZE, "Q8_0")])


@asynccontextmanager
async def simulated_subject(face: str) -> AsyncIterator[LifecycleSubject]:
    """A server that wears this face, with one model installed that is not loaded, and one in its library."""
    provider, store = opened(KIND_OF.get(face, face)), store_of(face)
    endpoint = SimulatedEndpoint(kept=store, api_key="sesame")
    async with serving(endpoint, face) as shell:
        name = TARGET_OF.get(face, next(iter(store.installed)))
        yield LifecycleSubject(
            provider,
            shell.url,
            Target(provider.kind, f"{shell.url}/v1", name, Secret("sesame")),
            WANTED.get(face, "qwen2.5:0.5b"),
            store,
            lists_all=not face.startswith("foundry"),
            waits_for_answers=face not in ("lm-studio", "foundry-local-v1"),  # they end the answers
            tells_why=face != "llama-cpp-router",  # its log does
        )
    await provider.aclose()


class TestLoaders(LoaderConformance):
    """Each make that loads, against a server of its face."""

    @pytest.fixture(params=LOADERS)
    async def subject(self, request: pytest.FixtureRequest) -> AsyncIterator[LifecycleSubject]:
        async with simulated_subject(request.param) as subject:
            yield subject


class TestPullers(PullerConformance):
    """Each make that pulls."""

    @pytest.fixture(params=PULLERS)
    async def subject(self, request: pytest.FixtureRequest) -> AsyncIterator[LifecycleSubject]:
        async with simulated_subject(request.param) as subject:
            yield subject


class TestRemovers(RemoverConformance):
    """Each make that removes."""

    @pytest.fixture(params=REMOVERS)
    async def subject(self, request: pytest.FixtureRequest) -> AsyncIterator[LifecycleSubject]:
        async with simulated_subject(request.param) as subject:
            yield subject


@pytest.mark.parametrize("make", [provider.make for provider in open_all()], ids=lambda make: make.kind)
def test_a_provider_fits_a_port_where_its_make_can(make: Make) -> None:
    """isinstance and the declared capabilities say the same."""
    provider = opened(make.kind)
    fits = {
        Capability.LOAD: isinstance(provider, Loader),
        Capability.PULL: isinstance(provider, Puller),
        Capability.REMOVE: isinstance(provider, Remover),
    }
    assert fits == {name: make.capabilities[name] is Support.YES for name in fits}


ABLE = {
    "ollama": {"load", "pull", "remove"},
    "llama-cpp-router": {"load", "pull", "remove"},
    "llama-cpp": set(),
    "lm-studio": {"load", "pull"},
    "lm-studio-v0": set(),
    "lemonade": {"load", "pull", "remove"},
    "lemonade-old": set(),
    "foundry-local": {"load"},
    "foundry-local-v1": {"load", "pull"},
    "vllm": set(),
    "openai": set(),
}


@pytest.mark.parametrize("face", ABLE)
async def test_a_server_says_what_it_can(face: str) -> None:
    """One make has servers that can and servers that cannot: its identity tells which this is."""
    kind = {**KIND_OF, "lm-studio-v0": "lm-studio", "lemonade-old": "lemonade", "openai": "openai-compatible"}.get(
        face, face
    )
    provider = opened(kind)
    async with serving(SimulatedEndpoint(("m",)), face) as shell:
        identity = await provider.identify(shell.url)
    await provider.aclose()
    assert identity is not None
    assert {
        name for name in ("load", "pull", "remove") if identity.capabilities[Capability(name)] is Support.YES
    } == ABLE[face]


@pytest.mark.parametrize(
    ("face", "act", "cure"),
    [
        ("llama-cpp", "load", "--models-dir"),
        ("llama-cpp", "unload", "--models-dir"),
        ("llama-cpp", "pull", "--models-dir"),
        ("llama-cpp", "remove", "--models-dir"),
        ("lm-studio-v0", "load", "update LM Studio"),
        ("lm-studio-v0", "pull", "update LM Studio"),
        ("foundry-local", "pull", "foundry model download m"),
    ],
)
async def test_a_server_that_cannot_refuses_with_a_cure(face: str, act: str, cure: str) -> None:
    """A single llama-server, an old LM Studio and Foundry Local 2 say what to do instead."""
    provider: Any = opened({"lm-studio-v0": "lm-studio"}.get(face, face))
    async with serving(SimulatedEndpoint(("m",)), face) as shell:
        target = Target(provider.kind, f"{shell.url}/v1", "m")
        with pytest.raises(BadRequest) as caught:
            await ask(provider, act, target)
    await provider.aclose()
    assert cure in caught.value.cure


async def ask(provider: Any, act: str, target: Target) -> None:
    if act == "load":
        await provider.load(target, LoadOptions(), 5.0)
    elif act == "unload":
        await provider.unload(target, 5.0)
    elif act == "remove":
        await provider.remove(target)
    else:
        _ = [each async for each in provider.pull(target)]


@pytest.mark.parametrize(
    ("face", "options", "word"),
    [
        ("llama-cpp-router", LoadOptions(context=512), "-c"),
        ("llama-cpp-router", LoadOptions(keep_alive=60), "--sleep-idle-seconds"),
        ("lm-studio", LoadOptions(keep_alive=60), "keep_alive"),
        ("lemonade", LoadOptions(keep_alive=60), "evict_idle_timeout"),
        ("foundry-local", LoadOptions(context=512), "leave it out"),
        ("foundry-local", LoadOptions(keep_alive=60), "--idle-timeout"),
    ],
)
async def test_an_option_that_a_server_cannot_have_is_refused(face: str, options: LoadOptions, word: str) -> None:
    """Nothing that was asked for is dropped in silence; never to unload by itself is what these do anyway."""
    async with simulated_subject(face) as subject:
        with pytest.raises(BadRequest) as caught:
            await subject.loader.load(subject.target, options, 5.0)
        assert word in caught.value.cure
        await subject.loader.load(subject.target, LoadOptions(keep_alive=float("inf")), 5.0)


@pytest.mark.parametrize("face", ["ollama", "lm-studio", "lemonade"])
async def test_another_context_loads_it_anew(face: str) -> None:
    """A model that is loaded with another context than the wanted one is not taken for loaded."""
    async with simulated_subject(face) as subject:
        assert (await subject.load(context=2048)).context == 2048
        again = await subject.load(context=1024)
        assert (again.context, again.seconds > 0) == (1024, True)
        assert (await subject.load(context=1024)).seconds == 0


async def test_ollama_loads_a_model_that_only_embeds() -> None:
    """It refuses to generate with one, so it is loaded by an embedding of nothing."""
    async with simulated_subject("ollama") as subject:
        loaded = await subject.loader.load(subject.of("nomic-embed-text"), LoadOptions(), 5.0)
        assert loaded.model == "nomic-embed-text"
        assert await subject.is_loaded("nomic-embed-text")


async def test_ollama_knows_better_than_its_list_whether_it_loaded_a_model() -> None:
    """Another load took its place before we looked: it was loaded, and a call that comes loads it again."""
    async with simulated_subject("ollama") as subject:
        assert subject.store is not None
        subject.store.most_loaded = 1
        answered: list[Loaded] = []

        async def load(name: str, after: float) -> None:
            await anyio.sleep(after)  # real time: the double's load takes some, and the second must come within it
            answered.append(await subject.loader.load(subject.of(name), LoadOptions(), 5.0))

        subject.store.load_time = 0.3
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load, "phi4-mini", 0.0)
            tasks.start_soon(load, "nomic-embed-text", 0.1)
        assert [loaded.seconds > 0 for loaded in answered] == [True, True]
        assert [loaded.memory is None for loaded in answered] == [True, False]


async def test_foundry_local_takes_a_variant_for_its_alias() -> None:
    """What it lists as loaded can be unloaded and loaded by that name, though it takes aliases only."""
    async with simulated_subject("foundry-local") as subject:
        assert (await subject.load()).model == VARIANT
        await subject.loader.unload(subject.of(VARIANT), 5.0)
        assert not await subject.is_loaded(VARIANT)
        assert (await subject.loader.load(subject.of(VARIANT), LoadOptions(), 5.0)).model == VARIANT


async def test_foundry_local_does_not_pass_off_another_variant() -> None:
    """It loads by alias, and chooses the variant itself: where that is another one than was named, it is an error."""
    async with simulated_subject("foundry-local") as subject:
        other = f"{VARIANT.partition(':')[0]}:99"
        with pytest.raises(ModelNotFound) as caught:
            await subject.loader.load(subject.of(other), LoadOptions(), 5.0)
        assert caught.value.message == f"Foundry Local loads by alias, and took {VARIANT} in place of {other}"


async def test_ollama_asks_its_cloud_for_nothing() -> None:
    """A cloud model would be asked for by a request that leaves the machine: refused before it is sent."""
    async with simulated_subject("ollama") as subject:
        for act in ("load", "unload"):
            with pytest.raises(BadRequest):
                await ask(subject.provider, act, subject.of("gpt-oss:120b-cloud"))


async def test_ollama_tells_of_each_model_whether_another_machine_serves_it() -> None:
    """Its list may not say so: such a model is no model of this device. It is asked once of each build."""
    async with simulated_subject("ollama") as subject:
        assert subject.store is not None
        subject.store.forwarded.add("phi4-mini")
        assert {model.id for model in await subject.models() if model.remote} == {"phi4-mini"}
        subject.store.forwarded.clear()  # what was told of a build holds
        assert {model.id for model in await subject.models() if model.remote} == {"phi4-mini"}


async def test_a_router_evicts_the_model_that_rested_longest() -> None:
    """With room for one, loading the second unloads the first."""
    async with simulated_subject("llama-cpp-router") as subject:
        assert subject.store is not None
        subject.store.most_loaded = 1
        await subject.load()
        await subject.loader.load(subject.of("nomic-embed-text"), LoadOptions(), 5.0)
        assert {model.id for model in await subject.models() if model.loaded} == {"nomic-embed-text"}


async def test_a_router_deletes_only_what_it_downloaded() -> None:
    """A file of --models-dir is not its own: refused with what to do."""
    async with simulated_subject("llama-cpp-router") as subject:
        with pytest.raises(BadRequest) as caught:
            await subject.remover.remove(subject.target)
        assert "--models-dir" in caught.value.cure


async def test_a_model_that_is_being_downloaded_is_no_model_yet() -> None:
    """It is not listed, and neither loaded nor unloaded, which would end its download."""
    async with simulated_subject("llama-cpp-router") as subject:
        assert subject.store is not None
        subject.store.came[subject.wanted] = 5
        with pytest.raises(ServerBusy):
            await subject.loader.load(subject.of(subject.wanted), LoadOptions(), 5.0)
        with pytest.raises(ServerBusy):
            await subject.loader.unload(subject.of(subject.wanted), 5.0)
        assert subject.wanted not in [model.id for model in await subject.models()]
        assert subject.store.left == []


@pytest.mark.parametrize("face", PULLERS)
async def test_a_pull_that_stands_still_ends(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the server goes on talking: nothing new in time is Stalled, with how to go on."""
    monkeypatch.setitem(asking.STILL, "downloading", 0.4)
    async with simulated_subject(face) as subject:
        assert subject.store is not None
        subject.store.arm("pull-stall")
        error = await subject.pull_failure(subject.wanted)
    assert isinstance(error, Stalled)
    assert "pull again" in error.cure


# -- what is read of a pull, without a server -------------------------------------------------------------------------


def test_layers_add_up_to_the_whole() -> None:
    """A layer counts from when it is first told; statuses without figures keep what was known."""
    layers, big, small = Layers(), "sha256:" + "a" * 64, "sha256:" + "b" * 64
    lines: list[dict[str, Any]] = [
        {"status": "pulling manifest"},
        {"status": "pulling aaaaaaaaaaaa", "digest": big, "total": 100},
        {"status": "pulling aaaaaaaaaaaa", "digest": big, "total": 100, "completed": 60},
        {"status": "pulling bbbbbbbbbbbb", "digest": small, "total": 10, "completed": 10},
        {"status": "pulling aaaaaaaaaaaa", "digest": big, "total": 100, "completed": 100},
        {"status": "verifying sha256 digest"},
        {"status": "writing manifest"},
        {"status": "success"},
    ]
    assert [layers.take(line) for line in lines] == [
        PullProgress("asking", "pulling manifest"),
        PullProgress("downloading", "aaaaaaaaaaaa", 0, 100),
        PullProgress("downloading", "aaaaaaaaaaaa", 60, 100),
        PullProgress("downloading", "bbbbbbbbbbbb", 70, 110),
        PullProgress("downloading", "aaaaaaaaaaaa", 110, 110),
        PullProgress("verifying", "", 110, 110),
        PullProgress("installing", "", 110, 110),
        PullProgress("done", "", 110, 110),
    ]


def test_a_server_without_a_network_is_not_a_model_that_does_not_exist() -> None:
    """Ollama's words for both begin alike."""
    host = 'pull model manifest: Get "https://registry.ollama.ai/v2/library/m": dial tcp: lookup registry: no such host'
    with pytest.raises(ServerFailed) as offline:
        Layers().take({"error": host})
    with pytest.raises(ModelNotFound) as unknown:
        Layers().take({"error": "pull model manifest: file does not exist"})
    assert "network" in offline.value.cure and "ollama.com/library" in unknown.value.cure


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
)
KEYS = st.sampled_from(["status", "digest", "total", "completed", "error", "done"])


@given(st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=20))
def test_whatever_ollama_says_gives_figures_or_an_error(lines: list[dict[str, Any]]) -> None:
    """No line makes anything but progress or a ModelError, and what has come is never more than nothing less than zero."""
    layers = Layers()
    for line in lines:
        try:
            progress = layers.take(line)
        except ModelError:
            continue
        assert progress.completed is None or progress.completed >= 0


@given(
    st.lists(
        st.dictionaries(st.text(max_size=8), st.dictionaries(KEYS, JSON, max_size=3) | JSON, max_size=3), max_size=9
    )
)
def test_whatever_a_router_says_gives_figures(events: list[dict[str, Any]]) -> None:
    """Progress of any shape is read without an error."""
    files = Files()
    for event in events:
        assert files.take(event).stage == "downloading"


@given(st.lists(st.integers(min_value=0, max_value=40), max_size=6))
def test_printed_lines_are_read_however_they_are_cut(cuts: list[int]) -> None:
    """Both forms that the older Foundry prints, in any slicing."""
    text = b'("model.onnx.data", 0.5)\nTotal 75.00% Downloading\n{"Success": true,\n"ErrorMessage": null}'
    printed, told, at = Printed(200), [], 0
    for cut in [*sorted(cuts), len(text)]:
        told += printed.take(text[at:cut])
        at = max(at, cut)
    printed.check("m")
    assert told == [
        PullProgress("downloading", "model.onnx.data 50%", None, 200),
        PullProgress("downloading", "", 150, 200),
    ]
