"""The corpus of manifests with one fault each: every one is refused, for that fault only, with its place and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.diagnostic import Severity
from tests.manifest.golden import ROOT, compare, refusal, said

FOLDER = ROOT / "tests" / "invalid"
FILES = sorted(path.name for path in FOLDER.glob("[0-9]*.yaml"))


def test_the_corpus_is_large_enough() -> None:
    """At least sixty manifests, numbered without gaps."""
    assert len(FILES) >= 60
    assert [int(name[:3]) for name in FILES] == list(range(1, len(FILES) + 1))


@pytest.mark.parametrize("name", FILES)
def test_one_fault_is_told_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole diagnostic is the golden one, and there is one error."""
    monkeypatch.chdir(FOLDER)
    error = refusal([name])
    errors = [one for one in error.diagnostics if one.severity is Severity.ERROR]
    assert len(errors) == 1, said(error)
    assert errors[0].place is not None
    assert errors[0].cure
    compare(FOLDER / Path(name).with_suffix(".txt"), said(error))
