"""How many processes a server should have, on virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deploy.demand import Demand, Load

EVERY = 10.0
"""Seconds between two looks, as in a runtime."""


class Watched:
    """A server of two slots a process, whose processes are there as soon as they are wished."""

    def __init__(self, most: int = 3, room: int = 99) -> None:
        self.demand = Demand()
        self.most = most
        self.room = room
        self.now = 100.0

    @property
    def processes(self) -> int:
        return min(self.demand.wished("desk/a"), self.room)

    def passes(self, seconds: float, busy: int) -> int:
        """Time with so many calls in work or waiting; gives how many processes are wished then."""
        end = self.now + seconds
        while self.now < end:
            there = self.processes
            self.demand.on_seen("desk/a", Load(busy, 2 * there, there), self.most, self.now)
            self.now += EVERY
        return self.demand.wished("desk/a")


def test_half_a_minute_of_work_on_more_than_80_percent_asks_for_one_more() -> None:
    """Not before; and the next one only after half a minute with that one."""
    watched = Watched()
    assert watched.passes(30, busy=9) == 1
    assert watched.passes(10, busy=9) == 2
    assert watched.passes(30, busy=9) == 2
    assert watched.passes(10, busy=9) == 3
    assert watched.passes(600, busy=9) == 3


def test_a_short_burst_and_a_load_of_80_percent_ask_for_none() -> None:
    """A burst waits its turn; at half of the slots nobody waits long."""
    watched = Watched()
    assert watched.passes(20, busy=50) == 1
    assert watched.passes(60, busy=0) == 1
    assert watched.passes(600, busy=1) == 1


def test_five_minutes_of_calm_end_one() -> None:
    """A moment of work in between begins them anew."""
    watched = Watched(most=2)
    watched.passes(40, busy=9)
    assert watched.passes(290, busy=1) == 2
    assert watched.passes(10, busy=4) == 2
    assert watched.passes(300, busy=1) == 2
    assert watched.passes(10, busy=1) == 1
    assert watched.passes(3000, busy=0) == 1


def test_what_has_no_room_is_not_asked_for_twice_and_forgotten_when_it_is_calm() -> None:
    """One that was wished and did not come is no reason to wish for a third."""
    watched = Watched(room=1)
    assert watched.passes(600, busy=9) == 2
    assert watched.passes(310, busy=0) == 1


def test_what_runs_from_an_earlier_life_is_wished_until_it_is_calm() -> None:
    """And a manifest that allows fewer holds at once."""
    watched = Watched()
    watched.demand.begin("desk/a", 3)
    assert watched.passes(10, busy=9) == 3
    watched.most = 2
    assert watched.passes(10, busy=9) == 2
    watched.demand.keep(set())
    assert watched.demand.wished("desk/a") == 1


@given(
    looks=st.lists(st.tuples(st.floats(0.1, 400), st.integers(0, 20), st.integers(0, 4)), max_size=60),
    most=st.integers(1, 4),
)
def test_whatever_is_seen_it_wishes_between_one_and_the_most(looks: list[tuple[float, int, int]], most: int) -> None:
    """And changes by one at a time."""
    demand, now, before = Demand(), 0.0, 1
    for pause, busy, processes in looks:
        now += pause
        demand.on_seen("a", Load(busy, 2 * processes, processes), most, now)
        wished = demand.wished("a")
        assert 1 <= wished <= most and abs(wished - before) <= 1
        before = wished
