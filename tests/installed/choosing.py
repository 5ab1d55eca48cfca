"""A choice that a real server makes by ``/v1/systemone``."""

from __future__ import annotations

from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.strategies.answer import confidence_of, read_choice
from orchestrator.ports.provider import ChatCall, Choice, Target

NAMES = {"orders": "Where an order is.", "billing": "Bills and payments.", "none": "None of these fits."}


async def compare_choice(provider: CompatibleProvider, target: Target) -> None:
    """It is one of the names, with a probability, in one prompt; and the same again."""
    choice = Choice("Which assistant should answer?", {"request": "where is my parcel?"}, NAMES, "agent")
    words = (Message("user", "where is my parcel?"),)
    try:
        replies = [await provider.chat(ChatCall(target, words, max_tokens=8, choice=choice)) for _ in range(2)]
    finally:
        await provider.aclose()
    for reply in replies:
        assert reply.kind == "systemone", reply
        name, fault = read_choice(reply.message.content, list(NAMES))
        assert (name in NAMES, fault) == (True, "")
        sure = confidence_of(reply)
        assert sure is not None and 0 <= sure <= 1
        assert reply.usage.prompt_tokens > 10 and not reply.usage.estimated
    assert replies[0].message == replies[1].message
