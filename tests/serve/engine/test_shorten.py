"""A text that is cut for its place: what is hidden from the cloud is never cut in half."""

from __future__ import annotations

from orchestrator.serve.steps.shorten import shortened

TEXT = f"Mario Rossi {'x' * 200} Eva Canella"
NAMES = ((0, 11, "patient"), (213, 224, "patient"))


def test_a_value_is_left_out_whole_where_it_would_be_cut() -> None:
    plain, _ = shortened(TEXT, 40)
    assert plain.startswith("Mario R\n") and plain.endswith("\nanella")
    cut, left_out = shortened(TEXT, 40, NAMES)
    assert cut == f"\n({left_out} characters left out)\n" and left_out == len(TEXT)


def test_a_value_in_room_stays() -> None:
    cut, left_out = shortened(TEXT, 120, NAMES)
    assert cut.startswith("Mario Rossi xx") and cut.endswith("xx Eva Canella")
    assert len(cut) <= 120 and left_out == len(TEXT) - (len(cut) - len(f"\n({left_out} characters left out)\n"))


def test_values_over_each_other_are_left_out_together() -> None:
    cut, _ = shortened("a" * 60 + "b" * 60, 90, ((10, 40, "f"), (20, 45, "f"), (80, 110, "f"), (100, 118, "f")))
    assert cut.startswith("a" * 10 + "\n(") and cut.endswith(")\nbb")


def test_what_fits_is_not_touched() -> None:
    assert shortened(TEXT, 500, NAMES) == (TEXT, 0)
