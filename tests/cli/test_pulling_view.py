"""The figures of a pull: size, speed and what is left, whatever the server tells and whenever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.view.pulling import RESUMED_ABOVE, Meter
from orchestrator.ports.lifecycle import PullProgress

GIGABYTE = 1_000_000_000


def come(completed: int | None, total: int | None = 4 * GIGABYTE) -> PullProgress:
    return PullProgress("downloading", "", completed, total)


def test_speed_and_time_left_are_of_the_last_seconds() -> None:
    """A slow beginning is forgotten."""
    meter = Meter()
    for second, completed in enumerate((0, 1, 2, 3, 4, 5)):
        meter.take(come(completed), second)
    for second in range(6, 17):
        meter.take(come((second - 6) * 100_000_000), second)
    assert meter.speed == 100_000_000
    assert meter.left == 30
    assert meter.words() == "1.0 GB of 4.0 GB (25%), 100 MB/s, 30.0 s left"


def test_what_is_expected_counts_until_the_server_tells_more() -> None:
    """Ollama tells of a layer once it begins, so the whole is not less than what the catalogue says."""
    meter = Meter(3 * GIGABYTE)
    meter.take(PullProgress("asking", "pulling manifest"), 0)
    assert (meter.total, meter.words()) == (3 * GIGABYTE, "pulling manifest")
    meter.take(come(0, 1_000), 1)
    assert meter.total == 3 * GIGABYTE
    meter.take(come(0, 4 * GIGABYTE), 2)
    assert meter.total == 4 * GIGABYTE


def test_what_has_come_is_the_whole_once_it_is_verified() -> None:
    """Also where the catalogue expected more."""
    meter = Meter(3 * GIGABYTE)
    meter.take(come(2 * GIGABYTE, 2 * GIGABYTE), 0)
    assert meter.words() == "2.0 GB of 3.0 GB (67%)"
    meter.take(PullProgress("verifying", "", 2 * GIGABYTE, 2 * GIGABYTE), 1)
    assert meter.words() == "2.0 GB of 2.0 GB (100%)"


def test_only_what_was_there_at_once_was_there_before() -> None:
    """The first figure tells, and only a large one."""
    fresh, resumed = Meter(), Meter()
    fresh.take(come(1_000_000), 0)
    fresh.take(come(2 * RESUMED_ABOVE), 1)
    resumed.take(come(2 * RESUMED_ABOVE), 0)
    assert (fresh.resumed, resumed.resumed) == (0, 2 * RESUMED_ABOVE)


FIGURES = st.none() | st.integers(min_value=0, max_value=10**13)


@given(st.lists(st.tuples(FIGURES, FIGURES, st.floats(min_value=0, max_value=60)), max_size=30), FIGURES)
def test_no_figures_make_nonsense(told: list[tuple[int | None, int | None, float]], expected: int | None) -> None:
    """Going back, standing still, all at once: words come out, and no speed or time is below zero."""
    meter, now = Meter(expected), 0.0
    for completed, total, wait in told:
        now += wait
        meter.take(come(completed, total), now)
        assert "-" not in meter.words()
        assert (meter.speed or 0) >= 0 and (meter.left or 0) >= 0
