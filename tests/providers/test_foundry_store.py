"""The cache of a Foundry Local 2 by its SDK: what is in it, pulls and removals, and what becomes of a core that crashes. The SDK is
a double in a Python of its own; the real one runs in tests/installed/check_foundry.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.core.errors import BadRequest, ModelNotFound, ServerFailed
from orchestrator.plugins.providers.foundry import FoundryProvider
from orchestrator.plugins.providers.lifecycle.foundry_store import FoundryStore
from orchestrator.plugins.providers.makes.foundry_local import MAKE
from orchestrator.ports.interpreter import FOUNDRY_PYTHON, interpreter_with
from orchestrator.ports.lifecycle import LoadOptions
from orchestrator.ports.provider import Capability, Identity, Support, Target
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import serving
from orchestrator.testing.lifecycle.store import ModelStore, stored
from tests.providers.foundry_double import cache_with, environment_with_sdk, row

pytestmark = pytest.mark.anyio

THERE, ELSEWHERE = "phi4-mini-generic-cpu:1", "qwen2.5-0.5b-instruct-generic-cpu:4"
ROWS = [row(THERE, "phi4-mini"), row(ELSEWHERE, "small-one", context=32768, megabytes=800)]


@dataclass
class Case:
    """A service that keeps ``cache``, and the provider that asks it."""

    provider: FoundryProvider
    url: str
    cache: Path
    kept: ModelStore

    def of(self, name: str) -> Target:
        return Target("foundry-local", f"{self.url}/v1", name)

    async def identity(self) -> Identity:
        found = await self.provider.identify(self.url)
        assert found is not None
        return found

    @property
    def asked(self) -> str:
        """How often the SDK was asked: 1 for each time by the cache alone, 0 for each by the network."""
        file = self.cache.parent / "asked"
        return file.read_text() if file.exists() else ""


@asynccontextmanager
async def a_case(place: Path, python: str | None = None) -> AsyncIterator[Case]:
    named = str(environment_with_sdk(place / "venv")) if python is None else python
    cache = cache_with(place, ROWS, THERE)
    kept = stored([THERE])
    kept.folder = str(cache)
    provider = FoundryProvider(MAKE, store=FoundryStore({FOUNDRY_PYTHON: named}))
    async with serving(SimulatedEndpoint(kept=kept), "foundry-local") as shell:
        yield Case(provider, shell.url, cache, kept)
    await provider.aclose()


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with a_case(tmp_path) as case:
        yield case


async def test_what_is_in_the_cache_is_listed_with_context_and_size(case: Case) -> None:
    """Also while nothing is loaded; once, until the cache changes, and without the network."""
    identity = await case.identity()
    able = {name: identity.capabilities[name] for name in (Capability.LOAD, Capability.PULL, Capability.REMOVE)}
    assert set(able.values()) == {Support.YES}
    assert identity.store == str(case.cache)
    (model,) = await case.provider.models(identity)
    assert (model.id, model.loaded, model.context, model.size, model.kind) == (THERE, False, 4096, 3 << 20, "chat")
    await case.provider.load(case.of("phi4-mini"), LoadOptions(), 5.0)
    (model,) = await case.provider.models(identity)
    assert (model.id, model.loaded, model.context) == (THERE, True, 4096)
    assert case.asked == "1"


async def test_a_pull_tells_how_far_it_is_and_the_service_looks_for_it(case: Case) -> None:
    """It asks the catalogue anew, and has the service list its models, without which that would not load it."""
    told = [each async for each in case.provider.pull(case.of("small-one"))]
    assert [(each.stage, each.completed) for each in told] == [
        ("asking", None),
        ("downloading", 0),
        ("downloading", 0),
        ("downloading", int(0.4 * 800 * 2**20)),
        ("downloading", int(0.8 * 800 * 2**20)),
        ("done", 800 * 2**20),
    ]
    assert told[-1].part == ELSEWHERE
    assert {each.total for each in told[1:]} == {800 * 2**20}
    assert "0" in case.asked
    assert {model.id for model in await case.provider.models(await case.identity())} == {THERE, ELSEWHERE}


async def test_a_pull_that_is_left_is_cancelled(case: Case) -> None:
    """Its process is told, and waited for."""
    (case.cache / "fault").write_text("slow")
    async with aclosing(case.provider.pull(case.of(ELSEWHERE))) as coming:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        async for progress in coming:
            if progress.completed:
                break
    assert (case.cache / "cancelled").exists()
    assert not (case.cache / "Maker" / ELSEWHERE.replace(":", "-")).exists()


@pytest.mark.parametrize(
    ("fault", "message", "cure"),
    [
        ("crash", "was ended by SIGSEGV", ""),
        ("offline", "transport failure", "is the network there? then pull again"),
    ],
)
async def test_a_pull_that_fails_says_why(case: Case, fault: str, message: str, cure: str) -> None:
    """A crash of the core ends its own process, and no more than that."""
    (case.cache / "fault").write_text(fault)
    with pytest.raises(ServerFailed, match=message) as caught:
        _ = [each async for each in case.provider.pull(case.of(ELSEWHERE))]
    assert caught.value.cure == cure
    (case.cache / "fault").unlink()
    assert [each async for each in case.provider.pull(case.of(ELSEWHERE))][-1].stage == "done"


async def test_a_model_that_the_catalogue_does_not_have_is_not_found(case: Case) -> None:
    """The aliases that there are stand in the message."""
    with pytest.raises(ModelNotFound, match="no model phi-9; it has phi4-mini, small-one"):
        _ = [each async for each in case.provider.pull(case.of("phi-9"))]
    with pytest.raises(ModelNotFound, match="is not in the cache") as caught:
        await case.provider.load(case.of("small-one"), LoadOptions(), 5.0)
    assert caught.value.cure == f"orchestrator models pull small-one --endpoint {case.url}"
    with pytest.raises(ModelNotFound, match="is not in the cache"):
        await case.provider.remove(case.of("small-one"))


async def test_a_removal_unloads_first(case: Case) -> None:
    """What is in memory would be served on, without its files."""
    await case.provider.load(case.of("phi4-mini"), LoadOptions(), 5.0)
    await case.provider.remove(case.of(THERE))
    assert list(case.kept.loaded) == []
    assert list((case.cache / "Maker").iterdir()) == []
    assert await case.provider.models(await case.identity()) == ()


async def test_without_the_sdk_only_what_is_loaded_is_listed_and_the_extra_is_named(tmp_path: Path) -> None:
    """A Python that lacks it, as one that is not there."""
    async with a_case(tmp_path, python=str(tmp_path / "none" / "bin" / "python")) as case:
        identity = await case.identity()
        assert identity.capabilities[Capability.PULL] is Support.NO
        assert identity.capabilities[Capability.REMOVE] is Support.NO
        assert "python -m pip install foundry-local-sdk (the extra foundry)" in identity.notes[0]
        assert await case.provider.models(identity) == ()
        await case.provider.load(case.of("phi4-mini"), LoadOptions(), 5.0)
        assert [model.id for model in await case.provider.models(identity)] == [THERE]
        with pytest.raises(BadRequest) as caught:
            _ = [each async for each in case.provider.pull(case.of("small-one"))]
        assert "python -m pip install foundry-local-sdk" in caught.value.cure
        with pytest.raises(BadRequest):
            await case.provider.remove(case.of(THERE))


async def test_a_cache_that_cannot_be_listed_is_told_and_the_service_is_used(case: Case) -> None:
    """A broken catalogue: what is loaded is listed all the same, and the next look says what is missing."""
    await case.provider.load(case.of("phi4-mini"), LoadOptions(), 5.0)
    (case.cache.parent / "catalogue.json").write_text("{")
    (case.cache / "changed").touch()
    assert [model.id for model in await case.provider.models(await case.identity())] == [THERE]
    assert "its cache is not listed: Foundry Local's SDK: JSONDecodeError" in (await case.identity()).notes[0]


def test_our_own_python_is_looked_into_where_no_other_is_named(tmp_path: Path) -> None:
    """The version is that of the library."""
    assert interpreter_with("foundry", FOUNDRY_PYTHON, {}) is None
    named = environment_with_sdk(tmp_path)
    found = interpreter_with("foundry", FOUNDRY_PYTHON, {FOUNDRY_PYTHON: f" {named} "})
    assert found is not None
    assert (found.path, found.version) == (str(named), "2.2.1")
    own = interpreter_with("mesh", "UNSET", {})
    assert own is not None and own.version.startswith("2.")
