"""One request seen from the node that asks: by hand what a person expects, and by property what must always hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import AnswerLost, DeadlinePassed, FleetBusy, NoHolder, RunCancelled
from orchestrator.node.call import (
    Abandon,
    Delivered,
    Effect,
    Failed,
    Judge,
    PassOn,
    RemoteCall,
    Repeats,
    Send,
    Waits,
)
from orchestrator.node.wire import Ack, Busy, Err, Fin, Ka, Reply, Said, Tok, digest_of_answer

BODY = {"text": "done"}


def call(*nodes: str, **more: Any) -> RemoteCall:
    """A request that the nodes are asked in this order."""

    def choose(tried: frozenset[str]) -> str | None:
        return next((node for node in nodes if node not in tried), None)

    return RemoteCall("orders", 100.0, choose, **more)


def says(node: str, said: Said) -> Reply:
    return Reply("r", node, 1, said, 1)


def fin(*pieces: str) -> Fin:
    return Fin(len(pieces), digest_of_answer(pieces, BODY), BODY)


def error_of(effects: list[Effect]) -> Any:
    [failed] = [effect for effect in effects if isinstance(effect, Failed)]
    return failed.error


def test_an_answer_is_delivered_once() -> None:
    """Acknowledged, worked on, told in pieces, done; whatever comes then is not looked at."""
    one = call("b", streams=True)
    assert one.begin(0.0) == [Send(1, "b", 100.0)] and one.wake_at == 0.3
    assert one.hear(1, says("b", Ack()), 0.1) == [] and one.wake_at == pytest.approx(1.6)
    assert one.hear(1, says("b", Ka()), 0.6) == [] and one.wake_at == pytest.approx(2.1)
    assert one.hear(1, says("b", Tok(0, "do")), 0.7) == [PassOn("do")]
    assert one.hear(1, says("b", Tok(1, "ne")), 0.8) == [PassOn("ne")]
    assert one.hear(1, says("b", fin("do", "ne")), 0.9) == [Judge("b", 0.9), Delivered("b", 1, fin("do", "ne"))]
    assert one.hear(1, says("b", fin("do", "ne")), 0.9) == [] and one.cancel(1.0) == []


def test_a_node_that_does_not_take_it_on_is_left() -> None:
    """After 300 ms; and what it says later is not looked at."""
    one = call("b", "c")
    one.begin(0.0)
    assert one.tick(0.2) == []
    why = "b did not take it on in time"
    assert one.tick(0.3) == [Judge("b", why=why), Abandon(1, "b"), Send(2, "c", 99.7)]
    assert one.hear(1, says("b", fin()), 0.4) == []


def test_the_only_node_is_asked_again_and_nobody_is_told_to_stop_in_between() -> None:
    """It may have taken the request on, and only its word was lost."""
    one = call("b")
    one.begin(0.0)
    assert one.tick(0.3) == [Judge("b", why="b did not take it on in time"), Abandon(1, "b")]
    assert one.tick(0.55) == [Send(2, "b", 99.45)]


def test_who_falls_silent_is_left_for_another() -> None:
    """1.5 s after its last word."""
    one = call("b", "c")
    one.begin(0.0)
    one.hear(1, says("b", Ack()), 0.1)
    one.hear(1, says("b", Tok(0, "x")), 1.0)
    assert one.tick(2.5) == [Send(2, "b", 97.5)]  # once more for the same, which costs it no work
    assert one.tick(2.7) == []
    assert one.tick(2.8) == [Judge("b", why="b fell silent"), Abandon(2, "b"), Send(3, "c", 97.2)]


def test_who_has_no_room_after_another_ones_model_hung_is_asked_again() -> None:
    """The half minute that the first one had it is no waiting for somebody."""
    one = call("b", "c")
    one.begin(0.0)
    one.hear(1, says("b", Ack()), 0.1)
    for beat in range(1, 30):
        one.hear(1, says("b", Ka()), float(beat))
    ill = {"text": "", "error": {"kind": "Stalled", "message": "no byte came"}}
    ended = one.hear(1, says("b", Fin(0, digest_of_answer((), ill), ill)), 30.0)
    assert ended == [Judge("b", why="b failed: no byte came"), Send(2, "c", 70.0)]
    assert one.hear(2, says("c", Busy(0.25)), 30.1) == []
    assert one.wake_at == 30.35
    assert one.tick(30.35) == [Send(3, "b", 69.65)]


def test_two_halves_are_never_put_together() -> None:
    """Where a part was passed on, no other node is asked."""
    one = call("b", "c", streams=True)
    one.begin(0.0)
    one.hear(1, says("b", Tok(0, "x")), 0.1)
    one.tick(1.6)
    assert isinstance(error_of(one.tick(1.95)), AnswerLost)


def test_the_rest_of_an_answer_is_asked_for_where_its_beginning_came_from() -> None:
    """The node tells it from the beginning, and what was passed on is passed over."""
    one = call("b", "c", streams=True)
    one.begin(0.0)
    assert one.hear(1, says("b", Tok(0, "x")), 0.1) == [PassOn("x")]
    assert one.tick(1.6) == [Send(2, "b", 98.4)]
    assert one.hear(2, says("b", Ack()), 1.7) == one.hear(2, says("b", Tok(0, "x")), 1.7) == []
    assert one.hear(2, says("b", Tok(1, "y")), 1.7) == [PassOn("y")]
    assert isinstance(one.hear(2, says("b", fin("x", "y")), 1.8)[-1], Delivered)


@pytest.mark.parametrize("streams", [True, False])
def test_another_answer_of_the_same_node_does_not_go_on_where_the_first_ended(streams: bool) -> None:
    """It was restarted, or has forgotten the request: whoever has read nothing yet gets the new one, the others none."""
    one = call("b", "c", streams=streams)
    one.begin(0.0)
    one.hear(1, says("b", Tok(0, "x")), 0.1)
    one.tick(1.6)
    effects = one.hear(2, Reply("r", "b", 1, Tok(0, "other"), 2), 1.7)
    if streams:
        assert isinstance(error_of(effects), AnswerLost)
    else:
        assert isinstance(one.hear(2, Reply("r", "b", 1, fin("other"), 2), 1.8)[-1], Delivered)


def test_a_busy_node_is_left_at_once_and_when_all_are_the_caller_hears_how_long() -> None:
    """The soonest of them, after a second try."""
    one = call("b", "c")
    one.begin(0.0)
    assert one.hear(1, says("b", Busy(3.0)), 0.1) == [Send(2, "c", 99.9)]
    assert one.hear(2, says("c", Busy(0.5)), 0.2) == [] and one.wake_at == 0.7
    assert one.tick(0.7) == [Send(3, "b", 99.3)]
    one.hear(3, says("b", Busy(3.0)), 0.8)
    error = error_of(one.hear(4, says("c", Busy(2.0)), 0.9))
    assert isinstance(error, FleetBusy) and error.retry_after == 2.0


def test_pieces_that_overtake_each_other_are_passed_on_in_their_order() -> None:
    """Also where the end is there before the last piece; twice is once."""
    one = call("b", streams=True)
    one.begin(0.0)
    assert one.hear(1, says("b", Tok(1, "b")), 0.1) == []
    assert one.hear(1, says("b", Tok(0, "a")), 0.1) == [PassOn("a"), PassOn("b")]
    assert one.hear(1, says("b", Tok(1, "b")), 0.1) == []
    assert one.hear(1, says("b", fin("a", "b", "c")), 0.1) == []
    *_, passed, judged, delivered = one.hear(1, says("b", Tok(2, "c")), 0.2)
    assert (passed, type(judged), type(delivered)) == (PassOn("c"), Judge, Delivered)


def test_an_answer_with_a_gap_or_a_changed_one_is_no_answer() -> None:
    """Another node is asked."""
    gap = call("b", "c")
    gap.begin(0.0)
    gap.hear(1, says("b", Tok(0, "a")), 0.1)
    gap.hear(1, says("b", fin("a", "b")), 0.1)
    gap.tick(1.6)
    assert gap.tick(1.95)[0] == Judge("b", why="b sent an answer with a gap")
    changed = call("b", "c")
    changed.begin(0.0)
    changed.hear(1, says("b", Tok(0, "A")), 0.1)
    assert changed.hear(1, says("b", fin("a")), 0.1)[0] == Judge("b", why="what b sent was changed on its way")


def test_work_is_repeated_only_so_often() -> None:
    """And only where the fleet can bear it."""
    one = call("b", "c", "d", "e", waits=Waits(resumes=0))
    one.begin(0.0)
    now = 0.0
    for attempt, node in ((1, "b"), (2, "c")):
        one.hear(attempt, says(node, Ack()), now)
        now += 1.5
        assert isinstance(one.tick(now)[-1], Send)
    one.hear(3, says("d", Ack()), now)
    assert isinstance(error_of(one.tick(now + 1.5)), AnswerLost)
    tired = call("b", "c", may_repeat=lambda: False, waits=Waits(resumes=0))
    tired.begin(0.0)
    tired.hear(1, says("b", Ack()), 0.1)
    assert isinstance(error_of(tired.tick(1.7)), AnswerLost)


def test_a_request_waits_a_while_for_somebody_to_hold_its_agent() -> None:
    """So that a hub that is gone for some seconds loses nothing."""
    one = call()
    effects, now = one.begin(0.0), 0.0
    while not one.over:
        assert effects == []
        now = one.wake_at
        effects = one.tick(now)
    assert isinstance(error_of(effects), NoHolder) and now == pytest.approx(Waits().patience, abs=0.3)


def test_who_has_less_time_than_that_hears_that_nobody_holds_it_while_there_is_time_to_keep_it() -> None:
    """A request that may wait for a node is kept, and not lost to its own time limit."""
    one = replace(call(), deadline=8.0)
    effects, now = one.begin(0.0), 0.0
    while not one.over:
        now = one.wake_at
        effects = one.tick(now)
    assert isinstance(error_of(effects), NoHolder) and now == pytest.approx(8.0 - Waits().rest, abs=0.3) and now < 8.0


def test_time_that_is_over_and_a_caller_that_went_away_end_it() -> None:
    """Who works on it is told."""
    late = call("b")
    late.begin(99.9)
    late.hear(1, says("b", Ack()), 99.95)
    assert late.wake_at == 100.0
    abandoned, failed = late.tick(100.0)
    assert abandoned == Abandon(1, "b") and isinstance(failed, Failed) and isinstance(failed.error, DeadlinePassed)
    gone = call("b")
    gone.begin(0.0)
    assert [type(effect) for effect in gone.cancel(1.0)] == [Abandon, Failed]
    assert isinstance(error_of(call("b").cancel(0.0)), RunCancelled)


def test_a_node_that_does_not_hold_the_agent_is_passed_over() -> None:
    """That is no fault of it."""
    one = call("b", "c")
    one.begin(0.0)
    assert one.hear(1, says("b", Err("not_here", "b does not hold orders")), 0.1) == [Send(2, "c", 99.9)]


def test_a_budget_of_repeats_is_a_share_of_the_requests() -> None:
    """One in five, after what is there at first."""
    repeats = Repeats(left=1.0)
    assert repeats.take() and not repeats.take()
    for _ in range(5):
        repeats.earn()
    assert repeats.take() and not repeats.take()


# ---- what must always hold --------------------------------------------------------------------------------------------

NODES = ("b", "c", "d")
PIECES = ("one", "two", "three")
events = st.one_of(
    st.tuples(st.just("tick"), st.floats(0, 3)),
    st.tuples(st.just("undeliverable"), st.integers(1, 6)),
    st.tuples(
        st.just("hear"),
        st.integers(1, 6),
        st.sampled_from(NODES),
        st.sampled_from(
            [
                Ack(),
                Ka(),
                Busy(1.0),
                Err("failed", "x"),
                Err("not_here", "x"),
                Err("deadline", "x"),
                fin(*PIECES),
                fin(),
            ]
            + [Tok(seq, text) for seq, text in enumerate(PIECES)]
        ),
    ),
)


@given(st.booleans(), st.lists(events, max_size=60))
def test_whatever_comes_there_is_one_end_and_one_answer(streams: bool, happens: list[Any]) -> None:
    """In any order of events: one ending at most, and it comes last; pieces in order and of one run; no other node is asked after a
    piece was passed on; and with time it ends."""
    one = call(*NODES, streams=streams)
    now, effects = 0.0, one.begin(0.0)
    for what, *rest in happens:
        if what == "tick":
            now += rest[0]
            effects += one.tick(now)
        elif what == "undeliverable":
            effects += one.undeliverable(rest[0], "the bus is down", now)
        else:
            effects += one.hear(rest[0], says(*rest[1:]), now)
    while not one.over:
        now = max(now, one.wake_at)
        effects += one.tick(now)
    ends = [effect for effect in effects if isinstance(effect, Delivered | Failed)]
    assert len(ends) == 1 and effects[-1] is ends[0]
    passed = [effect.text for effect in effects if isinstance(effect, PassOn)]
    assert tuple(passed) == PIECES[: len(passed)]
    asked = [effect.node for effect in effects if isinstance(effect, Send)]
    first = next((at for at, effect in enumerate(effects) if isinstance(effect, PassOn)), len(effects))
    before = [effect.node for effect in effects[:first] if isinstance(effect, Send)]
    assert first == len(effects) or set(asked[len(before) :]) <= {before[-1]}
    sent = [effect.attempt for effect in effects if isinstance(effect, Send)]
    assert sent == list(range(1, len(sent) + 1))
    if isinstance(ends[0], Delivered) and streams:
        assert tuple(passed) == PIECES[: ends[0].fin.count]
