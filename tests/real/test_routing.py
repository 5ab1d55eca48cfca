"""Routers on a real llama.cpp server: the short list, the kind of a confidence, and requests that are several."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.real.llama import LlamaServers
from tests.real.serving import opened, write
from tests.real.tiny_model import TinyModel

pytestmark = pytest.mark.anyio
HEAD = """\
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
  agents:
"""
SHOP = (
    HEAD
    + """\
    - {name: front, role: router, stages: [lexical, intent], model: tiny$MORE, routes: [bills, faults, offers, hours, returns]}
    - {name: bills, examples: [send me the bill, the bill is too high, pay the bill], reflex: [{say: bills}]}
    - {name: faults, examples: [the drill is broken, repair the drill, it does not start], reflex: [{say: faults}]}
    - {name: offers, examples: [offer for a drill, what does a drill cost, discount], reflex: [{say: offers}]}
    - {name: hours, examples: [when do you open, are you open on sunday], reflex: [{say: hours}]}
    - {name: returns, examples: [return the drill, money back, send it back], reflex: [{say: returns}]}
"""
)
QUESTIONS = [f"what about the drill and the bill number {number}" for number in range(8)]


@pytest.mark.parametrize(("more", "kept"), [("", True), (", model_confidence: {llama-cpp: 100%}", False)])
async def test_the_model_is_asked_about_three_and_its_confidence_is_of_its_kind(
    llama_server: LlamaServers, tmp_path: Path, more: str, kept: bool
) -> None:
    """With a threshold that random weights never reach, nobody is chosen by the same answers."""
    server = llama_server(TinyModel(seed=4))
    async with opened(write(tmp_path, SHOP.replace("$MORE", more), tiny=server)) as shop:
        results = [await shop.run(question) for question in QUESTIONS]
    server.kill()
    asked = [each.decisions[0] for each in results if each.usage.model_calls]
    assert len(asked) == len(QUESTIONS)
    chose = [each for each in asked if re.search(r"intent: tiny chose \w+ \(\d+%\) of 3$", each.why)]
    doubted = [each for each in asked if "but 100% is needed of llama-cpp" in each.why]
    assert [bool(chose), bool(doubted)] == [kept, not kept]
    assert all(each.choice is not None and each.kind == "llama-cpp" for each in chose)
    assert all(each.choice is None for each in doubted)


SEVERAL = (
    HEAD
    + """\
    - {name: front, role: router, several: true, stages: [keyword], model: tiny, routes: [bills, faults]}
    - {name: bills, keywords: [bill], instructions: You answer bills., model: tiny, max_tokens: 20, temperature: 0}
    - {name: faults, keywords: [broken], instructions: You mend., model: tiny, max_tokens: 20, temperature: 0}
"""
)


async def test_two_specialists_answer_at_the_same_time_and_in_one_stream(
    llama_server: LlamaServers, tmp_path: Path
) -> None:
    """The reply is what was streamed, in the order of the request; the tokens of both are counted."""
    server = llama_server(TinyModel(seed=1))
    async with opened(write(tmp_path, SEVERAL, tiny=server)) as shop:
        events = [event async for event in shop.stream("my drill is broken, and the bill is too high")]
        after = await shop.run("and the bill?")
    server.kill()
    result = events[-1].fields["result"]
    assert "".join(event.fields["text"] for event in events if event.kind == "run.delta") == result.text
    assert result.text.startswith("faults:\n") and "\n\nbills:\n" in result.text
    assert [part.status for part in result.parts] == ["completed", "completed"], result.parts
    assert result.usage.model_calls == 2 and 2 <= result.usage.completion_tokens <= 40
    assert (after.agent, after.parts) == ("bills", ())
