"""How long a server may be silent before it counts as hung: as long as calls of that length were seen to need there."""

from __future__ import annotations

from math import inf

import pytest

from orchestrator.core.errors import BadRequest, DeadlinePassed, RateLimited, Stalled
from orchestrator.deploy.endpoint import Endpoint
from orchestrator.deploy.rules import EndpointRules
from tests.serve.scheduler.machine import Machine, spec


def stops(machine: Machine) -> list[str]:
    """When which call was cancelled."""
    return [line for line in machine.lines if "cancel" in line]


def read_once(machine: Machine, prompt: int, seconds: float) -> None:
    """A streamed call whose first token came after so long."""
    call = machine.submit("a", streaming=True, prompt=prompt, within=2000.0)
    machine.until(machine.now + seconds)
    machine.token(call)
    machine.finish(call)


@pytest.mark.parametrize(
    ("prompt", "limit"),
    [
        (1000, 65),  # 5 ms a byte
        (40_000, 260),
        (400_000, 600),  # not for ever
    ],
)
def test_a_long_prompt_is_given_the_time_that_its_server_was_seen_to_need(prompt: int, limit: int) -> None:
    """One answer is enough to know that a server is slow, so that it is not cancelled each time and never learned from."""
    m = Machine(spec("a"))
    read_once(m, 4000, 20.0)
    began = m.now
    m.submit("a", streaming=True, prompt=prompt, within=2000.0)
    m.until(began + limit - 1)
    assert not stops(m)
    m.until(began + limit)
    assert stops(m) == [f"    cancel 2: Stalled: a made no progress for {limit} s"]


@pytest.mark.parametrize("known", [(), ((50, 20.0),)], ids=["nothing", "a short prompt"])
def test_where_nothing_is_known_of_long_prompts_the_usual_time_holds(known: tuple[tuple[int, float], ...]) -> None:
    """What a short prompt takes is hardly its reading."""
    m = Machine(spec("a"))
    for prompt, seconds in known:
        read_once(m, prompt, seconds)
    began = m.now
    m.submit("a", streaming=True, prompt=40_000, within=2000.0)
    m.until(began + 61)
    assert len(stops(m)) == 1


def test_a_server_that_is_too_slow_for_the_usual_time_is_found_out() -> None:
    """It needs 200 s for each prompt, and never answered yet: each one that was given up in vain doubles the next one's time,
    until one is answered and its need is known. Short prompts have their minute all the while."""
    m = Machine(spec("a"))
    given: list[float] = []
    for _ in range(3):
        m.until(m.now + 200)  # its breaker lets one try it
        began = m.now
        call = m.submit("a", streaming=True, prompt=40_000, within=2000.0)
        while m.scheduler._calls[call].phase == "running" and len(stops(m)) == len(given) and m.now < began + 200:
            m.until(m.now + 1)
        given.append(m.now - began)
        if len(stops(m)) == len(given):
            m.finish(call, Stalled("a made no progress"))
        else:
            m.token(call)
            m.finish(call)
    assert given == [60, 120, 200]
    endpoint = m.scheduler.lanes["a"].endpoint
    assert (endpoint.stall_limit(40_000), endpoint.stall_limit(10)) == (260.0, 60.05)


def test_a_prompt_that_the_server_remembered_does_not_make_it_look_fast() -> None:
    """Of twenty prompts one was new; the next new one is given its time."""
    m = Machine(spec("a"))
    read_once(m, 4000, 20.0)
    for _ in range(18):
        read_once(m, 4000, 0.1)
    began = m.now
    m.submit("a", streaming=True, prompt=40_000, within=2000.0)
    m.until(began + 259)
    assert not stops(m)


def test_who_writes_may_be_silent_while_a_neighbours_long_prompt_is_read() -> None:
    """Most servers read one prompt at a time, and write nothing for others meanwhile."""
    m = Machine(spec("a", slots=2))
    read_once(m, 4000, 20.0)
    began = m.now
    writer = m.submit("a", streaming=True, prompt=10, within=2000.0)
    m.token(writer)
    reader = m.submit("a", streaming=True, prompt=40_000, within=2000.0)
    m.until(began + 200)
    assert not stops(m)
    m.token(reader)
    m.token(writer)
    m.until(m.now + 60)
    assert len(stops(m)) == 2, "from then on both have the usual minute"


def test_a_long_prompt_extends_nothing_once_its_first_token_has_come() -> None:
    """It is read."""
    m = Machine(spec("a"))
    read_once(m, 4000, 20.0)
    call = m.submit("a", streaming=True, prompt=40_000, within=2000.0)
    m.until(m.now + 100)
    m.token(call)
    m.until(m.now + 60)
    assert stops(m) == [f"    cancel {call}: Stalled: a made no progress for 60 s"]


def answered(machine: Machine, tokens: int, seconds: float, times: int = 8) -> None:
    """Whole replies of so many tokens, which came after so long."""
    for _ in range(times):
        call = machine.submit("a", most=tokens, within=2000.0)
        machine.until(machine.now + seconds)
        machine.finish(call, wrote=tokens)


@pytest.mark.parametrize(
    ("most", "limit"),
    [(40, 64), (200, 80), (None, 162.4)],  # 100 ms a token; without a limit an answer is taken to have 1,024
)
def test_a_whole_reply_has_the_time_that_its_length_needs(most: int | None, limit: float) -> None:
    """Eight quick answers must not make a long one look like a hang."""
    m = Machine(spec("a"))
    answered(m, 40, 4.0)
    began = m.now
    m.submit("a", most=most, within=2000.0)
    m.until(began + limit - 0.5)
    assert not stops(m)
    m.until(began + limit + 0.5)
    assert len(stops(m)) == 1


@pytest.mark.parametrize(
    ("most", "seconds", "limit"),
    [
        (8, 0.5, 62.0),
        (None, 0.5, 316.0),  # most of the half second went elsewhere, but nobody knows how much
        (None, 20.0, 600.0),  # not for ever
    ],
)
def test_where_all_replies_were_short_a_long_one_is_given_rather_too_much(
    most: int | None, seconds: float, limit: float
) -> None:
    """A router's labels of two tokens say little of an agent's answer."""
    m = Machine(spec("a"))
    answered(m, 2, seconds)
    began = m.now
    m.submit("a", most=most, within=2000.0)
    m.until(began + limit - 0.5)
    assert not stops(m)
    m.until(began + limit + 0.5)
    assert len(stops(m)) == 1


def test_what_long_replies_take_is_known_from_long_ones_alone() -> None:
    """A few are enough among many labels."""
    m = Machine(spec("a"))
    answered(m, 2, 0.5, times=30)
    answered(m, 40, 0.4, times=1)
    began = m.now
    m.submit("a", within=2000.0)
    m.until(began + 72)
    assert len(stops(m)) == 1, "60 s, and 1,024 tokens at 10 ms"


def test_where_no_reply_had_a_length_one_has_as_long_as_nothing_excuses_more() -> None:
    """Ten minutes: nothing was learned of writing."""
    m = Machine(spec("a"))
    answered(m, 0, 0.5)
    began = m.now
    m.submit("a", within=2000.0)
    m.until(began + 599)
    assert not stops(m)
    m.until(began + 601)
    assert len(stops(m)) == 1


def test_a_deadline_that_is_too_short_for_a_long_reply_is_not_held_against_the_server() -> None:
    """100 s are too little for 1,024 tokens at 100 ms each: a slow server is not a sick one."""
    m = Machine(spec("a"))
    answered(m, 40, 4.0)
    call = m.submit("a", within=100.0)
    m.until(m.now + 100.0)
    m.finish(call, DeadlinePassed("the deadline passed before the model had answered"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0


def test_without_a_past_a_whole_reply_has_no_limit() -> None:
    """Its deadline is what ends it."""
    assert Endpoint(spec("a"), EndpointRules(), 0.0).whole_limit(10, 5) == inf


def awake_late(machine: Machine, seconds: float) -> None:
    """The process was stopped, or something held its event loop up: the tick that is due comes so much later."""
    machine.now = machine.scheduler.due + seconds
    machine.scheduler.on_tick(machine.now)


@pytest.mark.parametrize("got_token", [False, True])
def test_silence_while_nobody_listened_is_no_stall(got_token: bool) -> None:
    """What the server said meanwhile lies unread: it has the rest of its minute from then on."""
    m = Machine(spec("a"))
    call = m.submit("a", streaming=True, within=5000.0)
    m.until(10)
    if got_token:
        m.token(call)
    awake_late(m, 300.0)
    awoke = m.now
    m.until(awoke + 59)
    assert not stops(m)
    m.until(awoke + 61)
    assert len(stops(m)) == 1, "a server that hangs is left all the same"


def test_a_deadline_that_passed_while_nobody_listened_has_passed() -> None:
    """Whoever waits cannot be given the time back; but nothing is held against the server."""
    m = Machine(spec("a"))
    call = m.submit("a", streaming=True, within=100.0)
    m.until(10)
    m.now = m.scheduler.due + 300.0
    effects = m.scheduler.on_tick(m.now)
    assert [str(effect) for effect in effects if "cancel" in str(effect)] == [
        f"cancel {call}: DeadlinePassed: the deadline passed before the model had answered"
    ]
    m.finish(call, DeadlinePassed("the deadline passed before the model had answered"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0


def test_a_pause_is_not_learned_as_the_time_that_a_server_needs() -> None:
    """A first token after a pause of five minutes says little about the server."""
    m = Machine(spec("a"))
    call = m.submit("a", streaming=True, prompt=1000, within=5000.0)
    m.until(10)
    awake_late(m, 300.0)
    m.token(call)
    assert m.scheduler.lanes["a"].endpoint.speed.reading(1000) <= 60.0


def test_who_was_not_sent_is_told_of_the_server_and_not_of_another_request() -> None:
    """One call is told to wait, another one that its request is bad: who comes then has done nothing wrong, and hears how long
    the server is left alone."""
    m = Machine(spec("a", slots=2))
    first, second = m.submit("a"), m.submit("a")
    m.finish(first, RateLimited("HTTP 429", retry_after=7200))
    m.finish(second, BadRequest("HTTP 400: bad"))
    m.until(m.now + 10)
    m.submit("a", pause=5.0)
    assert (
        m.lines[-1] == "    fail 3: ServerFailed: HTTP 400: bad; a asked for a pause, and is not asked again for 290 s"
    )


def test_a_person_who_asks_for_a_try_has_one_call_sent() -> None:
    """A pause that the server asked for is over with that; a model that loads is waited for."""
    m = Machine(spec("a", slots=2))
    m.finish(m.submit("a"), RateLimited("HTTP 429", retry_after=7200))
    m.scheduler.on_mended(["a"], m.now)
    assert m.scheduler.lanes["a"].endpoint.state == "rate_limited", "an apply does not lift it"
    m.scheduler.on_mended(["a"], m.now, asked=True)
    m.submit("a", pause=5.0)
    m.submit("a", pause=5.0)
    assert m.lines[-2:] == ["    start 2 on a (first)", "0 submit 3"]
