"""Servers that count tokens are asked before a prompt near the manifest's limit is sent; of others it is estimated with care."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from orchestrator.core.errors import ContextTooLong
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.plugins.providers.compatible import CompatibleProvider, open_llama_cpp, open_ollama, open_vllm
from orchestrator.ports.provider import Capability, ChatCall, Counter, Support, Target
from orchestrator.serve.ask import Ask, provider_for
from orchestrator.serve.counted import Counted
from orchestrator.serve.effect import Start
from orchestrator.serve.steps.window import window_of
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.http_shell import serving

pytestmark = pytest.mark.anyio

OPEN = {"llama-cpp": open_llama_cpp, "vllm": open_vllm, "ollama": open_ollama}


@asynccontextmanager
async def asked(make: str, face: str) -> AsyncIterator[tuple[CompatibleProvider, SimulatedEndpoint, Target]]:
    """A provider of this make and a server with this face."""
    endpoint, provider = simulated(["m"]), OPEN[make]()
    async with serving(endpoint, face) as shell:
        try:
            yield provider, endpoint, Target(make, f"{shell.url}/v1", "m")
        finally:
            await provider.aclose()


def call(target: Target, text: str) -> ChatCall:
    return ChatCall(target, (Message("user", text),), max_tokens=8)


def guarded(provider: CompatibleProvider, target: Target) -> Counted:
    """Held to the 1000 tokens of a manifest."""
    told = {Capability.OVERFLOW_REFUSED: Support.YES}
    return Counted(provider, window_of(EndpointSpec("a", target, provider, 1, 1000, told, bounded=True)))


@pytest.mark.parametrize("make", ["llama-cpp", "vllm"])
async def test_a_server_tells_how_many_tokens_a_prompt_is(make: str) -> None:
    """Four characters to one in these doubles; a server that does not tell, as an old one does not, tells nothing."""
    async with asked(make, make) as (provider, endpoint, target):
        assert isinstance(provider, Counter)
        assert await provider.count(call(target, "x" * 4000)) == 1000
        assert endpoint.records == []
    async with asked(make, "openai") as (provider, _, target):
        assert isinstance(provider, Counter)
        assert await provider.count(call(target, "x" * 4000)) is None
    assert await provider.count(call(Target(make, "http://127.0.0.1:9/v1", "m"), "x")) is None


@pytest.mark.parametrize("make", ["llama-cpp", "vllm"])
async def test_what_the_manifest_allows_is_held_to_by_the_servers_own_count(make: str) -> None:
    """To the token, whole and streamed; what is more is not sent."""
    async with asked(make, make) as (provider, endpoint, target):
        held = guarded(provider, target)
        await held.chat(call(target, "x" * 4 * 992))
        async with aclosing(held.stream(call(target, "x" * 4 * 992))) as pieces:  # type: ignore[type-var] # a generator
            assert [delta async for delta in pieces][-1].reply is not None
        with pytest.raises(
            ContextTooLong, match="the prompt of 993 tokens, with 8 for the answer, does not fit the 1000"
        ):
            await held.chat(call(target, "x" * (4 * 992 + 1)))
        assert len(endpoint.records) == 2


@pytest.mark.parametrize("make", ["llama-cpp", "vllm"])
async def test_where_nothing_is_counted_the_careful_estimate_holds(make: str) -> None:
    """Three bytes to a token, though the server itself would take more."""
    async with asked(make, "openai") as (provider, endpoint, target):
        held = guarded(provider, target)
        await held.chat(call(target, "x" * 2900))
        with pytest.raises(ContextTooLong, match="does not fit the 1000 tokens that context_length allows at a"):
            await held.chat(call(target, "x" * 3100))
        assert len(endpoint.records) == 1


async def test_a_call_goes_by_the_count_where_the_manifest_is_the_limit() -> None:
    """Not where the server's own limit is as low, nor to the cloud, which has a way of its own."""
    async with asked("vllm", "vllm") as (provider, _, target):
        ask = Ask(call(target, "x"), ("a",), 1.0)
        for bounded, window, counts in ((True, None, True), (False, None, False), (True, 500, False)):
            spec = EndpointSpec("a", target, provider, 1, 1000, bounded=bounded)
            carrier = provider_for(ask, Start(1, spec, "first", target, window=window))
            assert isinstance(carrier, Counted) is counts


async def test_a_make_that_does_not_count_is_held_to_the_estimate_at_once() -> None:
    """Nor does one whose own limit it is: that refuses by itself."""
    async with asked("ollama", "ollama") as (provider, _, target):
        assert not isinstance(provider, Counter)
        assert not window_of(EndpointSpec("a", target, provider, 1, 1000, bounded=True)).counts
    async with asked("vllm", "vllm") as (provider, _, target):
        assert not window_of(EndpointSpec("a", target, provider, 1, 1000)).counts
