"""The real OpenVINO GenAI in the worker process: the conformance suite, schemas, lengths, and a real crash."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import numpy as np
import pytest

from orchestrator.core.errors import GrammarRefused, ServerFailed
from orchestrator.core.message import Message
from orchestrator.plugins.providers.in_process.library import OPENVINO
from orchestrator.plugins.providers.in_process.place import address_of
from orchestrator.plugins.providers.in_process.process import Worker
from orchestrator.plugins.providers.in_process.provider import InProcessProvider
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.testing.conformance import ROUTE, ProviderConformance, Subject
from tests.installed.program import environment
from tests.real import tiny_model

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
NO_GRAMMAR: list[dict[str, object]] = [
    {"type": "array", "minItems": 2500, "maxItems": 2500},
    {"type": "string", "pattern": "^(?=a)b$"},
    {"enum": []},
    {"type": "integer", "minimum": 5, "maximum": 1},
]
VERSION = "2026.4.1.0"


@pytest.fixture(scope="module")
def python() -> str:
    return str(environment(f"openvino-{VERSION}", [f"openvino-genai=={VERSION}"]) / "python")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the tiny model in half precision: OpenVINO reads no GGUF file of whole floats."""
    folder: Path = tmp_path_factory.mktemp("openvino")
    tokenizer = tiny_model.train_tokenizer()
    weights = dict(tiny_model.weights(tiny_model.CALLS_TOOLS, tokenizer.get_vocab()))
    halved = {name: each.astype(np.float16) if each.ndim > 1 else each for name, each in weights.items()}
    tiny_model.write_gguf(folder / "tiny.gguf", tokenizer, halved)  # type: ignore[arg-type] # half of a float is one too
    return address_of(OPENVINO, str(folder))


@pytest.fixture
async def provider(python: str) -> AsyncIterator[InProcessProvider]:
    opened = InProcessProvider(OPENVINO, Worker(OPENVINO, python))
    yield opened
    await opened.aclose()


def call(place: str) -> ChatCall:
    return ChatCall(Target("openvino-genai", place, "tiny"), (Message("user", "hello"),), timeout=60.0)


class TestOpenVino(ProviderConformance):
    """The suite; random weights promise no text."""

    @pytest.fixture
    async def subject(self, provider: InProcessProvider, place: str) -> Subject:
        dead = Target("openvino-genai", "http://127.0.0.1:9", "tiny")
        return Subject(provider, place, call(place).target, echoes=False, tools=False, dead=dead)


async def test_every_answer_to_a_schema_fits_it(provider: InProcessProvider, place: str) -> None:
    """Twenty answers of random weights, each by another seed."""
    routes = set()
    for seed in range(20):
        asked = replace(call(place), schema=ROUTE, seed=seed, temperature=1.0, max_tokens=1500)
        value = json.loads((await provider.chat(asked)).message.content)
        assert value.keys() == {"route", "sure"}
        assert 0 <= value["sure"] <= 9
        routes.add(value["route"])
    assert routes == {"billing", "shipping"}


@pytest.mark.parametrize("schema", NO_GRAMMAR, ids=str)
async def test_a_schema_that_it_cannot_hold_to_is_told_as_that(
    provider: InProcessProvider, place: str, schema: dict[str, object]
) -> None:
    """Whoever asked says it in words then."""
    with pytest.raises(GrammarRefused):
        await provider.chat(replace(call(place), schema=schema))


async def test_a_length_is_kept_and_told(provider: InProcessProvider, place: str) -> None:
    """With the counts of the library."""
    reply = await provider.chat(replace(call(place), max_tokens=3, temperature=1.0, seed=1))
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 3)
    assert reply.usage.prompt_tokens > 5


async def test_a_process_that_is_killed_takes_one_answer(provider: InProcessProvider, place: str) -> None:
    """While it writes; the next one is written by a new process."""
    assert (await provider.chat(replace(call(place), max_tokens=4))).usage.completion_tokens
    process = provider._worker._process
    assert process is not None

    async def kill() -> None:
        await anyio.sleep(0.2)  # into the middle of an answer: the process is real
        os.kill(process.pid, signal.SIGKILL)

    async def ask_until_it_fails() -> ServerFailed:
        while True:
            try:
                await provider.chat(replace(call(place), max_tokens=3000, temperature=1.0))
            except ServerFailed as error:
                return error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        error = await ask_until_it_fails()
    assert error.message == "the process of OpenVINO GenAI was ended by SIGKILL"
    assert (await provider.chat(replace(call(place), max_tokens=4))).usage.completion_tokens
