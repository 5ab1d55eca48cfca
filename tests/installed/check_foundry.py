"""The real core of Foundry Local 2: the conformance suite, schemas, and what a probe finds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import open_foundry_local
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.testing.conformance import ROUTE, ProviderConformance, Subject
from tests.installed import foundry_program
from tests.installed.build_onnx import FIXTURE
from tests.installed.program import environment, running
from tests.installed.shown import compare_with_lock

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
VERSION = "2.2.1"
NAME = foundry_program.VARIANT


@pytest.fixture(scope="module")
def foundry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    programs = environment(f"foundry-local-{VERSION}", [f"foundry-local-sdk=={VERSION}"])
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


async def test_a_probe_finds_what_the_lock_file_says(foundry: str) -> None:
    """Log-probabilities are ignored; a grammar goes into response_format."""
    await compare_with_lock([foundry], Path(f"foundry-local-{VERSION}.lock.json"), deep=True)
