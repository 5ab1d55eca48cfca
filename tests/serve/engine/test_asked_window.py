"""Where a server loads a model only for the call that needs it, and nobody manages that: its window is asked before anything is
sent that it would cut without a word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from orchestrator.core.errors import BadRequest, ModelNotFound
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.lifecycle import Loaded, LoadOptions
from orchestrator.ports.provider import Capability, Support, Target, Zone
from orchestrator.serve.engine import Engine
from orchestrator.serve.loop import Loop
from orchestrator.serve.session import Sessions
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import script_from
from orchestrator.testing.simulated_loader import SimulatedLoader
from tests.serve.engine.parts import Served, Wanted, agent_spec, model_spec

pytestmark = pytest.mark.anyio
OLLAMAS = {
    Capability.OVERFLOW_REFUSED: Support.IGNORED,
    Capability.LOAD: Support.YES,
    Capability.CONTEXT_TOLD: Support.YES,
}
ALONE = Wanted(
    [agent_spec("sales", models=["a"], escalate_when=[])], models={"a": model_spec("a")}, bound={"a": ("a",)}
)
LONG = "word " * 3000
LOADING = 10.0


class Shut(SimulatedLoader):
    """May be ``closed``: then what stands before the server refuses what is no call."""

    closed = False

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """See there."""
        if self.closed:
            raise BadRequest("no such path")
        return await super().load(target, options, timeout)


@asynccontextmanager
async def serving(
    context: int = 1000, written: int | None = None, wanted: Wanted = ALONE
) -> AsyncIterator[tuple[Served, Shut]]:
    """No pool: the scheduler neither loads nor unloads."""
    server = simulated(["a"], script_from({}), context=context, ignores=frozenset(("overflow",)))
    provider = Shut(server, 10**10, {"a": 10**9}, LOADING)
    events: list[Event] = []
    loop = Loop(on_event=events.append, jitter=lambda: 0.5)
    made = wanted.deployment(provider, {"a": provider.target().api_base})
    spec = EndpointSpec("a", provider.target("a"), provider, 4, written, OLLAMAS, bounded=written is not None)
    deployment = replace(made, endpoints={"a": spec}, pools={})
    async with anyio.create_task_group() as tasks:
        await tasks.start(loop.run)
        loop.set_endpoints(deployment.endpoints)
        yield Served(Engine(deployment, loop, Sessions(), events.append), (server,), loop, events), provider
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("written", [None, 100_000])
async def test_what_would_be_cut_is_not_sent_the_first_time_nor_the_second(written: int | None) -> None:
    """It is loaded for that once; and whatever the manifest writes, no more than the server has is believed."""
    async with serving(written=written) as (served, provider):
        first = await served.run(LONG)
        second = await served.run(LONG)
        assert served.server.records == []
        short = await served.run("hello")
    for each in (first, second):
        assert each.error is not None and each.error["code"] == "ORC525"
        assert "does not fit the 1000 tokens that a serves" in each.error["message"]
    assert (short.status, short.notes, provider.loads) == ("completed", (), 1)


async def test_what_fits_is_sent_once_it_is_loaded() -> None:
    """And the next one without asking again, whole or in pieces."""
    async with serving() as (served, provider):
        began = anyio.current_time()
        first = await served.run("hello", lambda _: None)
        took = anyio.current_time() - began
        second = await served.run("hello")
        assert served.loop.told("a") == 1000
    assert (first.status, second.status, provider.loads) == ("completed", "completed", 1)
    assert took >= LOADING


async def test_older_turns_are_left_out_for_the_window_that_was_asked() -> None:
    """As where it was known before; in what is sent first, too."""
    turns = tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n} " + "word " * 100) for n in range(10))
    async with serving() as (served, _):
        result = await served.run("and now?", history=turns)
        sent = served.sent()
    assert result.notes == ("6 older messages of the conversation did not fit the context of a and were left out",)
    assert [text.split(" word")[0] for _, text in sent[1:]] == ["turn 6", "turn 7", "turn 8", "turn 9", "and now?"]


async def test_a_model_that_went_is_asked_again() -> None:
    """Its server may load it with another window than before."""
    async with serving(context=100_000) as (served, provider):
        assert (await served.run(LONG)).status == "completed"
        await provider.unload(provider.target("a"), 10.0)
        served.loop.set_loaded({"a": False}, anyio.current_time())
        provider.context = served.server.context = 1000
        sent = len(served.server.records)
        again = await served.run(LONG)
        assert len(served.server.records) == sent
    assert again.error is not None and "does not fit the 1000 tokens that a serves" in again.error["message"]


async def test_a_server_that_does_not_load_on_request_is_told_of_afterwards() -> None:
    """What stands before it lets nothing through but calls: nobody knows its window, and the call is sent."""
    async with serving() as (served, provider):
        await provider.load(provider.target("a"), LoadOptions(), 60.0)
        provider.closed = True
        result = await served.run(LONG)
    assert result.status == "completed"
    assert result.notes == ("a read only 1000 tokens of the prompt: the rest was cut without a word",)


async def test_a_load_that_fails_is_the_calls_failure() -> None:
    """As it would have been where the call itself had loaded it."""
    async with serving() as (served, provider):
        provider.faults.extend([ModelNotFound("there is no a")] * 9)
        result = await served.run("hello")
        assert served.server.records == []
    assert result.error is not None and result.error["code"] == "ORC526"


async def test_a_load_ends_with_the_deadline_of_its_call() -> None:
    """Nothing is sent after it."""
    async with serving() as (served, _):
        result = await served.run("hello", timeout=LOADING / 2)
        assert served.server.records == []
    assert result.error is not None and result.error["code"] == "ORC504"


def test_of_the_cloud_nothing_is_loaded() -> None:
    """Nobody's memory is there to be filled from here."""
    provider = SimulatedLoader(simulated(["a"]), 1, {"a": 1})
    zones: dict[Zone, bool] = {"node": True, "lan": True, "cloud": False}
    targets = {zone: replace(provider.target("a"), zone=zone) for zone in zones}
    found = {
        zone: EndpointSpec("a", target, provider, capabilities=OLLAMAS).cuts_unasked for zone, target in targets.items()
    }
    assert found == zones
