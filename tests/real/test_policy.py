"""Budgets on a real llama-server that stands for the cloud: what is settled is what it counted itself."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from orchestrator.core.request import Result
from orchestrator.core.spending import money
from tests.real.llama import LlamaServers
from tests.real.serving import opened, tokens_counted_by, write
from tests.real.tiny_model import CHATTY

pytestmark = pytest.mark.anyio

CLOUD = """\
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY", zone: cloud, price: {input: 1, output: 3}}
  agents:
    - {name: clerk, instructions: You talk., model: tiny, max_tokens: 24}
  escalation:
    budget: {per_day: {tokens: 2000, money: 0.01}}
"""


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_what_is_settled_is_what_the_server_counted(
    llama_server: LlamaServers, tmp_path: Path, in_pieces: bool
) -> None:
    """Until the budget of the day is used up: by the server's own metrics no token more."""
    server = llama_server(CHATTY)
    results: list[Result] = []
    async with opened(write(tmp_path, CLOUD, tiny=server)) as deployment:
        before = tokens_counted_by(server)
        while not results or (results[-1].status == "completed" and len(results) < 200):
            text = f"Request {len(results)}: write to anna@example.org, or call +39 347 123 4567"
            if in_pieces:
                async with aclosing(deployment.stream(text)) as events:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                    results += [event.fields["result"] async for event in events if event.kind == "run.finished"]
            else:
                results.append(await deployment.run(text))
        after = tokens_counted_by(server)
    *answered, refused = results
    assert refused.error is not None and refused.error["code"] == "ORC551", refused.error
    prompt, answer = (
        sum(getattr(each.usage, f"{what}_tokens") for each in answered) for what in ("prompt", "completion")
    )
    assert (after[0] - before[0], after[1] - before[1]) == (prompt, answer)
    assert prompt + answer <= 2000
    told = [step.detail["spent"] for each in answered for step in each.steps if step.kind == "model"]
    counted = [
        f"1 call, {each.usage.total_tokens} tokens, {money(each.usage.prompt_tokens + 3 * each.usage.completion_tokens)} of money"
        for each in answered
    ]
    assert told == counted and len(answered) >= 3
