"""A figure that misses its target is told as such, and the program of the benchmarks fails for it."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as program
from benchmarks import measure, startup
from benchmarks.measure import at_least, at_most


def test_a_missed_target_is_told_and_remembered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are kept, and figures without a target, are not."""
    missed: list[str] = []
    monkeypatch.setattr(measure, "MISSED", missed)
    measure.show([at_most("slow", 99.0, "ms", 1.0), at_least("often", 3.0, "x", 2.0), measure.Row("free", 1.0, "MB")])
    assert missed == ["slow"]
    assert [line[:4] for line in capsys.readouterr().out.splitlines()] == ["MISS", "ok  ", "    "]


@pytest.mark.parametrize(("limit", "code"), [(1.0, 1), (100.0, 0)])
def test_the_program_fails_where_one_was_missed(limit: float, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a script, or who types `make bench`, need not read every row."""
    missed: list[str] = []
    monkeypatch.setattr(measure, "MISSED", missed)
    monkeypatch.setattr(program, "MISSED", missed)
    monkeypatch.setattr(startup, "main", lambda: measure.show([at_most("figure", 99.0, "ms", limit)]))
    monkeypatch.setattr("sys.argv", ["benchmarks", "startup"])
    assert program.main() == code
