"""The real core of Foundry Local 2: the conformance suite, schemas, what a probe finds, its cache by the SDK, and a life that is
started from a manifest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import open_foundry_local
from orchestrator.plugins.providers.foundry import FoundryProvider
from orchestrator.plugins.providers.lifecycle.foundry_store import FoundryStore
from orchestrator.plugins.providers.makes.foundry_local import MAKE
from orchestrator.ports.interpreter import FOUNDRY_PYTHON
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.testing.conformance import ROUTE, ProviderConformance, Subject
from tests.cli.commands import apart
from tests.installed import foundry_program
from tests.installed.build_onnx import FIXTURE
from tests.installed.program import environment, running
from tests.installed.refusing import compare_refusal
from tests.installed.shown import compare_with_lock
from tests.real.test_runtime import User
from tests.real.test_started_server import servers_in
from tests.runtime.living import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
VERSION = "2.2.1"
NAME, ALIAS = foundry_program.VARIANT, foundry_program.ALIAS
NOWHERE = "http://127.0.0.1:9/asset-gallery/v1.0/models"
"""A catalogue that nobody answers for: what is asked of it leaves the machine in no case."""
CLERK = """\
metadata: {name: clerk}
deployment:
  type: single-device
  models:
    - {alias: small, model: tiny, provider: foundry-local, server: {}}
  agents:
    - name: clerk
      description: Talks.
      instructions: You talk.
      model: small
      max_tokens: 12
"""


@pytest.fixture(scope="module")
def programs() -> Path:
    """Those of the environment that has the SDK."""
    return environment(f"foundry-local-{VERSION}", [f"foundry-local-sdk=={VERSION}"])


@pytest.fixture(scope="module")
def sdk(programs: Path) -> dict[str, str]:
    """What says where the SDK is."""
    return {FOUNDRY_PYTHON: str(programs / "python"), "FOUNDRY_LOCAL_CATALOG": NOWHERE}


@pytest.fixture(scope="module")
def foundry(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("foundry")
    work = place / "work"
    work.mkdir()
    script = str(Path(foundry_program.__file__))
    command = [str(programs / "python"), script, str(FIXTURE / "tiny"), str(work), "{port}"]
    with running(command, {"HOME": str(place)}, place / "server.log", within=120) as url:
        yield url


class TestFoundryLocal(ProviderConformance):
    """The suite; random weights promise no text and no call."""

    @pytest.fixture
    async def subject(self, foundry: str) -> AsyncIterator[Subject]:
        provider = open_foundry_local()
        yield Subject(provider, foundry, Target("foundry-local", f"{foundry}/v1", NAME), echoes=False, tools=False)
        await provider.aclose()


async def test_every_answer_to_a_schema_fits_it(foundry: str) -> None:
    """Wrapper and bare schema in one object: twenty of twenty."""
    provider = open_foundry_local()
    target = Target("foundry-local", f"{foundry}/v1", NAME)
    for seed in range(20):
        call = ChatCall(target, (Message("user", "go"),), schema=ROUTE, seed=seed, temperature=1.0, max_tokens=400)
        value = json.loads((await provider.chat(call)).message.content, strict=False)
        assert value.keys() == {"route", "sure"}
        assert value["route"] in ("billing", "shipping")
    await provider.aclose()


@pytest.mark.parametrize("schema", [{"not": {"type": "string"}}, {"type": "string", "pattern": "^(?=a)b$"}], ids=str)
async def test_a_schema_that_it_makes_no_grammar_of_is_told_as_that(foundry: str, schema: dict[str, object]) -> None:
    """Whole and streamed."""
    await compare_refusal(open_foundry_local(), Target("foundry-local", f"{foundry}/v1", NAME), schema)


async def test_a_probe_finds_what_the_lock_file_says(foundry: str) -> None:
    """Log-probabilities are ignored; a grammar goes into response_format."""
    await compare_with_lock([foundry], Path(f"foundry-local-{VERSION}.lock.json"), deep=True)


async def test_the_cache_of_a_service_that_somebody_else_started(foundry: str, sdk: dict[str, str]) -> None:
    """Listed also while nothing is loaded; a call loads what it finds there, by the alias that only the SDK knows."""
    provider = FoundryProvider(MAKE, store=FoundryStore({**os.environ, **sdk}))
    identity = await provider.identify(foundry)
    assert identity is not None
    of_alias = Target("foundry-local", f"{foundry}/v1", ALIAS)

    async def listed() -> list[tuple[Any, ...]]:
        return [(each.id, each.loaded, each.context, each.kind) for each in await provider.models(identity)]

    assert await listed() == [(NAME, True, 4096, "chat")]
    await provider.unload(of_alias, 30.0)
    assert await listed() == [(NAME, False, 4096, "chat")]
    reply = await provider.chat(ChatCall(of_alias, (Message("user", "go"),), max_tokens=4))
    assert reply.usage.completion_tokens == 4
    assert await listed() == [(NAME, True, 4096, "chat")]
    await provider.unload(Target("foundry-local", f"{foundry}/v1", NAME), 30.0)
    deltas = [each async for each in provider.stream(ChatCall(of_alias, (Message("user", "go"),), max_tokens=4))]
    assert deltas[-1].reply is not None and deltas[-1].reply.usage.completion_tokens == 4
    pulled = [each.stage async for each in provider.pull(of_alias)]
    assert (pulled[0], pulled[-1]) == ("asking", "done")
    await provider.aclose()


class Owner(User):
    """A user who has the SDK, and the model in the cache that servers of ours share."""

    def __init__(self, home: Path, sdk: dict[str, str]) -> None:
        super().__init__(home)
        self.environment |= sdk
        cache = home / "state" / "models" / "foundry-local"
        for folder in (home / "state", cache.parent, cache):
            folder.mkdir(mode=0o700)
        foundry_program.put_model(FIXTURE / "tiny", cache)

    def server(self) -> dict[str, Any]:
        """What status says of the one server."""
        (server,) = self.status()["servers"]
        found: dict[str, Any] = server
        return found

    def models(self) -> dict[str, Any]:
        """What `models list` says of it: each model, and whether it is in memory."""
        told = json.loads(self.types("models", "list", "--endpoint", self.server()["url"], "--json").out)
        return {model["id"]: model["loaded"] for server in told["servers"] for model in server["models"]}


@pytest.fixture
def owner(sdk: dict[str, str]) -> Iterator[Owner]:
    """The folder's path is short enough for a socket; nothing of the user outlives the test."""
    folder = Path(tempfile.mkdtemp(prefix="orc-"))
    made = Owner(folder, sdk)
    yield made
    apart("runtime", "stop", "--drain", "1s", environment=made.environment)
    left = servers_in(folder / "state")
    made.home.close()
    shutil.rmtree(folder, ignore_errors=True)
    assert left == [], "a stopped runtime leaves no server"


def test_a_foundry_local_of_ours_lives_from_the_manifest_to_down(owner: Owner) -> None:
    """Started and asked for a token; its model unloaded, loaded by the next call, back after kill -9; removed,
    and missed by status; gone after down."""
    manifest = owner.home.path / "clerk.yaml"
    manifest.write_text(CLERK)
    assert f"# small by foundry-local, {VERSION}" in owner.types("models", "command", str(manifest)).out
    owner.types("apply", str(manifest))
    first = owner.server()
    assert owner.asks()["served_by"] == f"foundry-local@{first['url'].removeprefix('http://')}/{NAME}"

    owner.types("models", "unload", ALIAS, "--endpoint", first["url"])
    assert owner.models() == {NAME: False}
    assert owner.asks()["status"] == "completed"
    assert owner.models() == {NAME: True}
    owner.types("models", "load", ALIAS, "--endpoint", first["url"])

    os.kill(first["pid"], signal.SIGKILL)
    eventually(lambda: owner.server()["pid"] not in (None, first["pid"]), 60)
    eventually(lambda: owner.server()["state"] == "ready", 60)
    second = owner.server()
    assert second["url"] == first["url"]
    assert owner.asks()["status"] == "completed"

    owner.types("models", "remove", NAME, "--endpoint", second["url"], "--yes")
    assert owner.models() == {}
    eventually(lambda: owner.status()["state"] == "degraded", 30)
    (told,) = owner.status()["models"]
    assert told["missing"].startswith(f"foundry-local at {second['url'][7:]} has no tiny any more")
    owner.types("down", "clerk")
    eventually(lambda: not psutil.pid_exists(second["pid"]), 20)
