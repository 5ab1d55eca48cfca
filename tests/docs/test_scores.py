"""The scores on the pages of the examples are those that the examples have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.evaluation import Score, evaluate_example
from tests.docs.pages import ROOT

MANIFESTS = ["retail-kiosk/kiosk.yaml", "customer-service/help-desk.yaml"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", MANIFESTS)
async def test_the_page_of_an_example_tells_its_score(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both files of labelled requests, without a model."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    monkeypatch.setenv("DESK_STATE", str(tmp_path / "desk"))
    manifest = ROOT / "examples" / name
    page = (manifest.parent / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d+) [^|]*\| ([\d.%]+) \| ([\d.%]+) \| ([\d.%]+) \|$", page, re.MULTILINE)
    assert told == [_row(score) for score in await evaluate_example(manifest)]


def _row(score: Score) -> tuple[str, str, str, str]:
    shares = (score.share("right"), score.share("right", "unsure"), score.share("wrong"))
    right, honest, wrong = (f"{share:.1%}" for share in shares)
    return str(len(score.scored)), right, honest, wrong
