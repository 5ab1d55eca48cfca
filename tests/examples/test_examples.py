"""The examples on their labelled requests, with no model: what the README claims of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from examples.evaluation import Score, evaluate_example

ROOT = Path(__file__).parents[2] / "examples"
MANIFESTS = [ROOT / "retail-kiosk" / "kiosk.yaml", ROOT / "customer-service" / "help-desk.yaml"]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=MANIFESTS, ids=lambda path: path.parent.name)
async def scores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Score, Score]:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("DESK_STATE", str(tmp_path / "desk"))
    own_wording, paraphrases = await evaluate_example(request.param)
    sys.stdout.write(f"{own_wording}\n{paraphrases}\n")
    return own_wording, paraphrases


async def test_requests_in_the_manifests_own_wording_are_answered_right(scores: tuple[Score, Score]) -> None:
    """With no model at least 90 % of them are right."""
    assert scores[0].share("right") >= 0.90, str(scores[0])


async def test_paraphrases_are_right_or_honestly_unsure(scores: tuple[Score, Score]) -> None:
    """At least 90 % are right or ask back, at most 5 % are confidently wrong."""
    assert scores[1].share("right", "unsure") >= 0.90, str(scores[1])
    assert scores[1].share("wrong") <= 0.05, str(scores[1])
