"""How a manifest goes over a fleet: what the leader decides, for what it sees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.plan.fleet import Fleet, FleetAgent, FleetNode
from orchestrator.plan.placement import Assignment, Seen, place
from orchestrator.plan.rolling import Between, Rollout, Said, Tally, Watch, begun, in_order, worse

NODES = {name: FleetNode(name) for name in "abc"}
SEEN = dict.fromkeys("abc", Seen(ready_for=60.0))


def fleet(failover: str = "automatic", **homes: str) -> Fleet:
    """Agents by their homes."""
    assert failover in ("automatic", "none")
    agents = {name: FleetAgent(name, home) for name, home in homes.items()}
    return Fleet(NODES, agents, failover="automatic" if failover == "automatic" else "none")


def nodes_of(assignment: Assignment) -> dict[str, str]:
    return {agent: "".join(one.node for one in places) for agent, places in assignment.places.items()}


def test_one_node_after_the_other_is_watched_for_as_long_as_the_gate_says() -> None:
    watch, rollout, said, now = Watch(), Rollout(2, "rolling"), dict.fromkeys("abc", Said(generation=1)), 0.0
    turns: list[tuple[float, str, str]] = []
    while rollout.state == "rolling" and now < 100:
        after = watch.step(rollout, "abc", said, 10.0, now)
        if after != rollout:
            turns.append((now, after.state, after.node))
        rollout = after
        if rollout.node and said[rollout.node].generation == 1 and now % 5 == 4:
            said[rollout.node] = Said(generation=2)
        now += 1
    assert turns == [(0.0, "rolling", "a"), (15.0, "rolling", "b"), (30.0, "rolling", "c"), (45.0, "done", "")]


def test_a_node_that_is_away_is_passed_over_and_one_that_is_silent_is_waited_for() -> None:
    said = {"a": Said("dead"), "b": Said("suspect"), "c": Said(generation=1)}
    watch = Watch()
    assert watch.step(Rollout(2, "rolling"), "abc", said, 1.0, 0.0).node == "c"
    taken = Rollout(2, "rolling", ("c",))
    assert watch.step(taken, "abc", said, 1.0, 0.0) == taken
    assert watch.step(taken, "abc", {**said, "b": Said("dead")}, 1.0, 0.0).state == "done"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Said(generation=1, fault="no port"), "node.a: it cannot serve it: no port"),
        (Said("dead", 2), "node.a: it died when it took it over"),
        (Said(generation=1), "node.a: it has not taken it over after 10 s"),
        (
            Said(generation=2, since=Tally(10, 4)),
            "node.a: 4 of 10 requests failed since, and 0 of 0 before",
        ),
    ],
)
def test_what_turns_a_fleet_back(said: Said, why: str) -> None:
    watch, rollout = Watch(), Rollout(2, "rolling", node="a")
    first = watch.step(rollout, "abc", {"a": replace(said, fault="", since=Tally(), health="alive")}, 1.0, 0.0)
    assert first.state == "rolling"
    after = watch.step(rollout, "abc", {"a": said}, 1.0, 10.5)
    assert (after.state, after.why) == ("failed", why)
    assert not after.is_for("a") and watch.step(after, "abc", {}, 1.0, 99.0) == after


def test_a_node_that_begins_anew_is_watched_anew() -> None:
    watch, rollout = Watch(), Rollout(2, "rolling", node="a")
    for now, generation in ((0.0, 2), (5.0, 0), (9.0, 2)):
        assert watch.step(rollout, "a", {"a": Said(generation=generation)}, 6.0, now) == rollout
    assert watch.step(rollout, "a", {"a": Said(generation=2)}, 6.0, 14.0) == rollout
    assert watch.step(rollout, "a", {"a": Said(generation=2)}, 6.0, 15.0).state == "done"


@pytest.mark.parametrize(
    ("before", "since", "bad"),
    [
        (Tally(), Tally(), False),
        (Tally(100, 0, 10), Tally(2, 2, 10), False),  # two odd requests
        (Tally(100, 0, 10), Tally(100, 4, 10), False),
        (Tally(100, 0, 10), Tally(100, 5, 10), True),
        (Tally(100, 90, 10), Tally(100, 80, 10), False),  # it mends something
        (Tally(100, 0, 900), Tally(50, 0, 1850), True),
        (Tally(100, 0, 900), Tally(49, 0, 1850), False),
        (Tally(100, 0, 2), Tally(100, 0, 490), False),  # rules that took 2 ms
    ],
)
def test_worse_than_before(before: Tally, since: Tally, bad: bool) -> None:
    assert bool(worse(before, since)) is bad


def test_a_rollout_of_which_nothing_is_known_is_over_where_all_that_live_serve_it() -> None:
    assert begun(2, {"a": Said(generation=2), "b": Said("dead", 1)}) == Rollout(2, "done")
    assert begun(2, {"a": Said(generation=2), "b": Said(generation=1)}) == Rollout(2, "rolling")
    assert begun(2, {}) == Rollout(2, "rolling")


def test_a_rollout_is_read_as_it_was_written() -> None:
    rollout = Rollout(7, "failed", ("a", "b"), "c", "node.c: no")
    assert Rollout.from_json(rollout.as_json()) == rollout
    with pytest.raises(ValueError, match="no state"):
        Rollout.from_json({**rollout.as_json(), "state": "odd"})


def test_what_is_new_comes_first_and_what_goes_away_last() -> None:
    old, new = fleet(x="a", y="b"), fleet(x="a", z="c")
    assert in_order(old, new) == ["c", "a", "b"]


def test_nobody_gives_an_agent_up_before_its_next_holder_is_ready() -> None:
    """Two nodes change their agents."""
    old, new = fleet(x="a", y="b"), fleet(x="b", y="a")
    between = Between(old, new, SEEN, place(old, SEEN))
    assert nodes_of(between.placed((), "")) == {"x": "a", "y": "b"}
    assert nodes_of(between.placed((), "a")) == {"x": "a", "y": "ba"}  # a keeps x for now
    assert nodes_of(between.placed(("a",), "b")) == {"x": "ba", "y": "a"}
    assert nodes_of(between.placed(("a", "b"), "c")) == {"x": "b", "y": "a"}
    assert nodes_of(place(new, SEEN, between.placed(("a", "b"), "c"))) == {"x": "b", "y": "a"}


def test_a_new_agent_is_held_by_some_node_that_can_until_its_own_has_had_its_turn() -> None:
    old, new = fleet(x="a"), fleet(x="a", z="c")
    assert nodes_of(Between(old, new, SEEN).placed((), "a"))["z"] == "a"
    kept = Between(fleet("none", x="a"), fleet("none", x="a", z="c"), SEEN).placed((), "a")
    assert (nodes_of(kept), sorted(kept.nowhere)) == ({"x": "a"}, [])


def test_an_agent_that_goes_away_is_held_by_who_serves_the_old_manifest() -> None:
    old, new = fleet(x="a", y="b"), fleet(x="a")
    assert nodes_of(Between(old, new, SEEN).placed(("a",), "c")) == {"x": "a", "y": "b"}
    assert nodes_of(Between(old, new, SEEN).placed(("a", "c"), "b")) == {"x": "a"}
