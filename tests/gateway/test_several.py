"""A request that is several, through the front door with the official client."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.gateway.conftest import OpenDoor
from tests.serve.engine.parts import Wanted, agent_spec, router_spec, rule

pytestmark = pytest.mark.anyio
TEXT: list[Any] = [{"role": "user", "content": "call me back and what is the price?"}]
REPLY = "calls:\nWe will call you.\n\nprices:\nTen euro."


def wanted() -> Wanted:
    front = router_spec("front", {"calls": "call", "prices": "price"})
    front["several"] = True
    return Wanted([front, agent_spec("calls"), agent_spec("prices", models=[], reflex=[rule("Ten euro.")])])


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_reply_is_one_text_and_its_parts_are_told(open_door: OpenDoor, streamed: bool) -> None:
    """The same text in pieces; what came of each part stands in the extension of the answer."""
    async with open_door(wanted(), simulated(["m"], Script(default="We will call you."))) as door:
        answer: Any = await door.client.chat.completions.create(model="shop", messages=TEXT, stream=streamed)
        if streamed:
            chunks = [chunk async for chunk in answer]
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            about = chunks[-1].orchestrator
        else:
            text, about = answer.choices[0].message.content, answer.orchestrator
            assert answer.usage.completion_tokens > 0
    assert text == REPLY
    assert about["agent"] == "calls, prices"
    assert [(part["agent"], part["asked"], part["status"]) for part in about["parts"]] == [
        ("calls", "call me back", "completed"),
        ("prices", "what is the price?", "completed"),
    ]
