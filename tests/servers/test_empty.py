"""A server that answers and does not have its model: it stays up, and is ready once that has come."""

from __future__ import annotations

from typing import Final

from orchestrator.deploy.supervisor import Answer
from tests.servers.test_supervisor import NOT_YET, TOKEN, Play

EMPTY: Final = Answer(False, "it has no tiny yet", empty=True)


def empty() -> Play:
    """One that has just said that it lacks its model."""
    play = Play()
    play.want()
    play.spawned()
    play.until(0)
    play.answers(EMPTY)
    play.lines.clear()
    return play


def test_it_is_asked_from_time_to_time_and_is_ready_by_a_token() -> None:
    """Nothing is told again that was told already, and no try of it has failed."""
    play = empty()
    assert (play.supervisor.wards["a"].state, play.supervisor.wards["a"].unready) == ("empty", 0)
    play.until(5)
    play.answers(EMPTY)
    play.until(10)
    play.answers(TOKEN)
    assert play.trace == "5 tick: ask\n5 answer: -\n10 tick: ask\n10 answer: ready"


def test_its_model_has_come_and_is_being_loaded() -> None:
    """From then on it has the time of a start, as any server that loads its model."""
    play = empty()
    play.until(5)
    play.answers(NOT_YET)
    assert play.lines[-1] == "5 answer: starting (loading)"
    play.until(34)
    assert play.supervisor.wards["a"].state == "starting"
    play.answers(NOT_YET)
    play.until(35)
    assert play.lines[-1] == "35 tick: kill", play.trace


def test_whoever_wants_it_again_has_it_asked_at_once() -> None:
    """What it was asked before its model came does not count: an apply that has pulled it would go on without."""
    play = empty()
    play.until(5)
    before = play.ask
    play.want()
    play.until(5)
    assert play.lines[-2:] == ["5 want: starting (it is asked whether its model has come)", "5 tick: ask"]
    late = play.ask
    play.ask = before
    play.answers(EMPTY)
    assert play.lines[-1] == "5 answer: -"
    play.ask = late
    play.answers(TOKEN)
    assert play.lines[-1] == "5 answer: ready"


def test_one_that_is_not_wanted_any_more_ends() -> None:
    """As any that runs."""
    play = empty()
    play.unwant()
    play.exits()
    assert play.trace.endswith("0 unwant: stopping (it is not wanted any more), terminate\n0 exit: gone")


def test_one_that_exits_is_started_again() -> None:
    """It ran: that is no start that failed."""
    play = empty()
    play.exits()
    assert play.supervisor.wards["a"].unready == 0
    assert play.lines[-1] == "0 exit: waiting (exit code 1)"


def test_other_options_start_it_anew() -> None:
    """With a clean slate."""
    play = empty()
    play.want("two")
    play.exits()
    assert play.trace.endswith("terminate\n0 exit: starting, spawn")
