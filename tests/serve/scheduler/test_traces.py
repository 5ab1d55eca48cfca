"""What the scheduler does in each situation that a model server can bring about, as whole traces."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent

import pytest

from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    ContextTooLong,
    DeadlinePassed,
    ModelError,
    ModelNotFound,
    RateLimited,
    Refused,
    ServerBusy,
    ServerFailed,
    StaleConnection,
    Stalled,
    Unreachable,
)
from orchestrator.ports.provider import Capability, Secret, Support, Target
from orchestrator.serve.effect import Fail
from orchestrator.serve.scheduler_queue import Submission
from tests.serve.scheduler.machine import Machine, spec


def _is(machine: Machine, expected: str, *, probes: bool = False) -> None:
    assert machine.trace(probes=probes) == dedent(expected).strip()


def test_a_free_endpoint_gets_the_call_at_once_and_becomes_ready() -> None:
    """The straight path: one start, one finish."""
    m = Machine(spec("a"))
    m.finish(m.submit("a"))
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1
            a is ready
        """,
    )


def test_calls_wait_for_a_slot_in_the_order_of_their_coming() -> None:
    """One slot: the second call starts when the first ends, the third when the second is cancelled."""
    m = Machine(spec("a"))
    first, second, third = m.submit("a"), m.submit("a"), m.submit("a")
    m.finish(first)
    m.cancel(second)
    m.finish(third)
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 submit 2
        0 submit 3
        0 finish 1
            a is ready
            start 2 on a (first)
        0 cancel 2
            start 3 on a (first)
        0 finish 3
        """,
    )


def test_a_refused_connection_goes_to_the_next_candidate_at_once() -> None:
    """Connect refused: another endpoint is asked without delay."""
    m = Machine(spec("a"), spec("b"))
    m.finish(m.submit("a", "b"), Unreachable("refused"))
    m.finish(1)
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: Unreachable
            start 1 on b (fallback)
        0 finish 1
            b is ready
        """,
    )


def test_a_refused_connection_is_tried_again_where_there_is_no_other_endpoint() -> None:
    """The only server may be restarting: two retries after 0.25 and 0.5 s, then the fault."""
    m = Machine(spec("a"))
    m.submit("a")
    m.finish(1, Unreachable("refused"))
    m.until(0.25)
    m.finish(1, Unreachable("refused"))
    m.until(0.75)
    m.finish(1, Unreachable("refused"))
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: Unreachable
            retry 1 at 0.250 after Unreachable on a
        0.25 tick
            start 1 on a (retry)
        0.25 finish 1: Unreachable
            retry 1 at 0.750 after Unreachable on a
        0.75 tick
            start 1 on a (retry)
        0.75 finish 1: Unreachable
            fail 1: Unreachable: refused
        """,
    )


def test_a_stale_connection_gets_one_free_retry() -> None:
    """Closed before the first byte on a reused connection: at once again, once; the second time it counts."""
    m = Machine(spec("a"))
    m.submit("a")
    m.finish(1, StaleConnection("closed"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0
    m.finish(1, StaleConnection("closed"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 1
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: StaleConnection
            start 1 on a (retry)
        0 finish 1: StaleConnection
            retry 1 at 0.250 after StaleConnection on a
        """,
    )


def test_a_failing_server_is_tried_three_times_and_then_left() -> None:
    """5xx: two retries on the same endpoint, then the next candidate with retries of its own."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b")
    m.finish(1, ServerFailed("HTTP 500"))
    m.until(0.25)
    m.finish(1, ServerFailed("HTTP 500"))
    m.until(0.75)
    m.finish(1, ServerFailed("HTTP 500"))
    m.finish(1, ServerFailed("HTTP 502"))
    m.until(1.0)
    m.finish(1)
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: ServerFailed
            retry 1 at 0.250 after ServerFailed on a
        0.25 tick
            start 1 on a (retry)
        0.25 finish 1: ServerFailed
            retry 1 at 0.750 after ServerFailed on a
        0.75 tick
            start 1 on a (retry)
        0.75 finish 1: ServerFailed
            start 1 on b (fallback)
        0.75 finish 1: ServerFailed
            retry 1 at 1.000 after ServerFailed on b
        1 tick
            start 1 on b (retry)
        1 finish 1
            b is ready
        """,
    )


def test_a_call_tries_three_endpoints_at_most() -> None:
    """The fourth candidate is left alone."""
    m = Machine(*(spec(name) for name in "abcd"))
    m.submit("a", "b", "c", "d")
    for _ in range(3):
        m.finish(1, ModelNotFound("no such model"))
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: ModelNotFound
            relist a
            a is gone: no such model
            start 1 on b (fallback)
        0 finish 1: ModelNotFound
            relist b
            b is gone: no such model
            start 1 on c (fallback)
        0 finish 1: ModelNotFound
            relist c
            c is gone: no such model
            fail 1: ModelNotFound: no such model; c is not asked again for 15 s
        """,
    )


def test_a_loading_server_is_waited_for_without_counting() -> None:
    """503 "Loading model": one call at a time asks again; all go once the model is there; no failure is counted."""
    m = Machine(spec("a", slots=2))
    m.submit("a")
    m.finish(1, ServerBusy("Loading model", retry_after=3.0))
    m.submit("a")
    m.until(3)
    m.finish(1, ServerBusy("Loading model"))
    m.until(3.5)
    m.finish(1)
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: ServerBusy
            a is loading: Loading model
        0 submit 2
        3 tick
            a is live
            start 1 on a (retry)
        3 finish 1: ServerBusy
            a is loading: Loading model
        3.5 tick
            a is live
            start 1 on a (retry)
        3.5 finish 1
            a is ready
            start 2 on a (first)
        """,
        probes=False,
    )


def test_a_rate_limited_endpoint_rests_until_it_says_and_others_help_out() -> None:
    """429: no new call until Retry-After; another candidate is used meanwhile; the breaker does not count it."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b")
    m.finish(1, RateLimited("slow down", retry_after=5.0))
    m.submit("a")
    m.until(5)
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: RateLimited
            a is rate_limited: slow down
            start 1 on b (fallback)
        0 submit 2
        5 tick
            a is live
            start 2 on a (first)
        """,
    )


def test_a_rate_limit_beyond_the_deadline_is_told_at_once() -> None:
    """Waiting for it would be in vain."""
    m = Machine(spec("a"))
    m.submit("a", within=4.0)
    m.finish(1, RateLimited("slow down", retry_after=5.0))
    assert m.lines[-1] == "    fail 1: RateLimited: slow down"


@pytest.mark.parametrize("error", [ServerBusy("Loading model"), ServerBusy("queue full"), RateLimited("slow down")])
def test_who_cannot_wait_so_long_for_a_server_goes_elsewhere_at_once(error: ModelError) -> None:
    """It will be free after the deadline: waiting would be in vain, for who asked and for who waits in its line. Who has
    nowhere else to go is told now; who has the time waits."""
    error.retry_after = 60.0
    m = Machine(spec("a"), spec("b", slots=9))
    asked, alone, other = m.submit("a", "b", within=30.0), m.submit("a", within=30.0), m.submit("a", "b", within=30.0)
    patient = m.submit("a", within=90.0)
    m.finish(asked, error)
    starts = [line.strip() for line in m.lines if "start" in line]
    assert starts == [f"start {asked} on a (first)", f"start {other} on b (first)", f"start {asked} on b (fallback)"]
    assert [line.split(":")[0].strip() for line in m.lines if "fail" in line] == [f"fail {alone}"]
    m.until(60)
    assert m.lines[-1] == f"    start {patient} on a (first)"
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0


@pytest.mark.parametrize("error", [ServerBusy("queue full"), RateLimited("slow down")])
def test_no_header_takes_a_server_out_for_longer_than_five_minutes(error: ModelError) -> None:
    """A date by a wrong clock, or a window of a day: one call then asks again, and what it asks holds anew."""
    error.retry_after = 1e9
    m = Machine(spec("a", slots=4))
    m.finish(m.submit("a"), error)
    m.until(299)
    m.submit("a", within=5000.0)
    m.submit("a", within=5000.0)
    m.until(301)
    assert [line for line in m.lines if "start" in line][1:] == ["    start 2 on a (first)"]
    m.finish(2, type(error)("again", retry_after=1e9))
    assert m.scheduler.lanes["a"].endpoint.changes_at == 301.0 + 300.0


def test_a_refused_key_is_never_tried_again_with_the_same_call() -> None:
    """401: misconfigured; the caller is told, and later calls too for 15 s, with how long that still is."""
    m = Machine(spec("a"))
    m.submit("a")
    m.finish(1, Refused("HTTP 401"))
    m.submit("a")
    m.until(15)
    m.submit("a")
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: Refused
            a is misconfigured: HTTP 401
            fail 1: Refused: HTTP 401; a is not asked again for 15 s
        0 submit 2
            fail 2: Refused: HTTP 401; a is not asked again for 15 s
        15 tick
            a is live
        15 submit 3
            start 3 on a (first)
        """,
        probes=False,
    )


def test_a_model_that_is_not_there_has_its_servers_list_looked_at_and_the_call_goes_on() -> None:
    """404: once, for the calls that come while the endpoint rests are not sent; nobody looks at a list of the cloud."""
    m = Machine(spec("a"), spec("b"), spec("c", zone="cloud"))
    m.finish(m.submit("a", "b"), ModelNotFound("HTTP 404"))
    m.submit("a")
    m.finish(m.submit("c"), ModelNotFound("HTTP 404"))
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: ModelNotFound
            relist a
            a is gone: HTTP 404
            start 1 on b (fallback)
        0 submit 2
            fail 2: ModelNotFound: HTTP 404; a is not asked again for 15 s
        0 submit 3
            start 3 on c (first)
        0 finish 3: ModelNotFound
            c is gone: HTTP 404
            fail 3: ModelNotFound: HTTP 404; c is not asked again for 15 s
        """,
    )
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0


def test_a_model_that_was_removed_is_to_be_had_again_first() -> None:
    """To have it asked at once is no help before that."""
    m = Machine(replace(spec("a"), capabilities={Capability.PULL: Support.YES}), spec("b"))
    cures = []
    for number, name in enumerate(("a", "b"), 10):
        m.finish(m.submit(name), ModelNotFound("HTTP 404"))
        (failed,) = m.scheduler.on_submit(Submission(number, (name,), m.now + 9.0, "interactive"), m.now)
        assert isinstance(failed, Fail)
        cures.append(failed.error.cure)
    target = spec("a").target
    pull = f"orchestrator models pull {target.model} --endpoint http://a"
    assert cures == [
        f"{pull}, then `orchestrator apply` has it asked at once",
        f"have {target.provider} serve {target.model} again, then `orchestrator apply` has it asked at once",
    ]


def test_what_may_be_mended_is_tried_at_once() -> None:
    """A refused key, a missing model and an open breaker get one call as a trial; too many requests still rest."""
    m = Machine(spec("a", slots=2), spec("b"), spec("c"))
    for name, error in (("a", Refused("401")), ("b", ModelNotFound("none")), ("c", RateLimited("429", retry_after=90))):
        m.finish_for_good(m.submit(name), error) if name == "c" else m.finish(m.submit(name), error)
    m.scheduler.on_mended(["a", "b", "c", "unknown"], m.now)
    endpoints = [m.scheduler.lanes[name].endpoint for name in "abc"]
    assert [each.capacity for each in endpoints] == [1, 1, 0]


def test_a_bad_request_is_told_at_once_and_harms_nobody() -> None:
    """400: the call is at fault, not the server."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b")
    m.finish(1, BadRequest("HTTP 400"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 finish 1: BadRequest
            a is live
            fail 1: BadRequest: HTTP 400
        """,
    )


def test_a_prompt_that_is_too_long_goes_to_a_larger_context_only() -> None:
    """Candidates with a smaller or unknown context are passed over."""
    m = Machine(spec("a", context=4096), spec("b", context=2048), spec("c"), spec("d", context=8192))
    m.submit("a", "b", "c", "d")
    m.finish(1, ContextTooLong("5000 tokens"))
    assert m.lines[-1] == "    start 1 on d (fallback)"
    m.finish(1, ContextTooLong("still"))
    assert m.lines[-1] == "    fail 1: ContextTooLong: still"


def test_a_stream_that_breaks_before_any_text_falls_back() -> None:
    """Nothing has reached the caller, so another endpoint may answer."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b", streaming=True)
    m.token(1)
    m.finish(1, Unreachable("reset"))
    assert m.lines[-1] == "    start 1 on b (fallback)"


def test_a_stream_that_breaks_after_its_first_text_is_never_taken_up_again() -> None:
    """The caller has seen a part of the answer; the failure still counts."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b", streaming=True)
    m.commit(1)
    m.finish(1, BrokenReply("cut off", partial="Hel"))
    assert m.lines[-1] == "    fail 1: BrokenReply: cut off"
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 1


def test_a_call_that_must_not_be_repeated_is_not() -> None:
    """After 5xx nobody knows whether it was begun; after 429 it certainly was not."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b", idempotent=False)
    m.finish(1, RateLimited("slow down", retry_after=50.0))
    assert m.lines[-1] == "    start 1 on b (fallback)"
    m.finish(1, ServerFailed("HTTP 500"))
    assert m.lines[-1] == "    fail 1: ServerFailed: HTTP 500"


def test_a_breaker_opens_after_five_failures_and_two_good_calls_close_it() -> None:
    """Open for 15 s; then one call at a time, until two have succeeded."""
    m = Machine(spec("a", slots=2), spec("b", slots=9))
    for _ in range(5):
        m.finish_for_good(m.submit("a"), BrokenReply("bad"))
    m.lines.clear()
    m.submit("a", "b")
    m.until(15)
    m.submit("a", "b")
    m.submit("a", "b")
    m.finish(7)
    m.finish(8)
    m.submit("a", "b")
    _is(
        m,
        """
        0 submit 6
            start 6 on b (first)
        15 tick
            a is half_open: bad
        15 submit 7
            start 7 on a (first)
        15 submit 8
        15 finish 7
            start 8 on a (first)
        15 finish 8
            a is ready
        15 submit 9
            start 9 on a (first)
        """,
    )


def test_a_failed_trial_opens_the_breaker_for_twice_as_long() -> None:
    """15 s, then 30 s."""
    m = Machine(spec("a", zone="cloud"), spec("b", slots=9))
    for _ in range(5):
        m.finish_for_good(m.submit("a"), BrokenReply("bad"))
    m.until(15)
    m.finish(m.submit("a", "b"), BrokenReply("bad"))
    assert m.state("a") == "open"
    assert m.scheduler.lanes["a"].endpoint.breaker.opens_at == 45


def _ill(m: Machine, name: str, failures: int = 5) -> None:
    for _ in range(failures):
        m.finish_for_good(m.submit(name), BrokenReply(f"{name} is bad"))
    assert m.state(name) == "open"


def test_when_all_are_ill_the_least_bad_is_used() -> None:
    """Panic: an endpoint with an open breaker is tried early, those nearby first; the cloud is last, and used too where it
    is all that a call has: it is not probed, so that only a call shows that it is back."""
    m = Machine(spec("a"), spec("c", zone="cloud"))
    _ill(m, "a")
    _ill(m, "c")
    m.lines.clear()
    m.submit("c", "a")
    m.finish(11)
    m.submit("c")
    _is(
        m,
        """
        0 submit 11
            a is half_open: a is bad
            start 11 on a (first)
        0 finish 11
        0 submit 12
            c is half_open: c is bad
            start 12 on c (first)
        """,
    )


def test_of_those_nearby_the_one_with_the_fewest_failures_is_tried_then_the_soonest_to_open() -> None:
    """Later failures open it for longer."""
    m = Machine(spec("a"), spec("b"), spec("d"))
    _ill(m, "a")
    m.until(15)
    m.finish_for_good(m.submit("a"), BrokenReply("a is bad"))  # open for 30 s now, after six failures
    _ill(m, "b")
    m.until(16)
    _ill(m, "d")
    for call, name in ((m.submit("a", "d", "b"), "b"), (m.submit("a", "d"), "d"), (m.submit("a"), "a")):
        assert m.scheduler._calls[call].running_on().endpoint.spec.id == name


def test_in_panic_one_call_at_a_time_tries_and_the_others_wait_for_what_it_finds() -> None:
    """A server that is ill is not flooded."""
    m = Machine(spec("a", slots=4))
    _ill(m, "a")
    m.lines.clear()
    first, second = m.submit("a"), m.submit("a")
    assert [line for line in m.lines if "start" in line] == [f"    start {first} on a (first)"]
    m.finish(first)
    assert m.lines[-1] == f"    start {second} on a (first)"


def test_an_endpoint_that_asked_for_rest_is_not_used_in_panic() -> None:
    """Too many requests, or a key that it refuses: another call would only be refused."""
    m = Machine(spec("a"), spec("b"))
    m.finish(m.submit("a"), Refused("HTTP 401"))
    m.finish(m.submit("b", within=10.0), RateLimited("HTTP 429", retry_after=60.0))
    m.submit("a", "b", within=10.0)
    assert m.lines[-1] == "    fail 3: Refused: HTTP 401; a is not asked again for 15 s"


def test_who_waits_for_an_endpoint_that_falls_ill_goes_elsewhere() -> None:
    """The queue of an endpoint whose breaker opens moves to the next candidates, in order."""
    m = Machine(spec("a"), spec("b"))
    for _ in range(4):
        m.finish_for_good(m.submit("a"), BrokenReply("bad"))
    m.lines.clear()
    m.submit("a")
    m.submit("a", "b")
    m.submit("a", "b")
    m.finish(5, BrokenReply("bad"))
    _is(
        m,
        """
        0 submit 5
            start 5 on a (first)
        0 submit 6
        0 submit 7
        0 finish 5: BrokenReply
            a is open: bad
            start 6 on b (first)
            retry 5 at 0.250 after BrokenReply on a
        """,
    )


def test_the_most_urgent_of_those_who_wait_tries_an_ill_endpoint_first() -> None:
    """The only endpoint falls ill while a bulk and an interactive call wait: each of them is started once."""
    m = Machine(spec("a"))
    for _ in range(4):
        m.finish_for_good(m.submit("a"), BrokenReply("bad"))
    m.lines.clear()
    m.submit("a")
    m.submit("a", priority="bulk")
    m.submit("a")
    m.finish(5, BrokenReply("bad"))
    m.finish(7)
    _is(
        m,
        """
        0 submit 5
            start 5 on a (first)
        0 submit 6
        0 submit 7
        0 finish 5: BrokenReply
            a is open: bad
            a is half_open: bad
            start 7 on a (first)
            retry 5 at 0.250 after BrokenReply on a
        0 finish 7
            start 6 on a (first)
        """,
    )


def test_calls_from_before_the_trouble_say_nothing_about_the_endpoint_after_it() -> None:
    """A call that began before the breaker opened neither closes it nor opens it again."""
    m = Machine(spec("a", slots=3), spec("b"))
    good, bad = m.submit("a"), m.submit("a")
    for _ in range(5):
        m.finish_for_good(m.submit("a"), BrokenReply("bad"))
    m.until(15)
    breaker = m.scheduler.lanes["a"].endpoint.breaker
    m.finish(good)
    assert (m.state("a"), breaker.failures) == ("half_open", 5)
    m.finish_for_good(bad, BrokenReply("bad"))
    assert (m.state("a"), breaker.failures) == ("half_open", 5)


def test_a_call_whose_deadline_has_passed_is_never_sent() -> None:
    """Not when it comes, and not when a slot is free at last."""
    m = Machine(spec("a"))
    m.submit("a", within=0.0)
    running = m.submit("a")
    m.submit("a", within=1.0)
    m.now = 2.0  # the slot is free before the tick
    m.finish(running)
    _is(
        m,
        """
        0 submit 1
            fail 1: DeadlinePassed: the deadline passed after 0.0 s, before an endpoint was free
        0 submit 2
            start 2 on a (first)
        0 submit 3
        2 finish 2
            a is ready
            fail 3: DeadlinePassed: the deadline passed after 1.0 s, before an endpoint was free
        """,
    )


def test_a_stream_without_progress_is_stopped_and_its_endpoint_left() -> None:
    """60 s without a token: cancel, trip the breaker, go to the next candidate once the attempt has really ended."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b", streaming=True)
    m.until(60)
    m.finish(1, Stalled("a made no progress for 60 s"))
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        60 tick
            cancel 1: Stalled: a made no progress for 60 s
            a is stalled: a made no progress for 60 s
        60 finish 1: Stalled
            start 1 on b (fallback)
        """,
    )


def test_a_model_that_its_server_must_load_first_is_no_stall() -> None:
    """Its server loads it for the call: on a slow disk that takes minutes, and who cancels it begins anew for ever. From when it
    is seen in memory, or has given a token, the usual limit holds."""
    m = Machine(spec("a"))
    m.scheduler.on_seen({"a": False}, m.now, m.now)
    m.submit("a", streaming=True, within=2000.0)
    m.until(300)
    m.scheduler.on_seen({"a": True}, m.now, m.now)
    m.until(359)
    assert not [line for line in m.lines if "cancel" in line]
    m.until(361)
    assert [line for line in m.lines if "cancel" in line] == ["    cancel 1: Stalled: a made no progress for 60 s"]
    m = Machine(spec("a"))
    m.scheduler.on_seen({"a": False}, m.now, m.now)
    m.submit("a", streaming=True, within=2000.0)
    m.until(599)
    assert not [line for line in m.lines if "cancel" in line]
    m.until(660)
    assert [line for line in m.lines if "cancel" in line] == ["    cancel 1: Stalled: a made no progress for 600 s"]


def test_a_deadline_that_passes_while_a_model_is_loaded_is_no_fault_of_its_server() -> None:
    """It was short for a load; nobody knows that the server hangs."""
    m = Machine(spec("a"))
    m.scheduler.on_seen({"a": False}, m.now, m.now)
    m.submit("a", within=100.0)
    m.until(100)
    m.finish(1, DeadlinePassed("the deadline passed before the model had answered"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0


def test_a_stale_connection_is_not_counted_where_its_endpoint_takes_fewer_calls_meanwhile() -> None:
    """The free retry waits for its turn then."""
    slotted = replace(spec("a", slots=2), battery_slots=1)
    m = Machine(slotted)
    m.submit("a")
    m.submit("a")
    m.power(saving=True)
    m.finish(1, StaleConnection("closed"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0
    m.finish(2)
    assert m.lines[-1] == "    start 1 on a (retry)"
    m.finish(1, StaleConnection("closed"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 1


def test_a_token_of_one_call_shows_that_the_server_works_on_the_other() -> None:
    """A call that waits for its first token is not stalled while its neighbour gets tokens."""
    m = Machine(spec("a", slots=2))
    m.submit("a", streaming=True, within=500.0)
    m.submit("a", streaming=True, within=500.0)
    for moment in (30, 60, 90, 120):
        m.until(moment)
        m.token(1)
    m.until(179)
    assert not [line for line in m.lines if "cancel" in line]
    m.until(180)
    assert [line for line in m.lines if "cancel" in line] == [
        "    cancel 1: Stalled: a made no progress for 60 s",
        "    cancel 2: Stalled: a made no progress for 60 s",
    ]


def test_a_slow_consumer_is_no_stall() -> None:
    """While the consumer of a stream has the turn, silence says nothing about the server."""
    m = Machine(spec("a"))
    m.submit("a", streaming=True)
    m.scheduler.on_progress(1, m.now)
    m.until(100)
    assert m.trace() == "0 submit 1\n    start 1 on a (first)"


def test_a_whole_reply_shows_no_progress_so_only_its_deadline_ends_it() -> None:
    """Until it is known how long replies take there, 60 s of silence mean nothing; but a long silence counts."""
    m = Machine(spec("a"))
    m.submit("a", within=100.0)
    m.until(100)
    m.finish(1, DeadlinePassed("the deadline passed before the model had answered"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 1
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        100 tick
            cancel 1: DeadlinePassed: the deadline passed before the model had answered
        100 finish 1: DeadlinePassed
            fail 1: DeadlinePassed: the deadline passed before the model had answered
        """,
    )


def test_a_short_deadline_is_not_held_against_the_server() -> None:
    """A client in a hurry does not open the breaker."""
    m = Machine(spec("a"))
    m.submit("a", within=1.0)
    m.until(1)
    m.finish(1, DeadlinePassed("late"))
    assert m.scheduler.lanes["a"].endpoint.breaker.failures == 0


def test_a_retry_that_would_come_after_the_deadline_is_not_waited_for() -> None:
    """The fault is told now, not later."""
    m = Machine(spec("a"))
    m.submit("a", within=0.2)
    m.finish(1, ServerFailed("HTTP 500"))
    assert m.lines[-1] == "    fail 1: ServerFailed: HTTP 500"


def test_a_removed_endpoint_finishes_its_calls_and_takes_no_more() -> None:
    """Draining, then gone; who waited for it goes elsewhere or is told."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a")
    m.submit("a", "b")
    m.submit("a")
    m.replace(spec("b"))
    m.finish(1)
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 submit 2
        0 submit 3
        0 endpoints b
            a is draining
            start 2 on b (first)
            fail 3: NoModel: a cannot be used now: it is draining
        0 finish 1
            a is gone
        """,
    )


def test_an_endpoint_with_a_new_target_is_judged_afresh() -> None:
    """A misconfigured endpoint gets calls again when its key is mended."""
    m = Machine(spec("a"))
    m.finish(m.submit("a"), Refused("HTTP 401"))
    m.replace(replace(spec("a"), target=Target("none", "http://a/v1", "m", Secret("new"))))
    m.submit("a")
    assert m.lines[-3:] == ["    a is unknown", "0 submit 2", "    start 2 on a (first)"]


def test_an_unknown_endpoint_is_told_as_no_model() -> None:
    """A call without a candidate that exists fails with the command to look."""
    m = Machine()
    m.submit("a")
    assert m.lines[-1] == "    fail 1: NoModel: no endpoint can take this call (a)"


def test_idle_endpoints_are_probed_and_three_failures_take_them_out() -> None:
    """At once, then every 10 s while idle; down after three failures, more seldom then; up after two answers."""
    m = Machine(spec("a"), spec("c", zone="cloud"))
    for moment, ok in ((0, False), (10, False), (20, False), (40, True), (50, True), (60, True)):
        m.until(moment)
        m.probed("a", ok)
    _is(
        m,
        """
        0 tick: probe
            probe a
        0 probe of a failed
        10 tick: probe
            probe a
        10 probe of a failed
        20 tick: probe
            probe a
        20 probe of a failed
            a is gone
        40 tick: probe
            probe a
        40 probe of a answered
        50 tick: probe
            probe a
        50 probe of a answered
            a is live
        60 tick: probe
            probe a
        60 probe of a answered
        """,
        probes=True,
    )


def test_an_endpoint_at_work_is_not_probed() -> None:
    """Traffic says more than a probe: none while calls are in flight, and none for 15 s after a good one."""
    m = Machine(spec("a"))
    m.until(0)
    m.probed("a", True)
    m.submit("a", within=500.0)
    m.until(50)
    m.finish(1)
    m.lines.clear()
    m.until(70)
    assert m.trace(probes=True) == "65 tick: probe\n    probe a"


def test_a_server_that_could_not_be_reached_comes_back_when_probes_reach_it() -> None:
    """Two answered probes let an open breaker try early."""
    m = Machine(spec("a", zone="node"), spec("b", slots=9))
    for _ in range(5):
        m.finish_for_good(m.submit("a"), Unreachable("refused"))
    m.until(0)
    m.probed("a", True)
    assert m.state("a") == "open"
    m.until(10)
    m.probed("a", True)
    assert m.state("a") == "half_open"


def test_a_server_that_fails_though_it_answers_probes_stays_out_for_its_time() -> None:
    """Answered probes say nothing about an engine that fails."""
    m = Machine(spec("a"))
    for _ in range(5):
        m.finish_for_good(m.submit("a"), BrokenReply("bad"))
    for moment in (0, 10):
        m.until(moment)
        m.probed("a", True)
    assert m.state("a") == "open"


def test_a_change_of_slots_is_no_new_endpoint() -> None:
    """What is known of the server stays."""
    m = Machine(spec("a"))
    m.finish(m.submit("a"))
    m.replace(spec("a", slots=2))
    assert m.state("a") == "ready"


def test_calls_that_wait_when_the_loop_ends_are_told() -> None:
    """Nobody would ever wake them."""
    m = Machine(spec("a"))
    m.submit("a")
    m.submit("a")
    assert [str(effect) for effect in m.scheduler.on_close()] == ["fail 2: RunCancelled: the runtime stops"]
    m.submit("a")
    assert m.lines[-1] == "    fail 3: RunCancelled: the runtime stops"
