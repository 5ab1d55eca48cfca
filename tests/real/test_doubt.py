"""Signs of a wrong answer on a real llama.cpp server: what it tells of its tokens, what looking costs, whom it goes to.

The model has random weights: that it is unsure is true of it, and no figure of quality comes from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.request import Result
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.serving import opened, tokens_counted_by, write
from tests.real.tiny_model import TinyModel

pytestmark = pytest.mark.anyio

SHOP = """\
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
    - {alias: judge, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
  tools: [clock]
  entry: clerk
  agents:
    - name: clerk
      instructions: You sell.
      model: tiny
      max_tokens: 200
      escalate_to: lead
      escalate_when: WHEN
      MORE
    - {name: lead, role: escalation, description: Knows better., reflex: [{say: The lead answers.}]}
"""
SCHEMA = "output_schema: {type: object, properties: {price: {enum: [low, high]}}, required: [price], additionalProperties: false}"


@pytest.fixture(scope="module")
def server(llama_server: LlamaServers) -> LlamaServer:
    """One with random weights."""
    return llama_server(TinyModel(seed=1))


def shop(folder: Path, server: LlamaServer, when: str, more: str = "memory: {turns: 4}") -> Path:
    """A clerk that looks for these signs."""
    return write(folder, SHOP.replace("WHEN", when).replace("MORE", more), tiny=server)


def looks(result: Result) -> list[dict[str, Any]]:
    """What each look saw."""
    return [dict(step.detail) for step in result.steps if step.kind == "doubt"]


async def test_the_margin_is_of_the_tokens_that_the_server_tells(server: LlamaServer, tmp_path: Path) -> None:
    """A probability for each answer; of answers held to a schema only the value counts."""
    for more in ("memory: {turns: 4}", SCHEMA):
        scores = set()
        async with opened(
            shop(tmp_path, server, "[{low_confidence: {threshold: 0, measure: probability}}]", more)
        ) as deployment:
            for number in range(6):
                result = await deployment.run(f"Question {number}: how much is it?", options={"seed": number})
                (look,) = looks(result)
                assert (result.agent, look["verdict"], look["model"]) == ("clerk", "kept", "llama-cpp/tiny")
                assert 0 <= look["score"] <= 1 and result.notes == ()
                scores.add(look["score"])
        assert len(scores) > 1


async def test_an_unsure_answer_goes_up(server: LlamaServer, tmp_path: Path) -> None:
    """The lead gets the request; the attempt stands in the run."""
    async with opened(shop(tmp_path, server, "[{low_confidence: {threshold: 1}}]")) as deployment:
        result = await deployment.run("How much is it?", options={"seed": 1})
    assert (result.text, result.agent) == ("The lead answers.", "lead")
    assert looks(result)[0]["answer"] and "low_confidence" in result.why


async def test_what_looking_costs_is_what_the_server_counted(server: LlamaServer, tmp_path: Path) -> None:
    """Two more answers, a self-check and a judge: five calls, and exactly the tokens of the server's own metrics."""
    signs = ("agreement: {samples: 3, longest: 9000, ", "self_check: {", "judge: {model: judge, ")
    when = f"[{', '.join(f'{{{sign}threshold: 0}}}}' for sign in signs)}]"
    async with opened(shop(tmp_path, server, when)) as deployment:
        before = tokens_counted_by(server)
        result = await deployment.run("How much is it?", options={"seed": 3})
        after = tokens_counted_by(server)
    assert [(look["sign"], look["calls"]) for look in looks(result)] == [
        ("agreement", 2),
        ("self_check", 1),
        ("judge", 1),
    ]
    assert result.usage.model_calls == 5 and result.agent == "clerk"
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (after[0] - before[0], after[1] - before[1])
    (decision,) = [each for each in result.decisions if each.strategy == "doubt"]
    assert "cost 4 more calls" in decision.why
    assert all(0 <= look["score"] <= 1 for look in looks(result))
    assert not looks(result)[1]["scale"].endswith(":word")  # it told how probable yes was, and not only the word


async def test_an_agent_with_functions_is_looked_at_too(server: LlamaServer, tmp_path: Path) -> None:
    """Its last answer only, streamed to nobody before it is kept."""
    pieces: list[str] = []
    async with opened(
        shop(tmp_path, server, "[low_confidence, {agreement: {longest: 9000}}]", "tools: [clock]")
    ) as deployment:
        result = await deployment.run(
            "How much is it?", options={"seed": 3}, listen=lambda event: pieces.append(event.kind)
        )
    assert result.error is None and looks(result)
    assert pieces.count("run.delta") == 1
