"""Simulated servers tell the window of a model that they really have."""

from __future__ import annotations

import pytest

from orchestrator.ports.lifecycle import Loader, LoadOptions, Puller
from orchestrator.ports.provider import Target
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
