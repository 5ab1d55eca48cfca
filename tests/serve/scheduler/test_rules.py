"""The pieces of the scheduler by themselves: breaker, backoff, verdicts, lines of waiting calls, held pieces, limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    QueueFull,
    RateLimited,
    Refused,
    ServerBusy,
    ServerFailed,
    StaleConnection,
    Stalled,
    Unreachable,
)
from orchestrator.core.message import Message, Usage
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.breaker import Breaker, BreakerRules
from orchestrator.deploy.pace import Pace
from orchestrator.deploy.rules import EndpointRules
from orchestrator.ports.provider import ChatReply, Delta
from orchestrator.serve.fallback import Facts, Onward, onward
from orchestrator.serve.hold_back import HeldBack
from orchestrator.serve.scheduler_limits import EARLY_BREAKS, PRIORITIES, RANKS, HoldBack, SchedulerLimits
from tests.serve.scheduler.machine import Machine, spec

REPLY = ChatReply(Message("assistant", "abc"), "stop", Usage())


@given(st.integers(0, 200), st.floats(0, 1, exclude_max=True))
def test_a_backoff_doubles_to_its_cap_within_its_spread(times: int, draw: float) -> None:
    """min(0.25 * 2^n, 5 s) times 0.8 to 1.2."""
    plain = min(0.25 * 2.0**times, 5.0)
    assert 0.8 * plain <= Backoff(0.25, 5.0, 0.2).delay(times, lambda: draw) <= 1.2 * plain


def test_a_breaker_opens_when_half_of_ten_calls_failed() -> None:
    """The share counts only from ten calls in the window on."""
    breaker = Breaker(BreakerRules())
    for number in range(9):
        (breaker.failed(0.0, lambda: 0.5) if number % 2 else breaker.succeeded(0.0))
    assert _state(breaker) == "closed"
    breaker.failed(0.0, lambda: 0.5)
    assert _state(breaker) == "open"


def test_each_trial_of_a_breaker_begins_from_nothing() -> None:
    """One success and a failure: the next trial needs two successes again."""
    breaker = Breaker(BreakerRules())
    breaker.trip(0.0, lambda: 0.5)
    for _ in range(2):
        breaker.try_again()
        breaker.succeeded(0.0)
        assert _state(breaker) == "half_open"
        breaker.failed(0.0, lambda: 0.5)
        assert _state(breaker) == "open"


def test_old_failures_are_forgotten_after_the_window() -> None:
    """What failed more than a minute ago has no weight."""
    breaker = Breaker(BreakerRules(consecutive=100))
    for _ in range(9):
        breaker.failed(0.0, lambda: 0.5)
    breaker.failed(66.0, lambda: 0.5)
    assert breaker.state == "closed"


@given(st.lists(st.sampled_from(["ok", "bad"]), max_size=60))
def test_a_breaker_opens_at_the_latest_after_five_failures_in_a_row(ends: list[str]) -> None:
    """And never without a failure; while open it minds nothing."""
    breaker = Breaker(BreakerRules())
    row = 0
    for end in ends:
        if breaker.state == "open":
            break
        row = row + 1 if end == "bad" else 0
        (breaker.failed(0.0, lambda: 0.5) if end == "bad" else breaker.succeeded(0.0))
        assert row < 5 or _state(breaker) == "open"
        assert row > 0 or _state(breaker) == "closed"


def _state(breaker: Breaker) -> str:
    return breaker.state


@pytest.mark.parametrize(
    ("error", "facts", "expected"),
    [
        (Unreachable(""), Facts(), "elsewhere"),
        (Unreachable(""), Facts(failures=2), "next"),
        (StaleConnection(""), Facts(), "again"),
        (StaleConnection(""), Facts(stale_before=True), "elsewhere"),
        (ServerBusy(""), Facts(), "wait"),
        (RateLimited(""), Facts(), "wait"),
        (Refused(""), Facts(), "next"),
        (BadRequest(""), Facts(), "stop"),
        (ContextTooLong(""), Facts(), "larger"),
        (ModelNotFound(""), Facts(), "next"),
        (ServerFailed(""), Facts(), "retry"),
        (ServerFailed(""), Facts(failures=1), "retry"),
        (ServerFailed(""), Facts(failures=2), "next"),
        (BrokenReply(""), Facts(), "retry"),
        (Stalled(""), Facts(), "retry"),
        (Stalled(""), Facts(stopped=True), "next"),
        (ServerFailed(""), Facts(idempotent=False), "stop"),
        (StaleConnection(""), Facts(idempotent=False), "stop"),
        (ServerBusy(""), Facts(idempotent=False), "wait"),
        (ServerBusy(""), Facts(committed=True), "stop"),
        (BrokenReply(""), Facts(committed=True), "stop"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ModelError) else None,
)
def test_each_fault_says_where_its_call_goes_next(error: ModelError, facts: Facts, expected: Onward) -> None:
    """The table of retries and fallbacks."""
    assert onward(error, facts) == expected


@pytest.mark.parametrize(
    ("count", "failures", "state"),
    [((Unreachable, ServerFailed, Stalled), 5, "open"), ((Unreachable, Stalled), 0, "unknown"), ((), 0, "unknown")],
)
def test_which_faults_open_a_breaker_can_be_set(count: tuple[type[ModelError], ...], failures: int, state: str) -> None:
    """Five errors of the server in a row."""
    m = Machine(spec("a"), limits=SchedulerLimits(endpoint=EndpointRules(count=count)))
    for _ in range(5):
        m.finish_for_good(m.submit("a"), ServerFailed("HTTP 500"))
    endpoint = m.scheduler.lanes["a"].endpoint
    assert (endpoint.breaker.failures, endpoint.state) == (failures, state)


def test_a_stall_that_does_not_count_sends_its_call_on_and_leaves_the_server_in_use() -> None:
    """The operator says that silence is no fault there."""
    limits = SchedulerLimits(endpoint=EndpointRules(count=(Unreachable,)))
    m = Machine(spec("a"), spec("b"), limits=limits)
    call = m.submit("a", "b", streaming=True)
    m.until(60)
    m.finish(call, Stalled("a made no progress for 60 s"))
    assert m.lines[-1] == "    start 1 on b (fallback)"
    assert m.scheduler.lanes["a"].endpoint.takes_calls


def test_urgent_calls_go_first_and_waiting_makes_a_call_more_urgent() -> None:
    """system, interactive, default, bulk; after 30 s a default call counts as interactive, and is older."""
    m = Machine(spec("a"))
    running = m.submit("a", within=1e4)
    old_default = m.submit("a", priority="default", within=1e4)
    m.until(29)
    bulk = m.submit("a", priority="bulk", within=1e4)
    m.now = 30
    interactive = m.submit("a", within=1e4)
    system = m.submit("a", priority="system", within=1e4)
    order: list[int] = []
    while len(order) < 4:
        m.finish(running)
        running = int(m.lines[-1].split()[1])
        order.append(running)
    assert order == [system, old_default, interactive, bulk]


OPERATIONS = st.lists(st.one_of(st.sampled_from(PRIORITIES), st.floats(0.1, 20.0), st.just("finish")), max_size=80)


@given(OPERATIONS, st.integers(1, 3))
def test_whose_turn_it_is_follows_from_class_age_and_number_alone(operations: list[str | float], slots: int) -> None:
    """At each free slot the most urgent call starts: its class, made more urgent by each starvation time it waited."""
    roomy: dict[str, Any] = {name: {"length": 1000, "timeout": 1e6} for name in PRIORITIES}
    m = Machine(spec("a", slots), limits=SchedulerLimits().with_queue(roomy))
    running: list[int] = []
    waiting: dict[int, tuple[int, float, float]] = {}
    for operation in operations:
        m.lines.clear()
        if isinstance(operation, float):
            m.until(m.now + operation)
        elif operation == "finish" and running:
            m.finish(running.pop(0))
        elif operation != "finish":
            priority = PRIORITIES[RANKS[operation]]
            starve_after = m.scheduler.limits.classes[priority].starve_after
            call = m.submit("a", priority=priority, within=1e6, streaming=False)
            waiting[call] = (RANKS[priority], m.now, starve_after)
        for line in m.lines:
            if line.startswith("    start"):
                first = min(waiting, key=lambda one: (_urgency(*waiting[one], m.now), one))
                assert int(line.split()[1]) == first
                running.append(first)
                del waiting[first]
    assert not waiting or len(running) == slots


def _urgency(rank: int, since: float, starve_after: float, now: float) -> int:
    return max(0, rank - int((now - since) / starve_after))


def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    """Each class has its own bound."""
    m = Machine(spec("a"), limits=SchedulerLimits().with_queue({"interactive": {"length": 1, "timeout": None}}))
    m.submit("a")
    m.submit("a")
    m.submit("a")
    assert m.lines[-1] == "    fail 3: QueueFull: the queue of a is full"
    m.submit("a", priority="bulk")
    assert m.lines[-1] == "0 submit 4"


def test_a_call_that_waits_longer_than_its_class_may_is_told() -> None:
    """30 s for interactive calls, where the endpoint is well."""
    m = Machine(spec("a"))
    m.finish(m.submit("a"))
    m.submit("a")
    m.submit("a")
    m.until(30)
    assert m.lines[-1] == "    fail 3: QueueFull: a had no free slot for 30 s"


def test_a_call_waits_until_its_deadline_while_the_server_loads_its_model() -> None:
    """Loading takes minutes on small devices: that is no overload."""
    m = Machine(spec("a"))
    m.finish(m.submit("a"), ServerBusy("Loading model", retry_after=70.0))
    m.submit("a")
    m.until(70)
    m.finish(1)
    assert m.lines[-1] == "    start 2 on a (first)"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("Loading model", "loading"),
        ("the model is being loaded", "loading"),
        ("The server is overloaded, please retry later", "busy"),
        ("no slots available", "busy"),
        ("offload queue full", "busy"),
    ],
)
def test_a_server_that_is_overloaded_does_not_load(words: str, state: str) -> None:
    """Both are waited for; `status` says which it is."""
    m = Machine(spec("a"))
    m.finish(m.submit("a"), ServerBusy(words))
    assert m.scheduler.lanes["a"].endpoint.state == state


def test_a_call_that_was_let_in_once_is_not_sent_away_by_the_queue() -> None:
    """After a fault it waits again, although the queue is full and its class's longest wait is over."""
    m = Machine(spec("a"), limits=SchedulerLimits().with_queue({"interactive": {"length": 1}}))
    first = m.submit("a")
    second = m.submit("a", within=1e4)
    m.finish(first, ServerFailed("HTTP 500"))
    third = m.submit("a")
    m.until(119)
    assert [line for line in m.lines if "fail" in line] == [f"    fail {third}: QueueFull: a had no free slot for 30 s"]
    m.finish(second)
    assert m.lines[-1] == f"    start {first} on a (retry)"


def test_who_is_next_needs_only_the_time_of_its_own_call() -> None:
    """Calls take 10 s, 15 s are left, and others wait behind."""
    m = Machine(spec("a"))
    _usual(m, 10)
    running = m.submit("a")
    m.submit("a", within=25.0)
    m.submit("a")
    m.until(90)
    m.finish(running)
    assert m.lines[-1] == "    start 10 on a (first)"


def _usual(machine: Machine, seconds: float) -> None:
    for _ in range(Pace.LEAST):
        call = machine.submit("a")
        machine.until(machine.now + seconds)
        machine.finish(call)


def test_a_call_that_cannot_end_in_time_is_told_so_at_once() -> None:
    """A slot is taken, calls take 10 s there, and 5 s are left."""
    m = Machine(spec("a"))
    _usual(m, 10)
    m.submit("a")
    m.submit("a", within=5.0)
    assert m.lines[-1] == "    fail 10: WouldMissDeadline: an answer from a takes 10.0 s or more, and 5.0 s are left"


def test_nothing_is_shed_before_it_is_known_how_long_calls_take() -> None:
    """Without figures a call waits for its chance."""
    m = Machine(spec("a"))
    m.submit("a")
    m.submit("a", within=0.001)
    assert m.lines[-1] == "0 submit 2"


def test_those_ahead_in_line_count_when_a_deadline_is_judged() -> None:
    """Three ahead on one slot at 10 s each: 40 s are needed."""
    m = Machine(spec("a"))
    _usual(m, 10)
    for _ in range(4):
        m.submit("a")
    m.submit("a", within=39.0)
    assert m.lines[-1].startswith("    fail 13: WouldMissDeadline: an answer from a takes 40.0 s or more")
    m.submit("a", within=41.0)
    assert m.lines[-1] == "80 submit 14"


def test_equals_share_the_load_and_others_are_kept_for_trouble() -> None:
    """With two equals the idle one is used; the third candidate only waits for both to fail."""
    m = Machine(spec("a", slots=2), spec("b", slots=2), spec("c", slots=9))
    for _ in range(5):
        m.submit("a", "b", "c", equals=2)
    assert [line.split(" on ")[1] for line in m.lines if " on " in line] == [
        "a (first)",
        "b (first)",
        "a (first)",
        "b (first)",
    ]
    m.finish(2)
    assert m.lines[-1] == "    start 5 on b (first)"


def test_without_equals_a_busy_endpoint_is_waited_for() -> None:
    """The second candidate may be a weaker model: it is for trouble, not for load."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b")
    m.submit("a", "b")
    assert m.lines[-1] == "0 submit 2"


def test_more_slots_let_waiting_calls_start() -> None:
    """Endpoints may be described anew at any time; the calls in flight keep their slots."""
    m = Machine(spec("a"))
    m.submit("a")
    m.submit("a")
    m.replace(spec("a", slots=2))
    assert m.lines[-1] == "    start 2 on a (first)"


def test_the_default_passes_the_first_text_on_at_once() -> None:
    """What comes before it binds nobody and is dropped."""
    held = HeldBack(HoldBack())
    assert held.add(Delta(""), 0.0) == []
    assert not held.committed
    assert held.add(Delta("a"), 0.0) == [Delta("a")]
    assert held.committed


@pytest.mark.parametrize(
    ("pieces", "passed_on_at"),
    [
        ([("a", 0.0)] * 32, 32),
        ([("a" * 9000, 0.0)] * 3, 2),
        ([("a", 0.0), ("b", 0.4), ("c", 0.5), ("d", 0.6)], 3),
    ],
)
def test_pieces_can_be_held_back_to_spare_early_breaks(pieces: list[tuple[str, float]], passed_on_at: int) -> None:
    """32 pieces, 16 KiB or 0.5 s; then all of them come at once."""
    held = HeldBack(EARLY_BREAKS)
    out = [held.add(Delta(text), at) for text, at in pieces]
    assert [len(ready) for ready in out[:passed_on_at]] == [0] * (passed_on_at - 1) + [passed_on_at]


def test_a_short_answer_is_passed_on_whole_with_its_reply() -> None:
    """The end of the stream commits what was held back."""
    held = HeldBack(EARLY_BREAKS)
    held.add(Delta("abc"), 0.0)
    assert held.add(Delta("", REPLY), 0.1) == [Delta("abc"), Delta("", REPLY)]


def test_a_fault_keeps_the_partial_text_that_its_provider_gave() -> None:
    """Else it gets the pieces that came."""
    held = HeldBack(HoldBack())
    held.add(Delta("a"), 0.0)
    held.add(Delta("b"), 0.1)
    bare = held.with_partial(BrokenReply("cut"))
    told = held.with_partial(BrokenReply("cut", partial="abx"))
    assert [error.partial for error in (bare, told) if isinstance(error, BrokenReply)] == ["ab", "abx"]
    full = QueueFull("full")
    assert held.with_partial(full) is full


def test_a_blueprint_sets_lengths_and_time_outs_of_its_queues() -> None:
    """What it leaves out stays."""
    limits = SchedulerLimits().with_queue({"bulk": {"length": 5, "timeout": None}, "default": None})
    assert (limits.classes["bulk"].length, limits.classes["bulk"].timeout) == (5, 300.0)
    assert limits.classes["default"] == SchedulerLimits().classes["default"]


def test_a_call_waits_for_a_server_that_we_start_again_and_no_other() -> None:
    """It is back after two seconds. A call that can go elsewhere does so at once, and one of another's server is told."""
    m = Machine(replace(spec("a"), started=True), spec("b"), spec("c"))
    waits, leaves, ends = m.submit("a"), m.submit("c"), m.submit("b")
    m.finish(leaves)
    for at in (0.0, 0.25, 0.75):
        m.until(at)
        m.finish(waits, Unreachable("nobody listens"))
        m.finish(ends, Unreachable("nobody listens"))
    m.until(1.75)
    m.finish(waits)
    assert m.lines[-2:] == ["1.75 finish 1", "    a is ready"]
    assert [line.strip() for line in m.lines if "fail " in line] == [f"fail {ends}: Unreachable: nobody listens"]
    m = Machine(replace(spec("a"), started=True), spec("b"))
    m.finish(m.submit("a", "b"), Unreachable("nobody listens"))
    assert m.lines[-1] == "    start 1 on b (fallback)"


def test_of_a_server_that_we_start_it_is_told_that_it_is_started_again() -> None:
    """Whoever calls it while it is away is not asked whether it runs: that is not theirs to see to."""
    m = Machine(replace(spec("a"), started=True))
    m.submit("a")
    for at in range(120):
        m.until(at)
        started = [line for line in m.lines if line.strip().startswith("start 1 ")]
        ended = [line for line in m.lines if "finish 1" in line]
        if len(started) > len(ended):
            m.finish(1, Unreachable("nobody listens", cure="is the server running?"))
    failed = [line.strip() for line in m.lines if "fail 1" in line]
    assert failed == ["fail 1: Unreachable: nobody listens; its server is started again"]
