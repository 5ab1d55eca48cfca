"""The real llama-server as a router: loads, evicts, unloads, and what it says of downloads that it cannot do."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest

from orchestrator.core.errors import BadRequest, ModelNotFound, ServerFailed
from orchestrator.plugins.providers.compatible import CompatibleProvider, LlamaProvider, open_llama_cpp
from orchestrator.ports.lifecycle import LoadOptions
from orchestrator.ports.provider import Target
from orchestrator.testing.lifecycle_conformance import LifecycleSubject, LoaderConformance
from scripts.build_llama_server import cache_folder
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.tiny_model import CHATTY, TinyModel, make

pytestmark = pytest.mark.anyio

PULLED = "nobody/nothing-GGUF:Q4_K_M"


@pytest.fixture(scope="module")
def router(llama_server: LlamaServers, tmp_path_factory: pytest.TempPathFactory) -> LlamaServer:
    """A router with two models and one file that is none, and room for one model at a time."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(make(CHATTY, cache_folder()), folder / "alpha.gguf")
    shutil.copy(make(TinyModel(seed=1), cache_folder()), folder / "beta.gguf")
    (folder / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    return llama_server.router(folder, "--models-max", "1")


@pytest.fixture
async def provider() -> AsyncIterator[CompatibleProvider]:
    opened = open_llama_cpp()
    yield opened
    await opened.aclose()


@pytest.fixture
async def subject(router: LlamaServer, provider: CompatibleProvider) -> LifecycleSubject:
    subject = LifecycleSubject(provider, router.url, Target("llama-cpp", f"{router.url}/v1", "alpha"))
    await subject.loader.unload(subject.target, 10.0)
    return subject


class TestRouter(LoaderConformance):
    """The suite on the real server; what needs a fault is not asked of it."""

    @pytest.fixture
    async def subject(self, subject: LifecycleSubject) -> LifecycleSubject:
        return subject


async def test_loading_one_evicts_the_other(subject: LifecycleSubject) -> None:
    """With room for one the router unloads the first for the second, and the list says so."""
    assert (await subject.load()).seconds > 0
    loaded = await subject.loader.load(subject.of("beta"), LoadOptions(), 30.0)
    assert (loaded.model, loaded.context) == ("beta", 1024)
    assert {model.id: model.loaded for model in await subject.models()} == {
        "alpha": False,
        "beta": True,
        "broken": False,
    }


async def test_what_is_loaded_tells_its_weights_and_context(subject: LifecycleSubject) -> None:
    """As the server lists it: bytes, quantization, tokens a request."""
    await subject.load()
    (alpha,) = [model for model in await subject.models() if model.id == "alpha"]
    assert (alpha.size, alpha.quantization, alpha.context, alpha.slots) == (2231296, "F32", 1024, 2)


async def test_a_file_that_is_no_model_is_told(subject: LifecycleSubject) -> None:
    """Its process ends, which the router tells by a state only."""
    with pytest.raises(ServerFailed) as caught:
        await subject.loader.load(subject.of("broken"), LoadOptions(), 30.0)
    assert "could not load broken: its process ended with exit code" in caught.value.message
    assert "log" in caught.value.cure


async def test_a_download_of_nothing_is_not_taken_for_one(subject: LifecycleSubject) -> None:
    """The server calls it finished (this build has no HTTPS): the list is what counts, and it is not there."""
    with pytest.raises(ModelNotFound) as caught:
        await subject.pull(PULLED)
    assert f"does not list {PULLED}" in caught.value.message


async def test_what_it_did_not_download_it_does_not_delete(subject: LifecycleSubject) -> None:
    """A file of --models-dir stays."""
    with pytest.raises(BadRequest) as caught:
        await subject.remover.remove(subject.of("beta"))
    assert "--models-dir" in caught.value.cure
    with pytest.raises(ModelNotFound):
        await subject.remover.remove(subject.of("nobody"))


async def test_pulling_what_is_there_is_done_at_once(subject: LifecycleSubject) -> None:
    """The server would refuse a second one."""
    assert [each.stage for each in await subject.pull("alpha")][-1] == "done"


async def test_what_is_no_repository_is_told(subject: LifecycleSubject) -> None:
    """It downloads from Hugging Face only; the cure shows how a model is written there."""
    with pytest.raises(ModelNotFound) as caught:
        await subject.pull("gamma")
    assert "GGUF:Q4_K_M" in caught.value.cure


async def test_a_server_with_one_model_refuses(tiny_server: LlamaServer) -> None:
    """And says how a router is started."""
    provider = LlamaProvider(open_llama_cpp().make)
    with pytest.raises(BadRequest) as caught:
        await provider.load(Target("llama-cpp", f"{tiny_server.url}/v1", "tiny"), LoadOptions(), 5.0)
    await provider.aclose()
    assert "--models-dir" in caught.value.cure
