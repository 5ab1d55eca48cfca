"""A simulated deployment: nothing vanishes whatever fails, and its figures are those of a queue."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from orchestrator.app.simulation.costs import costs_of
from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.faults import check_apart, read_fault
from orchestrator.app.simulation.figures import figures_of, spread_of
from orchestrator.app.simulation.order import Order, simulate
from orchestrator.app.simulation.play import ANSWERED, Load, play
from orchestrator.core.blueprint import Blueprint, Element
from orchestrator.core.errors import UsageError
from tests.mesh.sim import agent, blueprint


def one(name: str, **more: Any) -> Element:
    """A specialist that needs no model."""
    return agent(name, role="specialist", human=None, **more)


FLEET = blueprint(
    {
        "n0": [one("front"), one("clerk", exclusive=True)],
        "n1": [one("archive"), one("desk", replicas=2)],
        "n2": [one("shop")],
    }
)


def faults() -> st.SearchStrategy[list[str]]:
    """Nodes, the hub and links that fail, also at one time, and one of them twice after another."""
    what = st.sampled_from(["n0", "n1", "n2", "hub", "n1-hub", "n0-n2"])
    when, lasts = st.integers(0, 25), st.sampled_from(["", "+1s", "+4s", "+15s"])
    return st.lists(st.builds(lambda a, b, c: f"{a}@{b}s{c}", what, when, lasts), max_size=3).map(_apart)


def _apart(written: list[str]) -> list[str]:
    """Without those that would fail while they are down, which are refused."""
    kept: list[str] = []
    for each in written:
        try:
            check_apart([read_fault(one, ["n0", "n1", "n2"], 30.0) for one in (*kept, each)])
        except UsageError:
            continue
        kept.append(each)
    return kept


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.integers(0, 2**32), faults())
def test_each_request_ends_once_whatever_fails_and_the_same_seed_repeats(seed: int, fail: list[str]) -> None:
    order = Order(rps=8, duration="30s", seed=seed, service=["80ms"], fail=fail)
    first, again = simulate(FLEET, order), simulate(FLEET, order)
    assert first.story.wishes == again.story.wishes and first.figures == again.figures and first.breaks == again.breaks
    assert all(wish.outcome and wish.ended >= wish.at for wish in first.story.wishes)
    counts = first.figures.counts
    ended = counts.answered + counts.refused + counts.failed + counts.gone + counts.away + counts.kept
    assert counts.asked == len(first.story.wishes) == ended
    costs = costs_of(first.story, ["n0"])
    assert sum(len(cost.lost) for cost in costs) == counts.failed
    assert {f"agent.{cost.agent}" for cost in costs} <= {each.address for each in first.breaks}
    served = [wish for wish in first.story.wishes if wish.outcome == ANSWERED]
    assert all(wish.began is not None and wish.at <= wish.began <= wish.ended and wish.served for wish in served)


def test_without_faults_and_with_room_all_are_answered_at_once() -> None:
    """By the node that the manifest names, through whatever door they came."""
    simulated = simulate(FLEET, Order(rps=10, duration="30s", service=["20ms"]))
    counts = simulated.figures.counts
    assert counts.answered == counts.asked > 200 and not simulated.breaks
    served = {(wish.agent, wish.served) for wish in simulated.story.wishes if wish.agent != "desk"}
    assert served == {("front", "n0"), ("clerk", "n0"), ("archive", "n1"), ("shop", "n2")}


def single(slots: int) -> Blueprint:
    """One device with one model, which any number of requests may wait for."""
    model = {"alias": "m", "zone": "node", "max_concurrent": slots, "fallback": [], "memory": None, "builds": {}}
    whole = blueprint({}, one("desk", models=["m"]))
    elements = {**whole.elements, "model.m": Element("model.m", "model", {**model, "quantization": None})}
    return replace(
        whole,
        type="single-device",
        nodes=(),
        elements=elements,
        queue={"interactive": {"length": 10_000, "timeout": 9e5}},
    )


def test_a_queue_with_one_slot_waits_as_long_as_theory_says() -> None:
    """Pollaczek and Khinchine: half busy, with answers whose lengths have a quarter of the variance of exponential ones."""
    story = play(single(1), Load(5.0, 6000.0, {"desk": 1.0}), Assumed(seconds={"": 0.1}))
    waits = [wish.began - wish.at for wish in story.wishes if wish.began is not None]
    wanted = 0.5 * 0.1 / (1 - 0.5) * (1 + 1 / 4) / 2
    assert len(waits) == len(story.wishes)
    assert sum(waits) / len(waits) == pytest.approx(wanted, rel=0.06)
    [server] = figures_of(story, single(1), Assumed(seconds={"": 0.1})).servers
    assert server.busy == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("most", [1, 3])
def test_a_limit_of_requests_in_work_is_as_many_slots_and_holds_nothing_else_back(most: int) -> None:
    """A request has its place with the model, as in a runtime: what needs no model is answered beside."""
    order = Order(rps=4, duration="60s", service=["desk=400ms", "rules=20ms"])
    rules = one("rules", models=[])
    free, limited = single(most), single(8)
    plans = [
        replace(each, elements={**each.elements, rules.address: rules})
        for each in (free, replace(limited, max_concurrent=most))
    ]
    first, second = (simulate(each, order).story.wishes for each in plans)
    assert [(wish.began, wish.outcome) for wish in first] == [(wish.began, wish.outcome) for wish in second]
    assert all(wish.began == wish.at for wish in second if wish.agent == "rules")


def test_shares_and_doors_are_drawn_as_they_were_asked_for() -> None:
    simulated = simulate(FLEET, Order(rps=50, duration="60s", service=["1ms"], share=["front=3", "shop=0"]))
    asked = Counter(wish.agent for wish in simulated.story.wishes)
    doors = Counter(wish.door for wish in simulated.story.wishes)
    assert asked["front"] / asked["clerk"] == pytest.approx(3, rel=0.2) and not asked["shop"]
    assert all(count / len(simulated.story.wishes) == pytest.approx(1 / 3, abs=0.03) for count in doors.values())


def test_an_agent_that_moves_goes_home_again_and_both_times_are_told() -> None:
    simulated = simulate(FLEET, Order(rps=20, duration="60s", service=["10ms"], fail=["n2@10s+20s"]))
    [fail_over] = simulated.figures.fail_overs
    [taken], [back] = fail_over.taken, fail_over.back
    assert taken.agent == back.agent == "shop" and taken.node != "n2" == back.node
    assert 8 < taken.seconds < 13 and 10 < back.seconds < 16  # dead after 10 s; home once it was ready for 10 s
    assert fail_over.noticed is not None and 1.5 < fail_over.noticed < 2.6


def test_spreads_are_by_nearest_rank() -> None:
    assert spread_of([]) is None
    found = spread_of(range(1, 101))
    assert found is not None and (found.p50, found.p95, found.p99) == (50, 95, 99)
