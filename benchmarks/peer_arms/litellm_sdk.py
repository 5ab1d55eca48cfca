"""litellm: two calls of its SDK."""

from __future__ import annotations

import json
import os

from arm import HISTORIES, QUESTION, RESPONSE_FORMAT, ROUTER, Ask, instructions, run

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it asks the network for prices
import litellm


def build(url: str) -> Ask:
    """Its clients are kept by litellm itself."""
    place = {"model": "openai/canned", "api_base": url, "api_key": "none", "temperature": 0}

    async def ask(size: int) -> str:
        choice = await litellm.acompletion(
            messages=[{"role": "system", "content": ROUTER}, {"role": "user", "content": QUESTION}],
            response_format=RESPONSE_FORMAT,
            max_tokens=64,
            **place,
        )
        system = {"role": "system", "content": instructions(json.loads(choice.choices[0].message.content)["agent"])}
        reply = await litellm.acompletion(
            messages=[system, *HISTORIES[size], {"role": "user", "content": QUESTION}], max_tokens=160, **place
        )
        return reply.choices[0].message.content

    return ask


run(build, "litellm", "openai")
