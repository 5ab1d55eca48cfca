"""A server that hangs is found out although each of its callers gives up early; one that is only slow, or whose callers are in a
hurry, is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import DeadlinePassed
from orchestrator.deploy.rules import EndpointRules
from orchestrator.serve.scheduler_limits import SchedulerLimits
from tests.serve.scheduler.callers import Callers, Server
from tests.serve.scheduler.machine import Machine, pool, resident, spec

LATE = DeadlinePassed("the deadline passed before the model had answered")


def desk(one: Server, *, slots: int = 1, known: bool = True) -> Callers:
    """A model and its fallback. Where it is ``known``, ten calls were answered before."""
    play = Callers({"a": one, "b": Server()}, [spec("a", slots), spec("b", 4)])
    for _ in range(10 if known else 0):
        play.ask("a", "b", within=1000.0)
        play.play(play.now + 30.0)
    return play


def one_after_another(play: Callers, times: int, *, within: float, pause: float = 0.0, **more: int) -> Iterator[int]:
    """Calls of one caller who asks again as soon as he has an answer, or his time is over."""
    for _ in range(times):
        call = play.ask("a", "b", within=within, **more)
        play.wait_for(call)
        yield call
        play.play(play.now + pause)


def faults(play: Callers, calls: list[int]) -> list[str]:
    """What they were told; nothing where they were answered."""
    return [play.outcomes[call].fault for call in calls]


# -- a server that hangs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("pause", [0.0, 4.0, 30.0])
def test_a_hung_server_is_found_out_although_every_caller_gives_up_after_four_seconds(
    tells: bool, pause: float
) -> None:
    """The first ones have no answer: somebody looks meanwhile. Then all go elsewhere, at once; and it counts as stalled after the
    minute that it has had, however many have waited through it."""
    play = desk(Server(tells=tells))
    play.servers["a"].hangs = began = play.now
    calls = list(one_after_another(play, 40, within=4.0, pause=pause))
    play.play(max(play.now, began + 100.0))
    assert 60.0 <= play.left[0] - began <= 80.0, "it counts as stalled"
    before = [call for call in calls if play.outcomes[call].came < play.left[0]]
    lost = [told for told in faults(play, before) if told]
    assert len(lost) == {0.0: 4, 4.0: 2, 30.0: 1}[pause], "the look takes 15 s, and those who come meanwhile are lost"
    assert faults(play, before[len(lost) :]) == [""] * (len(before) - len(lost)), "nobody is lost after that"


def test_it_is_found_out_too_where_nothing_is_known_of_it() -> None:
    """A quarter of a minute in vain is unusual anywhere."""
    play = desk(Server(), known=False)
    play.servers["a"].hangs = 0.0
    calls = list(one_after_another(play, 30, within=4.0))
    assert faults(play, calls[8:]) == [""] * 22
    play.play(100.0)
    assert len(play.left) == 1


def test_where_there_is_no_other_each_call_is_sent_there_until_it_counts_as_stalled() -> None:
    """Doubt alone takes the only server from nobody."""
    play = Callers({"a": Server(hangs=0.0)}, [spec("a")])
    for _ in range(14):
        play.ask("a", within=4.0)
        play.play(play.now + 4.0)
        assert play.state("a") != "stalled"
    play.ask("a", within=4.0)
    play.play(play.now + 4.0)
    assert play.left == [60.0]


def test_callers_who_overlap_and_go_away_are_one_silence() -> None:
    """Two at a time, and nobody's deadline: they close their connections."""
    play = desk(Server(), slots=2)
    play.servers["a"].hangs = began = play.now

    def come(left: int) -> None:
        call = play.ask("a", "b", within=1000.0)
        play.at(play.now + 4.0, lambda: play.leave(call))
        if left:
            play.at(play.now + 2.0, lambda: come(left - 1))

    come(30)
    play.play(play.now + 70.0)
    served = [told.on[-1] for told in play.outcomes.values()][10:]
    assert served[10:] == ["b"] * 21
    assert 60.0 <= play.left[0] - began <= 80.0


def test_who_is_silent_there_when_the_look_ends_is_answered_elsewhere_in_its_own_time() -> None:
    """30 s are enough for that."""
    play = desk(Server())
    play.servers["a"].hangs = play.now
    first, second = one_after_another(play, 2, within=30.0)
    assert faults(play, [first, second]) == ["DeadlinePassed", ""]
    assert play.outcomes[second].on == ["a", "b"]
    assert play.outcomes[second].ended - play.outcomes[second].came == pytest.approx(15.5, abs=0.2)


def test_who_is_silent_there_when_the_last_look_ends_is_answered_elsewhere_too() -> None:
    """With six seconds in place of a minute one look is enough for the verdict."""
    rules = EndpointRules(stall_after=6.0)
    play = Callers({"a": Server(hangs=0.0), "b": Server()}, [spec("a"), spec("b", 4)], SchedulerLimits(endpoint=rules))
    first, second = one_after_another(play, 2, within=5.0)
    assert faults(play, [first, second]) == ["DeadlinePassed", ""]
    assert play.outcomes[second].on == ["a", "b"]
    assert play.left == [6.0]


def test_a_server_that_is_well_again_is_used_again() -> None:
    """One call tries it; and no silence of before counts against it."""
    play = desk(Server())
    play.servers["a"].hangs, play.servers["a"].mended = play.now, play.now + 120.0
    list(one_after_another(play, 20, within=4.0))
    play.play(play.now + 200.0)
    calls = list(one_after_another(play, 20, within=4.0))
    assert faults(play, calls) == [""] * 20
    assert play.outcomes[calls[-1]].on == ["a"]
    assert play.state("a") == "ready"


def test_one_that_still_hangs_when_it_is_tried_again_costs_one_call_each_time() -> None:
    """Not another minute of them."""
    play = desk(Server())
    play.servers["a"].hangs = play.now
    calls = list(one_after_another(play, 400, within=4.0, pause=0.5))
    assert len(play.left) >= 4
    after = [call for call in calls if play.outcomes[call].came > play.left[0]]
    assert len([told for told in faults(play, after) if told]) <= len(play.left)


def test_calls_long_ago_are_another_silence() -> None:
    """Each of them had four seconds, and an hour passed between them: nobody knows what was there meanwhile."""
    m = Machine(spec("a", zone="node"))
    for _ in range(30):
        call = m.submit("a", streaming=True, within=4.0)
        m.until(m.now + 4.0)
        m.finish(call, LATE)
        m.until(m.now + 3600.0)
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0
    assert "look at" not in m.trace(probes=True)


# -- what is no silence ------------------------------------------------------------------------------------------------


def test_in_the_cloud_a_call_that_was_given_up_says_nothing() -> None:
    """Nobody can look there."""
    m = Machine(spec("a", zone="cloud"))
    for _ in range(40):
        call = m.submit("a", streaming=True, within=4.0)
        m.until(m.now + 4.0)
        m.finish(call, LATE)
    assert "look at" not in m.trace(probes=True)
    assert m.state("a") == "unknown"


def test_while_its_server_loads_the_model_a_call_that_was_given_up_says_nothing() -> None:
    """A load takes longer than they wait."""
    m = Machine(spec("a"))
    m.seen("a", loaded=False)
    for _ in range(40):
        call = m.submit("a", streaming=True, within=4.0)
        m.until(m.now + 4.0)
        m.finish(call, LATE)
    assert "look at" not in m.trace(probes=True)
    assert m.state("a") in ("unknown", "live")


def test_nobody_looks_at_an_idle_server_whose_model_makes_room_for_others() -> None:
    """The look would load it again. As soon as the next call runs, somebody does."""
    m = Machine(resident("a", loaded=True), pools=pool())
    call = m.submit("a", streaming=True, within=20.0)
    m.until(20.0)
    m.finish(call, LATE)
    m.until(30.0)
    assert "look at" not in m.trace(probes=True)
    m.submit("a", streaming=True, within=20.0)
    m.until(30.0)
    assert m.trace(probes=True).endswith("look at a")


def test_answers_in_one_piece_say_nothing_while_nobody_knows_how_long_they_take() -> None:
    """They show no progress; a caller in a hurry is no sign of anything."""
    m = Machine(spec("a"))
    for _ in range(40):
        call = m.submit("a", within=20.0)
        m.until(m.now + 20.0)
        m.finish(call, LATE)
    assert m.state("a") in ("unknown", "live")


def test_silence_while_nobody_listened_is_none() -> None:
    """The process was stopped: what the server said is unread."""
    play = desk(Server())
    play.servers["a"].hangs, play.servers["a"].mended = play.now, play.now + 10.0
    call = play.ask("a", "b", within=9.0)
    play.play(play.now + 8.0)
    play.freeze(300.0)
    play.play(play.now + 30.0)
    assert play.outcomes[call].fault
    assert faults(play, list(one_after_another(play, 5, within=4.0))) == [""] * 5
    assert play.left == []


@settings(max_examples=150, deadline=None)
@given(
    reading=st.tuples(st.floats(0.1, 5.0), st.floats(0.0, 0.01), st.booleans()),
    calls=st.lists(st.tuples(st.floats(0.2, 8.0), st.integers(10, 4000)), min_size=1, max_size=8),
    pause=st.sampled_from([0.0, 0.1, 3.0, 40.0]),
    known=st.booleans(),
)
def test_a_slow_server_whose_callers_are_in_a_hurry_is_never_held_to_hang(
    reading: tuple[float, float, bool], calls: list[tuple[float, int]], pause: float, known: bool
) -> None:
    """None of them may ever be answered: who looks sees that it works, or has a token before the next."""
    play = desk(Server(*reading), known=known)
    for number in range(60):
        within, prompt = calls[number % len(calls)]
        list(one_after_another(play, 1, within=within, pause=pause, prompt=prompt))
    assert play.left == []
    assert "hangs" not in play.words


@settings(max_examples=100, deadline=None)
@given(
    first=st.floats(0.1, 60.0),
    waits=st.lists(st.floats(0.2, 50.0), min_size=1, max_size=8),
    pause=st.sampled_from([0.0, 0.1, 3.0, 40.0]),
    others=st.lists(st.floats(1.0, 200.0), max_size=5),
)
def test_a_server_that_tells_that_it_works_is_never_held_to_hang(
    first: float, waits: list[float], pause: float, others: list[float]
) -> None:
    """Be it for others, be it for calls that nobody waits for any more, and for however long."""
    play = desk(Server(first, tells=True, stubborn=True), known=False)
    for number, seconds in enumerate(others):
        play.at(20.0 * number, lambda seconds=seconds: play.occupy("a", seconds))  # type: ignore[misc] # bound now
    for number in range(40):
        list(one_after_another(play, 1, within=waits[number % len(waits)], pause=pause))
    assert play.left == []


@settings(max_examples=100, deadline=None)
@given(
    first=st.floats(0.1, 2.0),
    waits=st.lists(st.floats(2.5, 59.0), min_size=1, max_size=8),
    pause=st.sampled_from([0.0, 0.1, 3.0, 40.0]),
    tells=st.booleans(),
    known=st.booleans(),
)
def test_a_hung_server_is_always_found_out(
    first: float, waits: list[float], pause: float, tells: bool, known: bool
) -> None:
    """However soon its callers give up, if only an answer could have come by then."""
    play = desk(Server(first, tells=tells), known=known)
    play.servers["a"].hangs = play.now
    for number in range(60):
        list(one_after_another(play, 1, within=waits[number % len(waits)], pause=pause))
    play.play(play.now + 100.0)
    assert play.left
