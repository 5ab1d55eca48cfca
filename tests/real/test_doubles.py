"""Doubles of servers that cannot be had here answer by the real llama-server: text, schemas and log-probabilities are real."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import CompatibleProvider, open_llama_cpp, open_ollama, open_openvino
from orchestrator.plugins.providers.probe.interview import interview
from orchestrator.ports.provider import ChatCall, ServedModel, Target
from orchestrator.testing.conformance import ROUTE, ProviderConformance, Subject
from orchestrator.testing.forwarding import ForwardingShell, forwarding
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.tiny_model import CALLS_TOOLS

pytestmark = pytest.mark.anyio
MAKES = {"ollama": open_ollama, "openvino": open_openvino}


@pytest.fixture(params=MAKES)
async def double(request: pytest.FixtureRequest, tiny_server: LlamaServer) -> AsyncIterator[ForwardingShell]:
    async with forwarding(tiny_server.url, tiny_server.alias, request.param) as shell:
        yield shell


def target_of(shell: ForwardingShell) -> Target:
    base = "v3" if shell.face.name == "openvino" else "v1"
    return Target(shell.face.name, f"{shell.url}/{base}", shell.endpoint.models[0])


class TestDoubles(ProviderConformance):
    """The suite; random weights promise no text and no call, and OpenVINO's double counts no stream."""

    @pytest.fixture
    async def subject(self, double: ForwardingShell) -> AsyncIterator[Subject]:
        provider = MAKES[double.face.name]()
        counts = "stream_usage" not in double.face.ignores
        yield Subject(provider, double.url, target_of(double), echoes=False, tools=False, counts_streams=counts)
        await provider.aclose()


async def test_a_double_says_what_the_real_server_says(double: ForwardingShell, tiny_server: LlamaServer) -> None:
    """The same seed gives the same text, the same probabilities, and an answer that fits its schema."""
    direct, provider = open_llama_cpp(), MAKES[double.face.name]()
    real = Target("llama-cpp", f"{tiny_server.url}/v1", tiny_server.alias)
    replies = []
    for client, target in ((direct, real), (provider, target_of(double))):
        call = ChatCall(target, (Message("user", "hello"),), schema=ROUTE, seed=7, top_logprobs=2, max_tokens=400)
        replies.append(await client.chat(call))
        await client.aclose()
    assert replies[0].message.content == replies[1].message.content
    one, other = ([token.logprob for token in reply.logprobs] for reply in replies)
    assert one == pytest.approx(other, abs=1e-3), "the server's own cache changes the last digits"
    assert json.loads(replies[1].message.content)["route"] in ("billing", "shipping")


async def test_ollamas_double_drops_tool_choice_before_the_real_server_sees_it(llama_server: LlamaServers) -> None:
    """A probe finds it ignored in front of a server that honours it."""
    caller = llama_server(CALLS_TOOLS, alias="caller")
    found = {}
    async with forwarding(caller.url, caller.alias, "ollama") as shell:
        for provider, url in ((open_llama_cpp(), caller.url), (open_ollama(), shell.url)):
            found[provider.kind] = await required(provider, url)
            await provider.aclose()
    assert found == {"llama-cpp": "yes", "ollama": "ignored"}


async def required(provider: CompatibleProvider, url: str) -> str:
    talk = interview(
        provider, Target(provider.kind, f"{url}/v1", "caller"), ServedModel("caller", slots=1, context=2048)
    )
    assert talk is not None
    _, finding = await talk._asked("required")
    return finding.support.value
