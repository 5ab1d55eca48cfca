"""The simulated endpoint with a memory of its own: it holds what fits, and tells whoever asks for more."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from orchestrator.core.errors import ModelNotFound, ServerBusy, ServerFailed, Stalled
from orchestrator.core.message import Message
from orchestrator.ports.lifecycle import Loader, LoadOptions
from orchestrator.ports.provider import Capability, ChatCall, Support
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.simulated_loader import GB, SimulatedLoader
from orchestrator.testing.simulated_provider import URL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that happens."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.fixture
def loader() -> SimulatedLoader:
    """Two models of 2 GB in 3 GB; a load takes 10 s, a call 5 s."""
    return SimulatedLoader(simulated(["a", "b"], pace=Pace(ttft=5.0)), 3 * GB, {"a": 2 * GB, "b": 2 * GB})


def call(loader: SimulatedLoader, model: str) -> ChatCall:
    return ChatCall(loader.target(model), (Message("user", "hello"),))


async def test_it_loads_and_says_so(loader: SimulatedLoader) -> None:
    """In its time, once; it fits the port, and the list and the capabilities tell it."""
    assert isinstance(loader, Loader)
    began = anyio.current_time()
    first = await loader.load(loader.target("a"), LoadOptions(), 60.0)
    again = await loader.load(loader.target("a"), LoadOptions(), 60.0)
    assert (first.seconds, again.seconds, anyio.current_time() - began) == (10.0, 0.0, 10.0)
    identity = await loader.identify(URL)
    assert identity is not None
    assert identity.capabilities[Capability.LOAD] is Support.YES
    assert {model.id: model.loaded for model in await loader.models(identity)} == {"a": True, "b": False}
    assert await loader.identify("http://elsewhere.invalid") is None


async def test_what_is_not_loaded_does_not_answer(loader: SimulatedLoader) -> None:
    """So that whoever sends a call too early is found out."""
    with pytest.raises(ServerFailed, match="model 'a' is not loaded"):
        await loader.chat(call(loader, "a"))
    await loader.load(loader.target("a"), LoadOptions(), 60.0)
    assert (await loader.chat(call(loader, "a"))).message.content == "hello"


async def test_what_does_not_fit_is_not_loaded(loader: SimulatedLoader) -> None:
    """Before the other one is unloaded."""
    await loader.load(loader.target("a"), LoadOptions(), 60.0)
    with pytest.raises(ServerFailed, match="out of memory"):
        await loader.load(loader.target("b"), LoadOptions(), 60.0)
    await loader.unload(loader.target("a"), 60.0)
    await loader.load(loader.target("b"), LoadOptions(), 60.0)
    assert [(moved.at, moved.what, moved.model) for moved in loader.moves] == [
        (0.0, "load", "a"),
        (10.0, "loaded", "a"),
        (10.0, "load failed", "b"),
        (10.0, "unload", "a"),
        (10.0, "load", "b"),
        (20.0, "loaded", "b"),
    ]


async def test_a_model_that_answers_is_not_unloaded(loader: SimulatedLoader) -> None:
    """It says how many it answers."""
    await loader.load(loader.target("a"), LoadOptions(), 60.0)
    async with anyio.create_task_group() as group:
        group.start_soon(loader.chat, call(loader, "a"))
        await anyio.sleep(1)
        with pytest.raises(ServerBusy, match="a answers 1 requests"):
            await loader.unload(loader.target("a"), 60.0)


async def test_a_load_that_is_given_up_leaves_no_memory_taken(loader: SimulatedLoader) -> None:
    """By its time-out, or by a fault."""
    with pytest.raises(Stalled):
        await loader.load(loader.target("a"), LoadOptions(), 3.0)
    loader.faults = [ServerFailed("it broke")]
    with pytest.raises(ServerFailed, match="it broke"):
        await loader.load(loader.target("a"), LoadOptions(), 60.0)
    assert loader.taken == 0


async def test_an_unknown_model_is_told(loader: SimulatedLoader) -> None:
    """For loads and unloads."""
    for act in (loader.load(loader.target("x"), LoadOptions(), 1.0), loader.unload(loader.target("x"), 1.0)):
        with pytest.raises(ModelNotFound, match="model 'x' not found"):
            await act
