"""The real ONNX Runtime GenAI in the worker process: the conformance suite, schemas, contexts, and a real crash."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest

from orchestrator.core.errors import ContextTooLong, GrammarRefused, ServerFailed
from orchestrator.core.message import Message
from orchestrator.plugins.providers.in_process.library import ONNX
from orchestrator.plugins.providers.in_process.place import address_of
from orchestrator.plugins.providers.in_process.process import Worker
from orchestrator.plugins.providers.in_process.provider import InProcessProvider
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.testing.conformance import ROUTE, ProviderConformance, Subject
from tests.installed.build_onnx import FIXTURE
from tests.installed.program import environment

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
NO_GRAMMAR: list[dict[str, object]] = [
    {"not": {"type": "string"}},
    {"type": "string", "pattern": "^(?=a)b$"},
    {"type": "object", "unevaluatedProperties": False},
    {"if": {"type": "string"}, "then": {"minLength": 3}},
]
VERSION = "0.18.0"
PLACE = address_of(ONNX, str(FIXTURE))
CALL = ChatCall(Target("onnx", PLACE, "tiny"), (Message("user", "hello"),), timeout=60.0)


@pytest.fixture(scope="module")
def python() -> str:
    return str(environment(f"onnx-{VERSION}", [f"onnxruntime-genai=={VERSION}"]) / "python")


@pytest.fixture
async def worker(python: str) -> AsyncIterator[Worker]:
    made = Worker(ONNX, python)
    yield made
    await made.aclose()


class TestOnnx(ProviderConformance):
    """The suite; random weights promise no text."""

    @pytest.fixture
    async def subject(self, worker: Worker) -> Subject:
        dead = Target("onnx", "http://127.0.0.1:9", "tiny")
        return Subject(InProcessProvider(ONNX, worker), PLACE, CALL.target, echoes=False, tools=False, dead=dead)


async def test_every_answer_to_a_schema_fits_it(worker: Worker) -> None:
    """Twenty answers of random weights, each by another seed."""
    provider = InProcessProvider(ONNX, worker)
    routes = set()
    for seed in range(20):
        reply = await provider.chat(replace(CALL, schema=ROUTE, seed=seed, temperature=1.0, max_tokens=400))
        value = json.loads(reply.message.content)
        assert value.keys() == {"route", "sure"}
        assert 0 <= value["sure"] <= 9
        routes.add(value["route"])
    assert routes == {"billing", "shipping"}


@pytest.mark.parametrize("schema", NO_GRAMMAR, ids=str)
async def test_a_schema_that_it_cannot_hold_to_is_told_as_that(worker: Worker, schema: dict[str, object]) -> None:
    """Whoever asked says it in words then."""
    with pytest.raises(GrammarRefused):
        await InProcessProvider(ONNX, worker).chat(replace(CALL, schema=schema))


async def test_a_prompt_that_does_not_fit_is_told(worker: Worker) -> None:
    """Before it is run."""
    with pytest.raises(ContextTooLong, match="exceed the context of 4096"):
        await InProcessProvider(ONNX, worker).chat(replace(CALL, messages=(Message("user", "word " * 9000),)))


async def test_a_process_that_is_killed_takes_one_answer(worker: Worker) -> None:
    """While it writes; the next one is written by a new process."""
    provider = InProcessProvider(ONNX, worker)
    assert (await provider.chat(replace(CALL, max_tokens=4))).usage.completion_tokens
    process = worker._process
    assert process is not None

    async def kill() -> None:
        await anyio.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)

    async def ask_until_it_fails() -> ServerFailed:
        while True:
            try:
                await provider.chat(replace(CALL, max_tokens=3000, temperature=1.0))
            except ServerFailed as error:
                return error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        error = await ask_until_it_fails()
    assert error.message == "the process of ONNX Runtime GenAI was ended by SIGKILL"
    assert (await provider.chat(replace(CALL, max_tokens=4))).usage.completion_tokens
