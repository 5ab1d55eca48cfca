"""Which models the scheduler loads and unloads in each situation, as whole traces."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent

from orchestrator.core.errors import ModelNotFound, ServerBusy, ServerFailed, Unreachable
from orchestrator.deploy.residence import UNBOUNDED, PoolLimits
from orchestrator.ports.lifecycle import Loaded
from orchestrator.serve.effect import Start
from orchestrator.serve.scheduler_limits import SchedulerLimits
from tests.serve.scheduler.machine import GB, Machine, pool, resident, spec


def _is(machine: Machine, expected: str) -> None:
    assert machine.trace() == dedent(expected).strip()


def _moves(machine: Machine) -> list[str]:
    """Loads and unloads with their reasons."""
    return [line.strip() for line in machine.lines if line.startswith(("    load ", "    unload "))]


def test_the_waiting_work_of_the_loaded_model_goes_first() -> None:
    """A, B, A, B come in turn, and the memory holds one model: two loads, not four."""
    m = Machine(resident("a"), resident("b"), pools=pool())
    for name in ("a", "b", "a", "b"):
        m.submit(name, priority="default")
    m.until(10)
    m.loaded("a")
    m.finish(1)
    m.finish(3)
    m.unloaded("a")
    m.until(20)
    m.loaded("b")
    m.finish(2)
    m.finish(4)
    _is(
        m,
        """
        0 submit 1
            a is loading
            load model-a: 1 call waits for it
        0 submit 2
        0 submit 3
        0 submit 4
        10 loaded a
            a is unknown
            start 1 on a (first)
        10 finish 1
            a is ready
            start 3 on a (first)
        10 finish 3
            a is unloaded
            unload model-a: makes room for model-b: nothing waits for it
        10 unloaded a
            b is loading
            load model-b: 2 calls wait for it
        20 loaded b
            b is unknown
            start 2 on b (first)
        20 finish 2
            b is ready
            start 4 on b (first)
        20 finish 4
        """,
    )


def test_a_model_that_was_waited_for_too_long_gets_its_place() -> None:
    """Calls for A never end; the interactive call for B has waited 5 s, so A lets no more begin."""
    m = Machine(resident("a", loaded=True), resident("b"), pools=pool())
    m.submit("a")
    m.submit("b")
    m.submit("a")
    m.until(4)
    m.finish(1)
    m.submit("a")
    m.until(6)
    m.finish(3)
    m.unloaded("a")
    m.until(16)
    m.loaded("b")
    _is(
        m,
        """
        0 submit 1
            start 1 on a (first)
        0 submit 2
        0 submit 3
        4 finish 1
            a is ready
            start 3 on a (first)
        4 submit 4
        5 tick
            a is yielding
        6 finish 3
            a is unloaded
            unload model-a: makes room for model-b, whose oldest call has waited 5.0 s
        6 unloaded a
            b is loading
            load model-b: 1 call waits for it
        16 loaded b
            b is unknown
            start 2 on b (first)
            b is yielding
        """,
    )


def test_a_burst_ends_although_nobody_has_waited_too_long() -> None:
    """Eight calls have run on A while one of the bulk waited for B: B has its place."""
    m = Machine(resident("a", loaded=True), resident("b"), pools=pool())
    m.submit("b", priority="bulk")
    running = [m.submit("a"), m.submit("a")]
    assert _moves(m) == ["unload model-a: makes room for model-b: nothing waits for it"]
    m = Machine(resident("a", loaded=True), resident("b"), pools=pool())
    running = [m.submit("a")]
    m.submit("b", priority="bulk")
    while m.state("a") != "yielding":
        running.append(m.submit("a"))
        m.finish(running.pop(0))
    m.finish(running.pop(0))
    assert _moves(m) == ["unload model-a: makes room for model-b: 8 calls ran while others waited"]


def test_what_was_loaded_serves_those_that_waited_for_it_before_it_yields() -> None:
    """Both models are long overdue when A comes: its three calls run first, the one that comes later does not."""
    m = Machine(resident("a"), resident("b"), pools=pool())
    for name in ("a", "b", "a", "a"):
        m.submit(name)
    m.until(10)
    m.loaded("a")
    late = m.submit("a")
    for call in (1, 3, 4):
        m.until(m.now + 1)
        m.finish(call)
    assert _moves(m)[1:] == ["unload model-a: makes room for model-b, whose oldest call has waited 12.0 s"]
    assert f"    start {late} on a (first)" not in m.lines


def test_a_model_whose_server_takes_no_calls_does_not_keep_its_place() -> None:
    """A's server says that it is busy for 100 s, with calls of A's stint in line; B is overdue, and gets the memory."""
    m = Machine(resident("a"), resident("b"), pools=pool())
    for name in ("a", "a", "b"):
        m.submit(name)
    m.loaded("a")
    m.finish(1, ServerBusy("busy", retry_after=100.0))
    m.until(5)
    assert _moves(m)[1:] == ["unload model-a: makes room for model-b, whose oldest call has waited 5.0 s"]


def test_models_that_fit_beside_each_other_stay() -> None:
    """Room for two: nothing is unloaded, one load at a time."""
    m = Machine(resident("a", 4), resident("b", 4), pools=pool(10))
    m.submit("a")
    m.submit("b")
    m.until(10)
    m.loaded("a")
    m.until(20)
    m.loaded("b")
    _is(
        m,
        """
        0 submit 1
            a is loading
            load model-a: 1 call waits for it
        0 submit 2
        10 loaded a
            a is unknown
            start 1 on a (first)
            b is loading
            load model-b: 1 call waits for it
        20 loaded b
            b is unknown
            start 2 on b (first)
        """,
    )


def test_what_is_worth_least_leaves() -> None:
    """Of three models at rest one must go: A is expected next, B takes 60 s to load, C has rested longest; then D comes."""
    m = Machine(
        resident("a", 3, loaded=True),
        resident("b", 3, loaded=True, load_seconds=60.0),
        resident("c", 3, loaded=True),
        resident("d", 3),
        pools=pool(10),
    )
    for name in ("c", "a", "b"):
        m.until(m.now + 1)
        m.finish(m.submit(name))
    m.foresee("run_1", "a")
    m.submit("d")
    assert _moves(m) == ["unload model-c: makes room for model-d: nothing waits for it"]


def test_only_as_much_leaves_as_is_needed() -> None:
    """Two small models have rested longer, but the large one alone makes the room."""
    m = Machine(
        resident("a", 1, loaded=True),
        resident("b", 1, loaded=True),
        resident("c", 6, loaded=True),
        resident("d", 7),
        pools=pool(8),
    )
    for name in ("a", "b", "c"):
        m.until(m.now + 1)
        m.finish(m.submit(name))
    m.submit("d")
    assert _moves(m) == [
        "unload model-a: makes room for model-d: nothing waits for it",
        "unload model-c: makes room for model-d: nothing waits for it",
    ]


def test_a_pinned_model_stays_and_what_does_not_fit_beside_it_goes_elsewhere() -> None:
    """With the arithmetic, at once; for a call that has nowhere else to go the server is asked, since our books may be wrong."""
    m = Machine(resident("a", 6, pinned=True, loaded=True), resident("b", 6), spec("c"), pools=pool(10))
    m.submit("b", "c")
    m.submit("b")
    m.loaded("b")
    arithmetic = "it needs 6.0 GB, and models may take 10.0 GB here, of which 6.0 GB are kept for pinned models"
    _is(
        m,
        f"""
        0 submit 1
            start 1 on c (first)
        0 submit 2
            b is loading
            load model-b: 1 call waits for it, and its server is asked although {arithmetic}
        0 loaded b
            b is unknown
            start 2 on b (first)
        """,
    )


def test_of_pinned_models_that_do_not_fit_together_the_smallest_stay() -> None:
    """Two deployments pinned them: what has no room beside the other is asked for with the arithmetic, and leaves as soon as
    nothing waits for it; and it is not loaded again ahead."""
    m = Machine(resident("a", 6, pinned=True, loaded=True), resident("b", 7, pinned=True), pools=pool(10))
    m.until(1)
    assert _moves(m) == []
    call = m.submit("b")
    m.loaded("b")
    assert m.lines[-1] == f"    start {call} on b (first)"
    m.finish(call)
    m.unloaded("b")
    m.until(1000)
    kept = "of which 6.0 GB are kept for pinned models"
    asked = f"its server is asked although it needs 7.0 GB, and models may take 10.0 GB here, {kept}"
    assert _moves(m) == [
        f"load model-b: 1 call waits for it, and {asked}",
        f"unload model-b: more is loaded than the 10.0 GB that models may take, {kept}",
    ]


def test_what_is_pinned_and_smaller_takes_the_place_of_a_larger_one() -> None:
    """It was loaded when the smaller one was not known yet; no more is loaded than may be."""
    large = resident("a", 7, pinned=True, loaded=True)
    m = Machine(large, pools=pool(10))
    m.replace(large, resident("b", 6, pinned=True), pools=pool(10))
    m.submit("b")
    m.unloaded("a")
    assert _moves(m) == [
        "unload model-a: makes room for model-b: nothing waits for it",
        "load model-b: 1 call waits for it",
    ]


def test_what_is_too_large_by_our_books_comes_alone_and_only_its_server_refuses_it() -> None:
    """What rests and what has had its turn makes way; the load that fails is told in the server's words, and is tried as
    often as any other."""
    m = Machine(resident("a", 4, loaded=True), resident("b", 12), pools=pool(10))
    working = m.submit("a")
    call = m.submit("b")
    m.until(4)
    assert _moves(m) == []
    m.finish(working)
    assert _moves(m) == ["unload model-a: makes room for model-b: nothing waits for it"]
    m.unloaded("a")
    asked = "its server is asked although it needs 12.0 GB, and models may take 10.0 GB here"
    assert _moves(m)[1:] == [f"load model-b: 1 call waits for it, and {asked}"]
    m.loaded("b")
    assert m.lines[-1] == f"    start {call} on b (first)"
    m.until(6)
    assert not [line for line in m.lines if "is yielding" in line]
    m.finish(call)
    assert _moves(m)[2:] == ["unload model-b: more is loaded than the 10.0 GB that models may take"]
    m.unloaded("b")
    again = m.submit("b")
    for _ in range(3):
        m.load_failed("b", ServerFailed("out of memory"))
        m.until(m.now + 5)
    assert f"    fail {again}: ServerFailed: out of memory" in m.lines


def test_what_somebody_else_loaded_is_not_unloaded_for_its_rest() -> None:
    """Unless its manifest says so; ours is. For a call that waits it makes room, after what is ours."""
    m = Machine(
        resident("a", 3, loaded="theirs", rest=60.0),
        resident("b", 3, loaded="theirs", rest=60.0, whoever=True),
        resident("c", 3, loaded=True, rest=60.0),
        resident("d", 3),
        pools=pool(10, saves=True),
    )
    m.until(1000)
    m.power(saving=True)
    m.until(2000)
    assert _moves(m) == [f"unload model-{name}: nothing was asked of it for 60 s" for name in "bc"]
    m = Machine(resident("a", 5, loaded="theirs"), resident("b", 5, loaded=True), resident("d", 5), pools=pool())
    m.finish(m.submit("b"))
    m.submit("d")
    assert _moves(m) == ["unload model-b: makes room for model-d: nothing waits for it"]


def test_nothing_is_loaded_ahead_that_the_measured_memory_has_no_room_for() -> None:
    """Other programs have it: a call that waits is served all the same. What was loaded from here since the look counts."""
    m = Machine(resident("a", 3), resident("b", 3), resident("c", 3), pools=pool(10))
    m.measured(2)
    m.foresee("run_1", "a")
    assert _moves(m) == []
    m.submit("b")
    assert _moves(m) == ["load model-b: 1 call waits for it"]
    m.loaded("b")
    m.until(1)
    m.measured(5)
    m.until(2)
    assert _moves(m)[1:] == ["load model-a: it is likely to be needed next"]
    m.until(3)
    m.loaded("a")
    m.foresee("run_1", "c")
    assert len(_moves(m)) == 2
    m.until(4)
    m.measured(4)
    assert _moves(m)[2:] == ["load model-c: it is likely to be needed next"]


def test_what_is_expected_next_is_loaded_ahead_where_it_fits() -> None:
    """A run on A is likely to go on with B, which fits, or C, which does not; when it ends, nothing is expected."""
    m = Machine(resident("a", 4, loaded=True), resident("b", 4), resident("c", 8), pools=pool(10))
    m.submit("a")
    m.foresee("run_1", "b", "c")
    m.until(10)
    m.loaded("b")
    m.finish(1)
    m.submit("b")
    m.foresee("run_1")
    assert _moves(m) == ["load model-b: it is likely to be needed next"]
    assert m.lines[-2:] == ["    start 2 on b (first)", "10 run_1 foresees nothing"]


def test_a_model_is_kept_for_expected_work_as_long_as_its_reload_takes() -> None:
    """Between two calls of a run on A a tool works; B does not take A's place in that moment, nor wait for ever."""
    m = Machine(resident("a", loaded=True, load_seconds=3.0), resident("b"), pools=pool())
    m.submit("a", priority="default")
    m.submit("b", priority="default")
    m.foresee("run_1", "a")
    m.until(1)
    m.finish(1)
    m.until(2)
    m.finish(m.submit("a", priority="default"))
    assert not _moves(m)
    m.until(5)
    assert _moves(m) == ["unload model-a: makes room for model-b: the calls expected for it did not come"]
    assert m.lines[-3] == "5 tick"


def test_an_idle_model_is_unloaded_after_its_rest() -> None:
    """After 300 s; A after 60 s, P is pinned, and B is busy for long."""
    m = Machine(
        resident("a", 2, loaded=True, rest=60.0),
        resident("b", 2, loaded=True, rest=300.0),
        resident("c", 2, loaded=True, rest=300.0),
        resident("p", 2, loaded=True, pinned=True, rest=300.0),
        pools=pool(10),
    )
    m.submit("b", within=1000)
    m.until(299)
    m.unloaded("a")
    m.until(400)
    m.unloaded("c")
    m.finish(1)
    m.until(1000)
    assert [line for line in m.trace().splitlines() if "tick" in line or "load " in line] == [
        "60 tick",
        "    unload model-a: nothing was asked of it for 60 s",
        "300 tick",
        "    unload model-c: nothing was asked of it for 300 s",
        "700 tick",
        "    unload model-b: nothing was asked of it for 300 s",
    ]


def test_models_at_rest_take_no_more_than_the_cache() -> None:
    """Three times 3 GB rest and 6 GB may: the one that has rested longest goes; what runs is no cache."""
    three = [resident(name, 3, loaded=True) for name in "abc"]
    m = Machine(*three, pools=pool(10))
    m.finish(m.submit("c"))
    m.replace(*three, pools=pool(10, cache=6 * GB))
    assert _moves(m) == ["unload model-a: models that rest may take 6.0 GB together"]
    m.unloaded("a")
    m.until(1)
    m.finish(m.submit("c"))
    working = m.submit("a")
    m.loaded("a")
    assert _moves(m)[1:] == ["load model-a: 1 call waits for it"]
    m.finish(working)
    assert _moves(m)[2:] == ["unload model-b: models that rest may take 6.0 GB together"]


def test_a_load_that_fails_is_tried_again_and_then_told() -> None:
    """Three loads, after 0.25 and 0.5 s; then the call has the server's reason."""
    m = Machine(resident("a"), pools=pool())
    m.submit("a")
    m.load_failed("a", ServerFailed("out of memory"))
    m.until(0.25)
    m.load_failed("a", ServerFailed("out of memory"))
    m.until(0.75)
    m.load_failed("a", ServerFailed("out of memory"))
    _is(
        m,
        """
        0 submit 1
            a is loading
            load model-a: 1 call waits for it
        0 load of a failed: ServerFailed
            a is unloaded
        0.25 tick
            a is loading
            load model-a: 1 call waits for it
        0.25 load of a failed: ServerFailed
            a is unloaded
        0.75 tick
            a is loading
            load model-a: 1 call waits for it
        0.75 load of a failed: ServerFailed
            a is unloaded
            fail 1: ServerFailed: out of memory
        """,
    )


def test_a_load_that_fails_sends_its_calls_to_the_next_candidate() -> None:
    """At once where there is one; a model that the server does not know is not tried again."""
    m = Machine(resident("a"), spec("b"), pools=pool())
    m.submit("a", "b")
    m.submit("a")
    m.load_failed("a", ModelNotFound("no such model"))
    _is(
        m,
        """
        0 submit 1
            a is loading
            load model-a: 1 call waits for it
        0 submit 2
        0 load of a failed: ModelNotFound
            a is unloaded
            relist a
            a is gone: no such model
            start 1 on b (first)
            fail 2: ModelNotFound: no such model; a is not asked again for 15 s
        """,
    )


def test_who_answers_instead_of_a_model_that_could_not_be_loaded_is_told_so() -> None:
    """No call went there, so that no attempt tells it; what it was sent to and failed is told as an attempt."""
    m = Machine(resident("a"), spec("b"), spec("c"), pools=pool())
    m.submit("a", "b", "c")
    failed = m.scheduler.on_loaded("model-a", ServerFailed("out of memory"), 0.0)
    [start] = [one for one in failed if isinstance(one, Start)]
    assert (start.spec.id, start.passed) == ("b", ("a was not asked: out of memory",))
    gone = m.scheduler.on_finish(1, 0.0, ModelNotFound("no such model"))
    [start] = [one for one in gone if isinstance(one, Start)]
    assert (start.spec.id, start.passed) == ("c", ("a was not asked: out of memory",))


def test_a_model_that_the_server_does_not_unload_stays_in_use() -> None:
    """The server says that it is busy: the model serves on, and is asked to leave again half a minute later."""
    m = Machine(resident("a", loaded=True), resident("b"), pools=pool())
    m.submit("b", priority="bulk", within=600)
    m.unloaded("a", ServerBusy("it answers someone else"))
    m.finish(m.submit("a"))
    m.until(30)
    assert _moves(m) == ["unload model-a: makes room for model-b: nothing waits for it"] * 2


def test_a_server_that_is_gone_has_freed_its_memory() -> None:
    """Nobody can be asked to unload it, and nobody needs to be."""
    m = Machine(resident("a", loaded=True), resident("b"), pools=pool())
    m.submit("b")
    m.unloaded("a", Unreachable("refused"))
    assert m.lines[-1] == "    load model-b: 1 call waits for it"


def test_a_call_that_cannot_wait_for_the_load_is_told_so_at_once() -> None:
    """Loading took 40 s the last time and 20 s are left; the model is loaded all the same, for the next one."""
    m = Machine(resident("a", loaded=True), resident("b", load_seconds=40.0), pools=pool())
    m.submit("b", within=20.0)
    m.unloaded("a")
    _is(
        m,
        """
        0 submit 1
            fail 1: WouldMissDeadline: an answer from b takes 40.0 s or more, 40.0 s of it to load the model, and 20.0 s are left
            a is unloaded
            unload model-a: makes room for model-b: nothing waits for it
        0 unloaded a
            b is loading
            load model-b: a call went away because loading it takes too long
        """,
    )


def test_what_a_load_takes_is_learned() -> None:
    """Ten seconds, then twenty: 13 s are expected."""
    m = Machine(resident("a"), resident("b"), pools=pool())
    for seconds in (10.0, 20.0):
        call = m.submit("a")
        m.loaded("a", seconds)
        m.finish(call)
        call = m.submit("b")
        m.unloaded("a")
        m.loaded("b")
        m.finish(call)
        m.submit("a", within=5.0) if seconds == 20.0 else m.submit("a")
        if seconds == 10.0:
            m.unloaded("b")
            m.load_failed("a", ModelNotFound("gone for a while"))
            m.until(20)
    assert (
        "    fail 6: WouldMissDeadline: an answer from a takes 13.0 s or more, 13.0 s of it to load the model, and 5.0 s are left"
        in m.lines
    )


def test_of_a_load_that_runs_only_the_rest_counts() -> None:
    """Loading takes 40 s, 30 of them are over, and 20 s are left."""
    m = Machine(resident("a", load_seconds=40.0), pools=pool())
    m.submit("a")
    m.until(30)
    m.submit("a", within=20.0)
    assert m.lines[-1] == "30 submit 2"


def test_on_battery_less_is_done() -> None:
    """Half the slots, nothing loaded ahead, models rest a minute at most; on mains all is as before."""
    slotted = replace(resident("a", 4, slots=4, loaded=True), battery_slots=2)
    m = Machine(slotted, resident("b", 4), pools=pool(10, saves=True))
    m.power(saving=True)
    for _ in range(4):
        m.submit("a")
    m.foresee("run_1", "b")
    assert m.scheduler.lanes["a"].endpoint.in_flight == 2
    m.finish(1)
    m.finish(2)
    m.power(saving=False)
    assert _moves(m) == ["load model-b: it is likely to be needed next"]
    m.power(saving=True)
    m.finish(3)
    m.finish(4)
    m.until(60)
    assert _moves(m)[1:] == ["unload model-a: nothing was asked of it for 60 s"]


def test_a_model_that_nobody_uses_any_more_is_unloaded_if_it_was_loaded_from_here() -> None:
    """The next revision has neither; A was there before, and is left alone."""
    m = Machine(resident("a", 4, loaded="theirs"), resident("b", 4), pools=pool())
    m.submit("b")
    m.loaded("b")
    m.replace(pools=pool())
    m.finish(1)
    assert _moves(m)[1:] == ["unload model-b: nothing uses it any more"]


def test_a_lower_limit_sends_models_away() -> None:
    """Six of ten GB may be taken now, then three: one that rests goes at once, one that works when nothing waits for it."""
    m = Machine(resident("a", 4, loaded=True), resident("b", 4, loaded=True), pools=pool())
    m.submit("a")
    m.replace(resident("a", 4, loaded=True), resident("b", 4, loaded=True), pools=pool(6))
    m.unloaded("b")
    assert _moves(m) == ["unload model-b: more is loaded than the 6.0 GB that models may take"]
    m.replace(resident("a", 4, loaded=True), resident("b", 4, loaded=True), pools=pool(3))
    m.finish(1)
    assert _moves(m)[1:] == ["unload model-a: more is loaded than the 3.0 GB that models may take"]


def test_calls_tell_how_long_they_waited_for_the_model() -> None:
    """Ten seconds for the load; the wait for a slot behind another call is no wait for the model."""
    m = Machine(resident("a"), pools=pool())
    m.submit("a")
    m.submit("a")
    m.until(10)
    effects = m.scheduler.on_loaded("model-a", Loaded(10.0), m.now)
    m.until(14)
    effects += m.scheduler.on_finish(1, m.now)
    late = m.submit("a")
    effects += m.scheduler.on_finish(2, m.now + 3)
    assert [(one.call, one.for_model) for one in effects if isinstance(one, Start)] == [
        (1, 10.0),
        (2, 10.0),
        (late, 0.0),
    ]


def test_a_model_that_is_said_to_take_more_is_measured_by_that() -> None:
    """The next revision of the manifest corrects its memory: now the two do not fit beside each other."""
    m = Machine(resident("a", 4, loaded=True), resident("b", 4), pools=pool())
    m.replace(resident("a", 7, loaded=True), resident("b", 4), pools=pool())
    m.submit("b")
    assert _moves(m) == ["unload model-a: makes room for model-b: nothing waits for it"]


def test_endpoints_of_one_model_share_its_load() -> None:
    """Two keys for one model on one server: it is loaded once, and both are served."""
    first = resident("a")
    second = replace(spec("a2"), residence=first.residence)
    m = Machine(first, second, pools=pool(6))
    m.submit("a")
    m.submit("a2")
    m.loaded("a")
    assert [line for line in m.lines if "start" in line or "load " in line] == [
        "    load model-a: 1 call waits for it",
        "    start 1 on a (first)",
        "    start 2 on a2 (first)",
    ]


def test_a_load_that_is_given_up_at_the_end_can_begin_anew() -> None:
    """The loop ends while A is loaded; when it runs again, the next call has it loaded."""
    m = Machine(resident("a"), pools=pool())
    m.submit("a")
    m.scheduler.on_close()
    m.scheduler.on_tick(m.now)
    m.submit("a")
    assert _moves(m) == ["load model-a: 1 call waits for it"] * 2


def test_of_equals_the_one_that_is_loaded_serves() -> None:
    """A is loaded and busy, B would have to be loaded: the second call waits for A, and B is left alone."""
    m = Machine(resident("a", 4, loaded=True), resident("b", 4), pools=pool())
    m.submit("b", "a", equals=2)
    m.submit("b", "a", equals=2)
    m.finish(1)
    assert [line for line in m.lines if "start" in line or "load " in line] == [
        "    start 1 on a (first)",
        "    start 2 on a (first)",
    ]


def test_a_model_is_called_by_the_name_that_its_server_gave_it() -> None:
    """Some load a model under another name; with the next load it may be another one again."""
    m = Machine(resident("a"), pools=pool())
    m.submit("a")
    [start] = [one for one in m.scheduler.on_loaded("model-a", Loaded(1.0, model="a:2"), 0.0) if isinstance(one, Start)]
    assert (start.target.model, start.spec.target.model) == ("a:2", "m")


def test_a_pool_without_limits_is_not_managed() -> None:
    """Where nobody said how much there is, the server loads by itself as it always did."""
    m = Machine(resident("a"), limits=SchedulerLimits())
    m.submit("a")
    assert m.lines[-1] == "    start 1 on a (first)"


def test_what_was_loaded_from_here_leaves_with_the_last_deployment() -> None:
    """Also where with it nobody says any more what models may take; what somebody else loaded stays, and so does what another
    deployment uses, whose server sees to it from then on."""
    ours, theirs, used = (
        resident("ours", 2, loaded=True),
        resident("theirs", 2, loaded="theirs"),
        resident("used", 2, loaded=True),
    )
    m = Machine(ours, theirs, used, pools=pool())
    m.submit("used")
    m.replace(used)
    assert _moves(m) == ["unload model-ours: nothing uses it any more"]
    m.unloaded("ours")
    m.finish(1)
    m.until(1000)
    assert _moves(m) == ["unload model-ours: nothing uses it any more"]


def test_a_pinned_model_leaves_too_when_no_deployment_uses_it() -> None:
    """Pinned is the word of a deployment, and that is gone."""
    m = Machine(resident("a", loaded=True, pinned=True), pools=pool())
    m.replace()
    assert _moves(m) == ["unload model-a: nothing uses it any more"]


def test_a_limit_that_comes_back_finds_what_was_about_to_leave() -> None:
    """The next deployment of the same model loads it again once it has left."""
    m = Machine(resident("a", loaded=True), pools=pool())
    m.replace()
    m.replace(resident("a"), pools=pool())
    m.submit("a")
    m.unloaded("a")
    assert _moves(m) == ["unload model-a: nothing uses it any more", "load model-a: 1 call waits for it"]


def test_without_a_limit_models_rest_and_leave_and_nothing_is_loaded_ahead() -> None:
    """Nobody makes room for another one."""
    m = Machine(resident("a", rest=300.0), resident("b", rest=300.0), pools={"device": PoolLimits(UNBOUNDED)})
    m.submit("a")
    m.loaded("a")
    m.finish(1)
    m.submit("b")
    m.loaded("b")
    m.finish(2)
    m.until(301)
    assert _moves(m) == [
        "load model-a: 1 call waits for it",
        "load model-b: 1 call waits for it",
        "unload model-a: nothing was asked of it for 300 s",
        "unload model-b: nothing was asked of it for 300 s",
    ]
