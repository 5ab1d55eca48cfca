"""The scores on the pages of the examples are those that the examples have."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from examples.evaluation import Score, Verdict, evaluate_example
from tests.docs.pages import ROOT

MANIFESTS = ["retail-kiosk/kiosk.yaml", "customer-service/help-desk.yaml"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", MANIFESTS)
async def test_the_page_of_an_example_tells_its_score(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On both files of labelled requests, without a model, and that of the stub."""
    monkeypatch.delenv("DESK_STATE", raising=False)
    manifest = ROOT / "examples" / name
    page = (manifest.parent / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d+) [^|]*" + r"\| ([\d.%]+) " * 5 + r"\|$", page, re.MULTILINE)
    assert told == [_row(score) for score in await evaluate_example(manifest)]


def _row(score: Score) -> tuple[str, ...]:
    shares = (score.share(verdict) for verdict in get_args(Verdict))
    return str(len(score.scored)), *(f"{share:.1%}" for share in shares)
