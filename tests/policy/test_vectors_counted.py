"""What an encoder in the cloud was sent is in the figures of the runs, as it was paid."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.report.assumed import Assumed
from orchestrator.app.report.figures import Figures, estimate
from orchestrator.core.served import served_run
from tests.policy.shop import Shop, alone, shop

__all__ = ["alone"]

pytestmark = pytest.mark.anyio

FRONT = {"name": "front", "role": "router", "encoder": "vectors", "stages": ["semantic"], "confidence": "10%"}
AGENTS = (
    {**FRONT, "routes": ["hours", "returns"]},
    {"name": "hours", "examples": ["when do you open", "opening hours today"], "reflex": [{"say": "Nine."}]},
    {"name": "returns", "examples": ["i want to return this", "money back please"], "reflex": [{"say": "Sure."}]},
)


async def figures(it: Shop, *requests: str) -> Figures:
    results = [await it.run(text) for text in requests]
    return Figures(tuple(served_run({**each.as_json(), "finished": 1.0}) for each in results))


async def test_a_text_that_went_to_an_encoder_in_the_cloud_was_not_handled_locally(tmp_path: Path) -> None:
    """The very words of an example need no vector."""
    async with shop(tmp_path, *AGENTS, price={"input": 1, "output": 2}) as it:
        found = await figures(it, "when do you open", "at what time do you open today", "how to give it back")
        sent = [body for body in it.far.asked if "do you open today" in body or "give it back" in body]
        whole = it.opened._runner.engine.ledger.today("shop")["front"]  # type: ignore[attr-defined] # what `status` shows
    assert len(sent) == 2
    assert (found.local.right, found.touched_cloud, len(found.runs)) == (1, 2, 3)
    told = found.tokens()["cloud"]
    spent = estimate(found, Assumed()).spent
    assert (told.calls, told.prompt) == (whole.calls, whole.tokens) and told.prompt > 0
    assert spent == pytest.approx(whole.micros / 1e6) and spent


async def test_without_a_price_what_vectors_cost_is_not_known(tmp_path: Path) -> None:
    async with shop(tmp_path, *AGENTS) as it:
        found = await figures(it, "at what time do you open today")
    assert estimate(found, Assumed()).spent is None
    assert estimate(found, Assumed(cloud_price=(1.0, 2.0))).spent == pytest.approx(found.tokens()["cloud"].prompt / 1e6)


async def test_an_encoder_that_fails_was_asked_all_the_same(tmp_path: Path) -> None:
    async with shop(tmp_path, *AGENTS, price={"input": 1, "output": 2}) as it:
        await it.far.stop()
        found = await figures(it, "at what time do you open today")
    assert found.local.right == 0 and found.tokens()["cloud"].calls == 1
