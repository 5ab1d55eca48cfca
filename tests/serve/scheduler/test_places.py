"""A limit of requests in work beside models that take turns: the limit is kept, and the models do not change for it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.deploy.residence import PoolLimits
from orchestrator.serve.places import Place, Places
from orchestrator.serve.scheduler_limits import PRIORITIES, SchedulerLimits
from tests.serve.scheduler.machine import GB, Machine, pool, resident, spec
from tests.serve.scheduler.world import LOAD_SECONDS, Wish, World

ONE = PoolLimits(10 * GB)
names = st.sampled_from(["a", "b", "c"])
places = st.integers(1, 4)


def _world(most: int | None, slots: int = 8, others: int = 0) -> World:
    """Three models, memory for one of them."""
    plain = [spec("plain", slots=others)] if others else []
    return World([*(resident(name, 6, slots) for name in "abc"), *plain], ONE, most=most)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 8, None])
def test_requests_that_wait_for_models_are_seen_whatever_the_limit(most: int | None) -> None:
    """Twelve in turn for three models are three loads, where first come, first served would take twelve."""
    world = _world(most)
    told = world.play([Wish(0.0, (name,)) for name in "abc" * 4])
    assert [swap.model for swap in world.swaps] == ["model-a", "model-b", "model-c"]
    assert all(not one.fault for one in told.values())


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_limit_does_not_make_models_change_more_often_while_requests_come_for_longer(most: int) -> None:
    """Each second one, for a minute: at most half of the loads of first come, first served, which would be sixty."""
    world = _world(most)
    told = world.play([Wish(1.0, (name,), 0.5) for name in "abc" * 20])
    assert len(world.swaps) <= 30
    assert all(not one.fault for one in told.values())


requests = st.builds(
    Wish,
    after=st.sampled_from([0.0, 0.3, 1.0, 2.0, 12.0]),
    candidates=st.one_of(st.tuples(names), st.tuples(names), st.just(("plain",)), st.tuples(names, names)),
    takes=st.sampled_from([0.1, 1.0, 4.0, 30.0]),
    priority=st.sampled_from(PRIORITIES),
    patience=st.just(1e6),
    then=st.lists(st.one_of(names, st.just("plain")), max_size=3).map(tuple),
    between=st.sampled_from([0.0, 0.5, 20.0]),
)
more = st.lists(st.one_of(names, st.just("plain")), max_size=2).map(tuple)
in_parts = st.builds(lambda wish, beside: replace(wish, beside=beside), requests, more)


@settings(max_examples=300, deadline=None)
@given(coming=st.lists(in_parts, min_size=1, max_size=30), most=places, slots=st.integers(1, 3))
def test_nobody_waits_for_ever_and_no_more_work_than_may(coming: list[Wish], most: int, slots: int) -> None:
    """Requests of several steps and several parts, over models that take turns and others: each ends well, also where it changes
    models while it is in work, and the world sees the limit kept at each moment."""
    world = _world(most, slots, others=slots)
    told = world.play(coming)
    assert all(one.ended < inf and not one.fault for one in told.values())
    assert (world.places.inside, sum(world.places.waits)) == (0, 0)
    work = sum(one.wish.takes + one.wish.between for one in told.values())
    swaps = len(world.swaps) * (LOAD_SECONDS + 0.5)
    assert max(one.ended for one in told.values()) <= work + swaps + sum(wish.after for wish in coming) + 120 + 1e-6


@settings(max_examples=200, deadline=None)
@given(coming=st.lists(requests, min_size=1, max_size=30), most=places)
def test_a_swap_is_for_work(coming: list[Wish], most: int) -> None:
    """No model comes and goes without a call on it, where each request is one part."""
    world = _world(most, others=4)
    told = world.play(coming).values()
    ends = [swap.decided for swap in world.swaps[1:]]
    for swap, end in zip(world.swaps, ends, strict=False):
        assert any(f"model-{one.on}" == swap.model and swap.there <= one.began <= end for one in told), swap


def _held(places: Places, m: Machine, *candidates: str, within: float = 120.0) -> int:
    return m.submit(*candidates, place=Place(places), within=within)


def test_while_all_places_are_taken_elsewhere_models_do_not_take_turns() -> None:
    """Both requests that may work are at long calls that need no memory. One model has come for those that wait for it; that it
    goes again before any of them had a place would be for nothing, and so on for as long as those calls run."""
    places, m = Places(2), Machine(spec("plain", 4), resident("a", 6), resident("b", 6), pools=pool())
    for _ in range(2):
        _held(places, m, "plain", within=1000.0)
    for name in "abab":
        _held(places, m, name, within=1000.0)
    m.loaded("a")
    m.until(29.0)  # the others are told then that no place was free for so long
    assert [line for line in m.lines if "load model" in line] == ["    load model-a: 1 call waits for it"]


def test_a_request_that_others_share_a_server_with_does_not_keep_them_from_it() -> None:
    """A deployment without a free place lets those of another one pass on the same endpoint."""
    mine, theirs, m = Places(1), Places(1), Machine(spec("m", 2))
    first = _held(mine, m, "m")
    waiting = _held(mine, m, "m")
    passing = _held(theirs, m, "m")
    assert [call.new.call for call in m.scheduler._calls.values() if call.phase == "running"] == [first, passing]
    m.cancel(waiting)
    assert sum(mine.waits) == 0


def test_more_than_may_wait_are_refused_in_all_lines_together() -> None:
    """Two models, one queue of the deployment; who was in work once may come back to it."""
    limit = SchedulerLimits().with_queue({"interactive": {"length": 2}})
    places, m = Places(1), Machine(spec("a"), spec("b"), limits=limit)
    begun = Place(places)
    first = m.submit("a", place=begun)
    _held(places, m, "a")
    _held(places, m, "b")
    _held(places, m, "b")
    assert m.lines[-1].startswith("    fail 4: QueueFull: the queue of b is full")
    m.finish(first)
    m.submit("b", place=begun)
    assert m.lines[-1] == "    start 5 on b (first)"


def test_who_has_begun_goes_before_who_came_later() -> None:
    """The second call of a request is not behind the first of those that came after it."""
    places, m = Places(2), Machine(spec("a"), spec("b"))
    begun = Place(places)
    first = m.submit("a", place=begun)
    other = _held(places, m, "b")
    waiting = _held(places, m, "b")
    m.finish(first)
    second = m.submit("b", place=begun)
    m.finish(other)
    running = [call.new.call for call in m.scheduler._calls.values() if call.phase == "running"]
    assert (running, places.inside) == ([second], 2) and waiting > first


def test_patience_that_ends_for_want_of_a_place_says_so() -> None:
    """The endpoint had room."""
    places, m = Places(1), Machine(spec("a"), spec("b"))
    _held(places, m, "a", within=1000.0)
    _held(places, m, "b")
    m.until(31.0)
    assert "    fail 2: QueueFull: no place was free for 30.0 s" in m.lines


def test_the_parts_of_a_request_begin_together_once_it_has_a_place() -> None:
    """They wait at two endpoints, both idle. The place that comes with the first is for the other too."""
    places, m = Places(1), Machine(spec("a"), spec("b"))
    first, parts = Place(places), Place(places)
    begun = m.submit("a", place=first)
    m.submit("a", place=parts)
    m.submit("b", place=parts)
    m.finish(begun)
    assert first.rest()
    effects = m.scheduler.on_freed(places, m.now)
    assert [str(effect) for effect in effects] == ["start 2 on a (first)", "start 3 on b (first)"]
    assert (places.inside, sum(places.waits), parts.waiting) == (1, 0, 0)


def test_a_place_that_is_lent_to_one_part_calls_no_other_request_in() -> None:
    """Beside the request that came in, those of others wait on."""
    places, m = Places(1), Machine(spec("a"), spec("b", 2))
    first, parts = Place(places), Place(places)
    begun = m.submit("a", place=first)
    m.submit("a", place=parts)
    other = _held(places, m, "b")
    mine = m.submit("b", place=parts)
    m.finish(begun)
    assert first.rest()
    m.scheduler.on_freed(places, m.now)
    phases = {number: call.phase for number, call in m.scheduler._calls.items()}
    assert (phases[mine], phases[other], places.inside) == ("running", "waiting", 1)


def test_a_request_whose_parts_only_wait_has_no_place() -> None:
    """One part has ended; the other waits for its endpoint, where somebody without a limit is. Others may work meanwhile."""
    places, m = Places(1), Machine(spec("a"), spec("b"))
    busy = m.submit("b")
    parts = Place(places)
    done = m.submit("a", place=parts)
    waits = m.submit("b", place=parts)
    other = _held(places, m, "a")
    m.finish(done)
    assert m.lines[-1] == f"    start {other} on a (first)"
    m.finish(busy)
    assert (parts.held, places.inside) == (False, 1)
    m.finish(other)
    assert waits in m.scheduler._calls
