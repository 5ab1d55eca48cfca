"""Two bare calls of the official client: a choice, then an answer."""

from __future__ import annotations

import json

from arm import HISTORIES, QUESTION, RESPONSE_FORMAT, ROUTER, Ask, instructions, run
from openai import AsyncOpenAI


def build(url: str) -> Ask:
    """One client for all requests."""
    client = AsyncOpenAI(base_url=url, api_key="none")

    async def ask(size: int) -> str:
        choice = await client.chat.completions.create(
            model="canned",
            messages=[{"role": "system", "content": ROUTER}, {"role": "user", "content": QUESTION}],
            response_format=RESPONSE_FORMAT,
            temperature=0,
            max_tokens=64,
        )
        agent = json.loads(choice.choices[0].message.content)["agent"]
        system = {"role": "system", "content": instructions(agent)}
        reply = await client.chat.completions.create(
            model="canned",
            messages=[system, *HISTORIES[size], {"role": "user", "content": QUESTION}],
            temperature=0,
            max_tokens=160,
        )
        return reply.choices[0].message.content

    return ask


run(build, "openai")
