"""A request that comes to one node and is answered by another. All waiting is of virtual time."""

from __future__ import annotations

import anyio
import pytest

from orchestrator.core.errors import TooLargeToSend
from orchestrator.serve.later import FORWARDED, may_be_kept
from tests.mesh.sim import fleet, request

pytestmark = pytest.mark.anyio


async def test_a_request_is_answered_by_the_node_that_holds_its_agent() -> None:
    """And the answer says which one that was."""
    async with fleet() as net:
        here = await net.start("a", "orders")
        await net.start("b", "billing")
        await anyio.sleep(1)
        answer = await here.mesh.ask(request(), "billing")
        assert (answer.node, answer.result.text) == ("b", "b-1")


async def test_what_is_larger_than_a_message_is_told_at_once_and_is_not_tried_again() -> None:
    """Nobody is away, and it would be as large later: it is neither waited for nor kept. What is asked after it is answered."""
    async with fleet() as net:
        here = await net.start("a", "orders")
        await net.start("b", "billing")
        await anyio.sleep(1)
        began = anyio.current_time()
        with pytest.raises(TooLargeToSend) as told:
            await here.mesh.ask(request("\u6f22" * 400_000), "billing")
        assert anyio.current_time() - began < 0.1
        assert "too large to go to b" in told.value.message
        assert not may_be_kept(told.value) and "TooLargeToSend" not in FORWARDED
        assert (await here.mesh.ask(request(), "billing")).node == "b"


async def test_a_large_request_in_any_script_takes_the_room_of_its_letters() -> None:
    """And not of escapes: 200,000 signs of three bytes each are well below a message's limit."""
    async with fleet() as net:
        here = await net.start("a", "orders")
        await net.start("b", "billing")
        await anyio.sleep(1)
        assert (await here.mesh.ask(request("\u6f22" * 200_000), "billing")).node == "b"


async def test_an_answer_that_is_larger_than_a_message_is_told() -> None:
    """Its caller does not wait for it, and nobody else is asked to make it again."""
    async with fleet() as net:
        here = await net.start("a", "orders")
        there = await net.start("b", "billing")
        there.worker.says = "\u6f22" * 400_000
        await anyio.sleep(1)
        with pytest.raises(TooLargeToSend, match="the answer of billing is too large to come from b"):
            await here.mesh.ask(request(), "billing")
