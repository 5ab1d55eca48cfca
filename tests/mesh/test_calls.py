"""A request that comes to one node and is answered by another."""

from __future__ import annotations

import anyio
import pytest

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
