"""Who is there, and where a request goes."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.node.table import Patience, Table
from orchestrator.node.wire import Heartbeat


def beat(node: str, seq: int = 1, **more: Any) -> Heartbeat:
    fields: dict[str, Any] = {
        "node": node,
        "epoch": 1,
        "seq": seq,
        "gen": 1,
        "state": "ready",
        "agents": {"x": True},
        "slots": 1,
        "inflight": 0,
        "queued": 0,
        "room": 4,
        "service_ms": 100.0,
    }
    return Heartbeat(**{**fields, **more})


def table(*beats: Heartbeat, at: float = 0.0) -> Table:
    made = Table("a")
    for one in beats:
        assert made.hear(one, at)
    return made


DRAW = Random(3).randrange


def test_silence_makes_suspect_and_then_dead() -> None:
    """2 s and 10 s; who was never heard is suspect first."""
    made = table(beat("b"))
    assert [made.health("b", now) for now in (1.9, 2.0, 9.9, 10.0)] == ["alive", "suspect", "suspect", "dead"]
    assert [made.health("z", now) for now in (0.0, 9.9, 10.0)] == ["suspect", "suspect", "dead"]


def test_a_suspect_node_gets_no_requests() -> None:
    """Nor one that drains or is starting."""
    made = table(beat("b"), beat("c", state="draining"), beat("d", state="starting"))
    assert (made.choose("x", 1.0, DRAW), made.choose("x", 2.0, DRAW)) == ("b", None)


def test_an_old_heartbeat_changes_nothing() -> None:
    """Of an earlier incarnation, or one that was overtaken."""
    made = table(beat("b", 5, epoch=2))
    assert not made.hear(beat("b", 4, epoch=2), 1.0) and not made.hear(beat("b", 9, epoch=1), 1.0)
    assert made.hear(beat("b", 1, epoch=3), 1.0)


def test_a_dead_node_may_begin_to_count_anew() -> None:
    """It left the fleet and joined it again under its name, or lost its disk."""
    made = table(beat("b", 500, epoch=4))
    assert not made.hear(beat("b", 1, epoch=1), 9.9) and made.health("b", 10.0) == "dead"
    assert made.hear(beat("b", 1, epoch=1), 10.1) and made.health("b", 10.2) == "alive"
    assert made.hear(beat("b", 2, epoch=1), 10.6) and made.ready_for("b", 10.6) == 0.5


def test_ready_counts_without_a_break() -> None:
    """A restart, a silence or another state begins it anew."""
    made = table(beat("b"))
    assert made.hear(beat("b", 2), 1.5) and made.ready_for("b", 2.0) == 2.0
    assert made.hear(beat("b", 3), 4.0) and made.ready_for("b", 5.0) == 1.0
    assert made.hear(beat("b", 1, epoch=2), 5.0) and made.ready_for("b", 5.5) == 0.5
    assert made.hear(beat("b", 2, epoch=2, state="draining"), 6.0) and made.ready_for("b", 6.0) == 0.0
    assert made.ready_for("z", 1.0) == 0.0


def test_a_request_stays_where_its_agent_is() -> None:
    """Unless the node is full, or another is clearly sooner done."""
    assert table(beat("a"), beat("b")).choose("x", 0.0, DRAW) == "a"
    assert table(beat("a", room=0), beat("b")).choose("x", 0.0, DRAW) == "b"
    assert table(beat("a", queued=3), beat("b")).choose("x", 0.0, DRAW) == "b"
    assert table(beat("a", room=0)).choose("x", 0.0, DRAW) == "a"  # which will say that it is busy


def test_the_less_loaded_of_two_takes_it() -> None:
    """What was sent and is not in a heartbeat yet counts too."""
    made = table(beat("b"), beat("c", inflight=2))
    assert {made.choose("x", 0.0, DRAW) for _ in range(20)} == {"b"}
    for _ in range(3):
        made.sent("b")
    assert {made.choose("x", 0.0, DRAW) for _ in range(20)} == {"c"}
    for _ in range(3):
        made.ended("b")
    assert made.choose("x", 0.0, DRAW) == "b"


def test_without_load_balancing_the_first_that_can_takes_it() -> None:
    """Here, where the agent is here; else the next one only where the first has a fault, or no room that it told of."""
    made = table(beat("b", inflight=3), beat("c"))
    made.balanced = False
    assert {made.choose("x", 0.0, DRAW) for _ in range(20)} == {"b"}
    assert made.choose("x", 0.0, DRAW, without=frozenset("b")) == "c"
    here = table(beat("a", queued=3), beat("b"))
    here.balanced = False
    assert here.choose("x", 0.0, DRAW) == "a"


def test_a_warm_model_and_the_same_generation_are_preferred() -> None:
    """But a cold or older one is better than none."""
    cold = table(beat("b", agents={"x": False}), beat("c", inflight=3))
    assert cold.choose("x", 0.0, DRAW) == "c" and cold.choose("x", 0.0, DRAW, without=frozenset("c")) == "b"
    old = table(beat("b"), beat("c", gen=2, inflight=3))
    assert old.choose("x", 0.0, DRAW, gen=2) == "c" and old.choose("x", 0.0, DRAW, gen=3) in ("b", "c")


def test_a_node_that_fails_three_times_is_put_aside_for_longer_each_time() -> None:
    """An answer ends it."""
    made = table(beat("b"), beat("c"))
    for _ in range(3):
        made.failed("b", 0.0)
    assert {made.choose("x", 1.0, DRAW) for _ in range(20)} == {"c"}
    for seq in range(2, 10):
        made.hear(beat("b", seq), float(seq))
        made.hear(beat("c", seq), float(seq))
    for _ in range(3):
        made.failed("b", 9.0)
    assert {made.choose("x", 9.5, DRAW) for _ in range(20)} == {"c"}
    assert made.hear(beat("b", 20), 12.5) and made.hear(beat("c", 20), 12.5)
    assert {made.choose("x", 12.9, DRAW) for _ in range(20)} == {"c"}  # 4 s this time
    assert {made.choose("x", 13.1, DRAW) for _ in range(40)} == {"b", "c"}


def test_the_last_holder_is_never_put_aside() -> None:
    """Nor more than half of them."""
    made = table(beat("b"), beat("c"), beat("d"))
    for node in "bcd":
        for _ in range(3):
            made.failed(node, 0.0)
    assert len({made.choose("x", 0.5, DRAW) for _ in range(60)}) == 2
    assert made.choose("x", 0.5, DRAW, without=frozenset()) is not None
    alone = table(beat("b"))
    for _ in range(3):
        alone.failed("b", 0.0)
    assert alone.choose("x", 0.5, DRAW) == "b"


def test_the_table_tells_the_highest_epoch_that_any_node_has_seen() -> None:
    """And forgets nodes that belong to the fleet no more."""
    made = table(beat("b", fence=7), beat("c", fence=9))
    assert made.fence == 9
    made.forget(["c"])
    assert (made.fence, made.nodes, made.beat("c")) == (7, ("b",), None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.floats(0, 12),
            st.sampled_from(["ready", "ready", "draining"]),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.integers(0, 9),
)
def test_who_is_chosen_holds_the_agent_and_lives(heard: list[Any], seed: int) -> None:
    """Whatever was heard; and somebody is chosen whenever there is such a node."""
    made, now = Table("a", Patience()), 12.0
    for seq, (node, at, state, failures, holds) in enumerate(sorted(heard, key=lambda one: one[1]), 1):
        made.hear(beat(node, seq, state=state, agents={"x": True} if holds else {}), at)
        for _ in range(failures):
            made.failed(node, at)
    chosen = made.choose("x", now, Random(seed).randrange)
    able = made.holders("x", now)
    assert (chosen in able) if able else chosen is None
    for node in able:
        last = made.beat(node)
        assert made.health(node, now) == "alive" and last is not None and "x" in last.agents


def test_a_slow_agent_of_a_node_does_not_keep_requests_for_its_others_away() -> None:
    """Seen in a fleet: after 12 slow answers of another agent, a node got none of 640 requests for this one. Nor does the node's
    own average, which is of all its agents, once one was seen."""
    made = table(beat("b", slots=2), beat("c", slots=2, service_ms=4000.0))
    for _ in range(12):
        made.succeeded("c", "slow", 4.2, 0.0)
    made.succeeded("b", "x", 0.1, 0.0)
    assert {made.choose("x", 0.1, DRAW) for _ in range(40)} == {"b", "c"}


def test_what_was_seen_once_fades() -> None:
    """A node that was slow is tried again after a while, or where the other has work enough."""
    made = table(beat("b"), beat("c"))
    made.succeeded("b", "x", 0.1, 0.0)
    made.succeeded("c", "x", 4.0, 0.0)
    assert made.scores("x", "bc", 0.0) == {"b": 100.0, "c": 4000.0}
    assert 300 < made.scores("x", "bc", 20.0)["c"] < 400 and 100 < made.scores("x", "bc", 60.0)["c"] < 102
    assert {made.choose("x", 1.0, DRAW) for _ in range(20)} == {"b"}
    made.succeeded("c", "x", 0.1, 60.0)
    assert made.scores("x", "bc", 60.0)["c"] < 101


def test_a_holder_answers_itself_after_it_was_slow() -> None:
    """What it took for another agent is no reason to send this one away; what it took for this one is, until that has faded."""
    made = table(beat("a", service_ms=4000.0), beat("b"))
    assert made.choose("x", 0.0, DRAW) == "b"  # all that is known
    made.succeeded("b", "x", 0.1, 0.0)
    assert made.choose("x", 0.1, DRAW) == "a"
    made.hear(beat("a", 2, took={"x": 4000.0, "slow": 9000.0}), 0.5)
    assert made.choose("x", 0.6, DRAW) == "b"
    for seq in range(3, 100):
        made.hear(beat("a", seq), seq / 2)
        made.hear(beat("b", seq), seq / 2)
    assert made.choose("x", 49.9, DRAW) == "a"


def test_a_node_tells_itself_that_it_has_become_slow_or_quick() -> None:
    """Nobody need ask it first: heartbeats say how long its answers took that others asked for."""
    made = table(beat("b", took={"x": 100.0}), beat("c", took={"x": 100.0}))
    made.succeeded("c", "x", 0.1, 0.0)
    made.hear(beat("c", 2, took={"x": 2000.0}), 0.5)
    slow = made.scores("x", "bc", 0.5)
    assert slow["b"] == 100.0 and 450 < slow["c"] < 700
    for seq in range(3, 12):
        made.hear(beat("c", seq, took={"x": 100.0}), seq / 2)
    assert made.scores("x", "bc", 5.5)["c"] < 150


@given(
    st.lists(
        st.tuples(st.sampled_from("bc"), st.sampled_from("xy"), st.floats(0.01, 30), st.floats(0, 60), st.booleans()),
        max_size=20,
    ),
    st.integers(0, 9),
)
def test_after_any_history_two_nodes_that_are_idle_and_equal_share_the_work(history: list[Any], seed: int) -> None:
    """Within a minute each gets 35 to 65 % of 200 requests that come faster than one of them can answer."""
    made, draw = table(beat("b", slots=2), beat("c", slots=2)), Random(seed).randrange
    for seq, (node, agent, seconds, at, told) in enumerate(sorted(history, key=lambda one: one[3]), 2):
        if told:
            made.hear(beat(node, seq, slots=2, took={agent: seconds * 1000}), at)
        else:
            made.succeeded(node, agent, seconds, at)
    got, ends = {"b": 0, "c": 0}, list[tuple[float, str]]()
    for number in range(200):
        now = 120.0 + number / 32
        while ends and ends[0][0] <= now:
            at, node = ends.pop(0)
            made.ended(node)
            made.succeeded(node, "x", 0.13, at)
        for name in "bc":
            made.hear(beat(name, number + 30, slots=2), now)
        chosen = made.choose("x", now, draw)
        assert chosen is not None
        made.sent(chosen)
        got[chosen] += 1
        ends.append((now + 0.13, chosen))
    assert 70 <= got["b"] <= 130


def test_a_fleet_of_very_many_nodes_beats_slower_so_that_nobody_hears_too_much() -> None:
    """Up to 200 nodes all is as ever."""
    usual = Patience()
    assert usual.of(3) == usual.of(200) == usual
    many = usual.of(1000)
    assert (many.beat, many.suspect, many.dead) == (2.5, 10.0, 50.0)
    assert (many.failures, many.aside) == (usual.failures, usual.aside)
    table = Table("a")
    table.fit(1000)
    table.fit(400)
    assert table.patience == usual.of(400)  # reckoned from what is usual, each time
