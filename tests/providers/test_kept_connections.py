"""Kept connections and the servers that close them: what is asked on a connection of its own, and what one that was given up
costs. Both for our own line and for the one that carries what needs TLS or a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.providers.line.answer import Line
from orchestrator.plugins.providers.line.far import FarLine
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.line.near import KEEP_ALIVE, NearLine
from orchestrator.plugins.providers.makes import generic
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.serve.loop import Ask, Loop
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.http_shell import HttpShell
from orchestrator.testing.pace import Pace

pytestmark = pytest.mark.anyio

UVICORN_CLOSES_AFTER = 5.0
CALL = ChatCall(Target("", "", ""), (Message("user", "one two three"),))


class Counting(HttpShell):
    """Counts the connections that are made."""

    made = 0

    def _connection(self) -> object:  # type: ignore[override] # what it makes is of no interest here
        self.made += 1
        return super()._connection()


@pytest.fixture
def endpoint() -> SimulatedEndpoint:
    return simulated(["m"], slots=8, pace=Pace(ttft=0.05))


@pytest.fixture
async def shell(endpoint: SimulatedEndpoint) -> AsyncIterator[Counting]:
    shell = Counting(endpoint)
    await shell.start()
    yield shell
    await shell.stop()


@pytest.fixture(params=[NearLine, FarLine])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[CompatibleProvider]:
    line: Line = request.param()
    opened = CompatibleProvider(generic.MAKE, HttpLine(near=line))
    yield opened
    await opened.aclose()


def target(shell: HttpShell) -> Target:
    return Target("openai-compatible", f"{shell.url}/v1", "m")


def test_connections_are_given_up_well_before_servers_close_them() -> None:
    """Both lines, and the probes that keep away from that moment too."""
    assert 2.0 <= KEEP_ALIVE <= 3.0 < UVICORN_CLOSES_AFTER


async def test_a_probe_goes_over_a_connection_of_its_own(provider: CompatibleProvider, shell: Counting) -> None:
    """A kept one might be closed at that moment, which says nothing about the server; and none of a probe is kept, so that no
    call meets one that the server closes."""
    call = ChatCall(target(shell), CALL.messages)
    await provider.chat(call)
    assert shell.made == 1
    for probes in (1, 2):
        assert await provider.identify(shell.url)
        assert shell.made == 1 + probes * len(provider.make.looks_at)
    await provider.chat(call)
    assert shell.made == 1 + 2 * len(provider.make.looks_at), "the call found its own"


async def test_a_kept_connection_that_its_server_has_closed_costs_one_attempt_and_counts_for_nothing(
    provider: CompatibleProvider, shell: Counting, endpoint: SimulatedEndpoint
) -> None:
    """The race of keep-alive, through the whole loop: the call is answered on a fresh connection, though three kept ones are
    dead, and the breaker has seen nothing."""
    spec = EndpointSpec("a", target(shell), provider, slots=3)
    loop = Loop()
    loop.set_endpoints({"a": spec})
    async with anyio.create_task_group() as group:
        await group.start(loop.run)

        async def ask() -> Ask:
            one = Ask(CALL, ("a",), anyio.current_time() + 10.0)
            assert (await loop.chat(one)).message.content == "one two three"
            return one

        async with anyio.create_task_group() as crowd:  # three at once leave three kept connections
            for _ in range(3):
                crowd.start_soon(ask)
        assert shell.made >= 3  # a probe of the loop may have made others
        endpoint.arm(*["stale"] * 3)
        one = await ask()
        assert [attempt.outcome for attempt in one.trace.attempts] == ["StaleConnection", "ok"]
        assert [(view.failures, view.breaker, view.state) for view in loop.snapshot()] == [(0, "closed", "ready")]
        group.cancel_scope.cancel()
