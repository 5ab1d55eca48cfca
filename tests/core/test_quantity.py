"""Durations, sizes and shares: what is none ends in a sentence of ours, whatever it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.core.quantity import parse_duration, parse_limit, parse_share, parse_size


@pytest.mark.parametrize(
    "value",
    [None, True, [1], {"s": 1}, b"1s", object, "", "soon", -1, float("nan"), 10**400],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize(
    ("parse", "accepted"),
    [
        (parse_duration, "is no duration; write it like 30s, 250ms, 2m or 1h30m"),
        (parse_size, "is no size; write it like 8GB, 512MB, 8GiB or 8Gi"),
        (parse_share, "is no share; write it like 80% or 0.8"),
        (parse_limit, "is no (size|share); write it like "),
    ],
)
def test_what_is_none_is_told_with_what_is_accepted(
    parse: Callable[[object], float], accepted: str, value: object
) -> None:
    """A value of any type that JSON or Python can give."""
    with pytest.raises(ValueError, match=accepted):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_duration, "1h30m", 5400.0),
        (parse_duration, " 250 MS ", 0.25),
        (parse_duration, 3, 3.0),
        (parse_duration, 0, 0.0),
        (parse_size, "8GB", 8 * 10**9),
        (parse_size, "8Gi", 8 * 2**30),
        (parse_size, 512, 512),
        (parse_share, "80%", 0.8),
        (parse_share, 1, 1.0),
        (parse_limit, "75%", 0.75),
        (parse_limit, "75 MB", 75 * 10**6),
    ],
)
def test_what_people_write_is_read(parse: Callable[[object], float], text: object, value: float) -> None:
    """Texts and plain numbers."""
    assert parse(text) == value
