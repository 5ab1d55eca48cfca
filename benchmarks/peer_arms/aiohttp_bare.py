"""A client that talks HTTP with aiohttp and does nothing else: two requests, nothing checked, nothing kept."""

from __future__ import annotations

import json

import aiohttp
from arm import HISTORIES, QUESTION, RESPONSE_FORMAT, ROUTER, Ask, instructions, run


def build(url: str) -> Ask:
    """One session for all requests."""
    session = aiohttp.ClientSession()

    async def call(**body: object) -> str:
        data = json.dumps({"model": "canned", "temperature": 0, **body}, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json"}
        async with session.post(f"{url}/chat/completions", data=data, headers=headers) as response:
            reply = json.loads(await response.read())
        return reply["choices"][0]["message"]["content"]

    async def ask(size: int) -> str:
        question = {"role": "user", "content": QUESTION}
        said = await call(messages=[{"role": "system", "content": ROUTER}, question], response_format=RESPONSE_FORMAT)
        system = {"role": "system", "content": instructions(json.loads(said)["agent"])}
        return await call(messages=[system, *HISTORIES[size], question], max_tokens=160)

    return ask


run(build, "aiohttp")
