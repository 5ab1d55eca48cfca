"""Simulated servers tell the window of a model that they really have, and are asked for it."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import ContextTooLong
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.lifecycle import Loader, LoadOptions, Puller
from orchestrator.ports.provider import Capability, ChatCall, Support, Target
from orchestrator.serve.window_first import WindowFirst
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import serving
from orchestrator.testing.lifecycle.store import stored
from tests.providers.opened import open_all

pytestmark = pytest.mark.anyio
WANTED = "qwen2.5:0.5b"


@pytest.mark.parametrize("face", ["ollama", "lemonade"])
async def test_a_simulated_server_tells_the_window_that_it_cuts_at(face: str) -> None:
    """Also of a model that was pulled, and loaded without a word of its window."""
    async with serving(SimulatedEndpoint(kept=stored([], [WANTED]), context=300), face) as shell:
        provider = next(each for each in open_all() if each.kind == face)
        target = Target(face, f"{shell.url}/v1", WANTED)
        assert isinstance(provider, Puller) and isinstance(provider, Loader)
        async for _ in provider.pull(target):
            pass
        loaded = await provider.load(target, LoadOptions(), 5.0)
        await provider.aclose()
    assert loaded.context == shell.endpoint.context == 300


async def test_an_ollama_that_has_the_model_out_is_asked_and_not_sent_what_it_would_cut() -> None:
    """Over the wire: it is loaded, ``/api/ps`` tells its window, and only what fits goes out."""
    learned: dict[str, int] = {}
    endpoint = SimulatedEndpoint(kept=stored([WANTED]), context=300)
    async with serving(endpoint, "ollama") as shell:
        provider = next(each for each in open_all() if each.kind == "ollama")
        target = Target("ollama", f"{shell.url}/v1", WANTED)
        spec = EndpointSpec("m", target, provider, capabilities={Capability.OVERFLOW_REFUSED: Support.IGNORED})
        asked = WindowFirst(spec.provider, spec, learned.__setitem__)
        with pytest.raises(ContextTooLong) as caught:
            await asked.chat(ChatCall(target, (Message("user", "word " * 480),), timeout=5.0))
        sent = len(endpoint.records)
        reply = await asked.chat(ChatCall(target, (Message("user", "hello"),), timeout=5.0))
        pieces = [delta async for delta in asked.stream(ChatCall(target, (Message("user", "hello"),), timeout=5.0))]
        await provider.aclose()
    assert "does not fit the 300 tokens that m serves" in caught.value.message
    assert (learned, endpoint.store.loaded, sent) == ({"m": 300}, {WANTED: 300}, 0)
    assert reply.message.content and pieces[-1].reply is not None
    assert len(endpoint.records) == 2
