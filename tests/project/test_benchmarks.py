"""A figure that misses its target is told as such, and the program of the benchmarks fails for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import __main__ as program
from benchmarks import measure, routing, startup
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


def test_what_a_child_takes_is_its_own() -> None:
    """Not what its parent holds: this process is made large first."""
    held = bytearray(200_000_000)
    small = measure.run_process([sys.executable, "-c", "pass"])
    large = measure.run_process([sys.executable, "-c", "held = bytearray(120_000_000); sum(range(3_000_000))"])
    assert len(held) > 2e6 * small.peak_mb
    assert 110 < large.peak_mb < 180
    assert small.cpu < large.cpu <= large.wall + 0.2


def test_a_child_that_fails_is_an_error_with_what_it_said() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        measure.run_process([sys.executable, "-c", "import sys; sys.exit('no such thing')"])
    assert "no such thing" in caught.value.stderr


def test_a_missed_figure_of_routing_is_remembered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    missed: list[str] = []
    monkeypatch.setattr(measure, "MISSED", missed)
    routing._print("a title", iter([at_least("accuracy", 0.5, "", 0.9)]))
    assert missed == ["accuracy"]
