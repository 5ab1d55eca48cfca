"""Agent Framework: two agents, called one after the other by plain code."""

from __future__ import annotations

from arm import QUESTION, Ask, run
from team import asked, make_team


def build(url: str) -> Ask:
    """The agents are made once."""
    front, specialists = make_team(url)

    async def ask(size: int) -> str:
        choice = await front.run(QUESTION)
        reply = await specialists[choice.value.agent].run(asked(size))
        return reply.text

    return ask


run(build, "agent-framework-core", "agent-framework-openai", "openai")
