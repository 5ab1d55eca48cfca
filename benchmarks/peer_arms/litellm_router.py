"""litellm: two calls through its Router, which balances and retries."""

from __future__ import annotations

import json
import os

from arm import HISTORIES, QUESTION, RESPONSE_FORMAT, ROUTER, Ask, instructions, run

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it asks the network for prices
from litellm import Router


def build(url: str) -> Ask:
    """One router with one deployment."""
    place = {"model": "openai/canned", "api_base": url, "api_key": "none"}
    router = Router(model_list=[{"model_name": "m", "litellm_params": place}])

    async def ask(size: int) -> str:
        choice = await router.acompletion(
            model="m",
            messages=[{"role": "system", "content": ROUTER}, {"role": "user", "content": QUESTION}],
            response_format=RESPONSE_FORMAT,
            temperature=0,
            max_tokens=64,
        )
        system = {"role": "system", "content": instructions(json.loads(choice.choices[0].message.content)["agent"])}
        reply = await router.acompletion(
            model="m",
            messages=[system, *HISTORIES[size], {"role": "user", "content": QUESTION}],
            temperature=0,
            max_tokens=160,
        )
        return reply.choices[0].message.content

    return ask


run(build, "litellm", "openai")
