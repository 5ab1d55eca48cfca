"""A lease: by hand what a person expects, and by property that two never hold it at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import Conflict
from orchestrator.node.lease import LEAP, Holding, Lease, Read, Terms, Write
from orchestrator.ports.bus import Entry


def held(lease: Lease, revision: int, now: float) -> Lease:
    """A lease that is held, as written at ``now``."""
    write = Write(Holding(lease.node, lease.run, lease.seen + 1).written(), revision - 1, lease.seen + 1)
    lease.on_written(Entry("k", write.value, revision), write, now)
    return lease


def test_the_first_of_a_new_fleet_holds_it_after_a_moment() -> None:
    """In which others would tell of a lease."""
    lease = Lease("a", 1)
    assert lease.next_action(0.0) == Read()
    write = lease.on_read(None, 0.0)
    assert write == Write(Holding("a", 1, 1).written(), 0, 1, 1.5)
    assert lease.on_written(Entry("k", write.value, 1), write, 0.0)
    assert not lease.holds(1.4) and lease.holds(1.5) and lease.begins == 1.5


def test_it_is_held_from_when_the_write_was_sent() -> None:
    """Not from when its success was heard of; 4.5 s long, unless it is renewed."""
    lease = held(Lease("a", 1), 1, 10.0)
    assert lease.holds(14.4) and not lease.holds(14.5) and lease.due == 12.0
    renewal = lease.next_action(12.0)
    assert isinstance(renewal, Write) and (renewal.expected, renewal.epoch) == (1, 1)
    assert not lease.on_written(Entry("k", renewal.value, 2), renewal, 12.0)
    assert lease.holds(16.4) and lease.epoch == 1


def test_other_terms_keep_the_proportions() -> None:
    """The usual ones among them."""
    assert Terms.of(6.0) == Terms() and Terms.of(12.0) == Terms(12.0, 4.0, 9.0, 3.0)


def test_another_takes_it_when_it_has_not_changed_for_six_seconds_of_its_own_clock() -> None:
    """With a higher epoch."""
    lease, entry = Lease("b", 1), Entry("k", Holding("a", 1, 4).written(), 9)
    assert lease.on_read(entry, 0.0) is None and lease.holder == "a"
    assert lease.on_read(entry, 5.9) is None and lease.due == pytest.approx(6.0)
    assert lease.on_read(entry, 6.0) == Write(Holding("b", 1, 5).written(), 9, 5)
    renewed = Entry("k", Holding("a", 1, 4).written(), 10)
    assert lease.on_read(renewed, 6.1) is None


def test_one_that_has_expired_in_the_store_is_taken_at_once_over_its_revision() -> None:
    """An entry without a value is no entry that is not there: who writes as if it were would fail."""
    assert Lease("b", 1, seen=4).on_read(Entry("k", b"", 12), 0.0) == Write(Holding("b", 1, 5).written(), 12, 5)


def test_a_store_that_forgot_is_not_believed_at_once() -> None:
    """The holder may still act: what is written counts after six seconds, in which it is renewed, and its epoch is far above."""
    lease = Lease("b", 1, seen=4)
    write = lease.on_read(None, 0.0)
    assert write == Write(Holding("b", 1, 4 + LEAP).written(), 0, 4 + LEAP, 6.0)
    lease.on_written(Entry("k", write.value, 1), write, 0.0)
    for at, revision in ((2.0, 2), (4.0, 3)):
        renewal = lease.next_action(at)
        assert isinstance(renewal, Write) and renewal.expected == revision - 1
        lease.on_written(Entry("k", renewal.value, revision), renewal, at)
    assert not lease.holds(5.9) and lease.holds(6.0) and lease.give_back(5.9) is None


def test_who_knows_that_its_earlier_life_is_over_does_not_wait_for_it() -> None:
    """But for what that one waited for itself, and only of the very holding that it knows."""
    entry = Entry("k", Holding("a", 1, 4).written(), 9)
    assert Lease("a", 2, former=(4, -3.0)).on_read(entry, 0.0) == Write(Holding("a", 2, 5).written(), 9, 5, 0.0)
    assert Lease("a", 2, former=(4, 2.5)).on_read(entry, 0.0) == Write(Holding("a", 2, 5).written(), 9, 5, 2.5)
    assert Lease("a", 2, former=(3, -3.0)).on_read(entry, 0.0) == Write(Holding("a", 2, 5).written(), 9, 5, 6.0)


def test_who_was_restarted_takes_its_own_back_under_a_new_epoch() -> None:
    """After the same time as others would: its earlier life may have waited for somebody else's to end."""
    entry = Entry("k", Holding("a", 1, 4).written(), 9)
    assert Lease("a", 2).on_read(entry, 0.0) == Write(Holding("a", 2, 5).written(), 9, 5, 6.0)


def test_a_conflict_ends_it_and_a_store_that_does_not_answer_lets_it_run_out() -> None:
    """After 4.5 s, which is before anybody else may have it."""
    lost = held(Lease("a", 1), 1, 0.0)
    lost.on_conflict(1.0)
    assert not lost.holds(1.0)
    away = held(Lease("a", 1), 1, 0.0)
    away.on_down(2.0)
    assert away.holds(4.4) and not away.holds(4.5) and away.next_action(2.5) == Read()


def test_a_write_of_which_nothing_was_heard_is_written_again() -> None:
    """What stands there is ours, but nobody knows since when."""
    lease = held(Lease("a", 1), 1, 0.0)
    lease.on_down(2.0)
    again = lease.on_read(Entry("k", Holding("a", 1, 1).written(), 2), 2.5)
    assert again == Write(Holding("a", 1, 1).written(), 2, 1)


def test_it_is_given_back_over_its_own_revision_only() -> None:
    """And is not held from that moment."""
    lease = held(Lease("a", 1), 7, 0.0)
    free = lease.give_back(0.1)
    assert free == Write(Holding("", 0, 1).written(), 7, 1) and not lease.holds(0.1) and lease.give_back(0.1) is None


def test_who_takes_what_was_given_back_knows_its_epoch() -> None:
    """Also one that had stood still, and has not heard of it: seen in a simulation, where two nodes had the same epoch."""
    free = Entry("k", Holding("", 0, 1004).written(), 97)
    assert Lease("b", 1, seen=3).on_read(free, 32.0) == Write(Holding("b", 1, 1005).written(), 97, 1005, 0.0)


def test_whose_time_is_over_gives_nothing_back() -> None:
    """In a store that was deleted and counts anew, its revision may be that of somebody else's entry."""
    late = held(Lease("a", 1), 3, 0.0)
    assert late.give_back(4.5) is None


def test_what_is_broken_is_taken_after_the_same_time() -> None:
    """Nobody holds it, as far as anybody knows."""
    lease, entry = Lease("b", 1, seen=2), Entry("k", b"{", 3)
    assert lease.on_read(entry, 0.0) is None
    assert lease.on_read(entry, 6.0) == Write(Holding("b", 1, 3).written(), 3, 3)


# ---- two never hold it at once ----------------------------------------------------------------------------------------


class Store:
    """One entry that expires, and may be forgotten."""

    def __init__(self) -> None:
        self.entry: Entry | None = None
        self.revision, self.at = 0, 0.0

    def read(self, now: float) -> Entry | None:
        if self.entry is not None and self.entry.value and now - self.at >= Terms().ttl:
            self.write(b"", now)
        return self.entry

    def swap(self, value: bytes, expected: int, now: float) -> Entry:
        found = self.read(now)
        if (found.revision if found else 0) != expected:
            raise Conflict("somebody was faster")
        return self.write(value, now)

    def write(self, value: bytes, now: float) -> Entry:
        self.revision += 1
        self.entry, self.at = Entry("k", value, self.revision), now
        return self.entry

    def wipe(self) -> None:
        self.entry, self.revision = None, 0


steps = st.lists(
    st.tuples(
        st.sampled_from(["turn", "turn", "turn", "turn", "freeze", "wipe", "restart", "give back"]),
        st.integers(0, 2),
        st.floats(0.01, 3.0),
        st.sampled_from(["fine", "fine", "fine", "lost there", "lost back"]),
        st.floats(0, 1.9),
    ),
    max_size=150,
)
RATES = (0.9, 1.0, 1.18)
"""Clocks of which one runs a third faster than another."""


@settings(max_examples=400)
@given(steps)
def test_two_never_hold_it_at_once(happens: list[Any]) -> None:
    """With clocks of different rates, answers that are lost or late, frozen holders, restarts and a store that forgets; and no
    epoch is used by two. Nodes hear of each other's epochs, as by heartbeats."""
    store, now = Store(), 0.0
    leases = [Lease(f"n{at}", 1) for at in range(3)]
    frozen = [0.0, 0.0, 0.0]
    owners: dict[int, tuple[str, int]] = {}
    for what, at, pause, way, late in happens:
        now += pause
        lease, clock = leases[at], now * RATES[at]
        highest = max(one.seen for one in leases)
        if what == "wipe":
            store.wipe()
        elif what == "restart":
            leases[at] = Lease(lease.node, lease.run + 1, seen=lease.seen)
        elif what == "freeze":
            frozen[at] = now + late * 8
        elif now >= frozen[at] and clock >= lease.due and what == "turn":
            lease.seen = max(lease.seen, highest)
            _turn(lease, store, now, RATES[at], (way, late))
        elif what == "give back" and (write := lease.give_back(clock)) is not None:
            try:
                store.swap(write.value, write.expected, now)
            except Conflict:
                lease.on_conflict(clock)
        holding = [one for one, rate in zip(leases, RATES, strict=True) if one.holds(now * rate)]
        assert len(holding) <= 1
        for one in holding:
            assert owners.setdefault(one.epoch, (one.node, one.run)) == (one.node, one.run)


def test_a_lease_that_came_and_was_deleted_between_two_looks_is_not_taken_twice() -> None:
    """Who finds nothing twice does not know what was there in between."""
    test = test_two_never_hold_it_at_once.hypothesis.inner_test  # type: ignore[attr-defined] # what hypothesis adds
    turns = [("turn", at, pause, "fine", 0.0) for at, pause in ((0, 3.0), (1, 3.0), (1, 3.0))]
    test([*turns, ("wipe", 1, 2.0, "fine", 0.0), *[("turn", at, 0.5, "fine", 0.0) for at in (0, 1, 2) * 9]])


def _turn(lease: Lease, store: Store, now: float, rate: float, fate: tuple[str, float]) -> None:
    """One turn of its driver; the clock of the node goes on by ``late`` seconds until it hears the answer."""
    way, late = fate
    action = lease.next_action(now * rate)
    if not isinstance(action, Write):
        if way != "fine":
            lease.on_down(now * rate)
            return
        write = lease.on_read(store.read(now), now * rate)
        if write is None:
            return
        action = write
    if way == "lost there":
        lease.on_down(now * rate)
        return
    try:
        entry = store.swap(action.value, action.expected, now)
    except Conflict:
        lease.on_conflict(now * rate)
        return
    if way == "lost back":
        lease.on_down(now * rate)
        return
    lease.on_written(entry, action, now * rate)
    assert late < 2


def test_others_wait_for_as_long_as_the_holder_says_and_never_less_than_it_may_hold() -> None:
    """The term may be another one by now, here and there; and a store lets entries expire by its own."""
    long, short = Terms.of(12.0), Terms.of(3.0)
    holder, other = Lease("a", 1, long), Lease("b", 1, short)
    first = holder.on_read(None, 0.0)
    assert first is not None
    entry = Entry("k", first.value, 1)
    holder.on_written(entry, first, 0.0)
    assert holder.holds(8.9) and not holder.holds(9.0)
    assert other.on_read(entry, 0.0) is None and other.on_read(entry, 11.9) is None
    late = other.on_read(entry, 12.0)
    assert late is not None and late.grace == 0.0
    expired = Lease("c", 1, short)
    assert expired.on_read(entry, 0.0) is None
    taken = expired.on_read(Entry("k", b"", 2), 6.0)
    assert taken is not None and taken.grace == 6.0
    expired.on_written(Entry("k", taken.value, 3), taken, 6.0)
    assert not any(expired.holds(6.0 + step / 10) and holder.holds(6.0 + step / 10) for step in range(100))
