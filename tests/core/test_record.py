"""Records: what the type checker and the run time each hold them to."""

from __future__ import annotations

from dataclasses import field, replace

import pytest

from orchestrator.core.record import record


@record
class Told:
    """One with each kind of field."""

    name: str
    about: tuple[str, ...] = ()
    seen: list[int] = field(default_factory=list, compare=False)


def test_it_is_compared_and_hashed_by_its_fields() -> None:
    """Those that count."""
    assert Told("a", ("b",), [1]) == Told("a", ("b",), [2])
    assert len({Told("a"), Told("a"), Told("b")}) == 2


def test_another_is_made_of_it() -> None:
    """The first stays as it was."""
    first = Told("a")
    assert (replace(first, name="b").name, first.name) == ("b", "a")
    assert first.seen is not Told("a").seen


def test_the_type_checker_refuses_a_change() -> None:
    """An unused ``type: ignore`` is an error of ``make check``: without ``frozen_default`` this file would not pass it."""
    told = Told("a")
    told.name = "b"  # type: ignore[misc] # what this test is about
    assert told.name == "b"


def test_there_is_no_field_that_was_not_declared() -> None:
    """Slots: no name that is misspelt, and no dictionary to pay for."""
    with pytest.raises(AttributeError):
        Told("a").nam = "b"  # type: ignore[attr-defined] # what this test is about
