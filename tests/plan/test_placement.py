"""Which node holds which agents: by hand what a person expects, and by property what must always hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.fleet import Fleet, FleetAgent, FleetNode, fleet_of
from orchestrator.plan.placement import HOME, READY_AGAIN, Assignment, Place, Seen, place, why_of
from tests.graph.small import compiled

GB = 2**30
UP, DOWN = Seen(ready_for=100.0), Seen(health="dead")


def fleet(*nodes: FleetNode, agents: list[FleetAgent], failover: Any = "automatic", **sizes: int) -> Fleet:
    named = {node.name: node for node in nodes}
    return Fleet(named, {agent.name: agent for agent in agents}, {k: v * GB for k, v in sizes.items()}, failover)


def node(name: str, *models: str, gb: int | None = 8, **labels: str) -> FleetNode:
    return FleetNode(name, frozenset(models), None if gb is None else gb * GB, labels)


def where(assignment: Assignment) -> dict[str, list[tuple[str, str]]]:
    return {agent: [(one.node, one.model) for one in places] for agent, places in assignment.places.items()}


TWO = fleet(
    node("a", "phi"),
    node("b", "phi", "qwen"),
    agents=[FleetAgent("orders", "a", ("phi",)), FleetAgent("billing", "b", ("qwen",))],
    phi=4,
    qwen=1,
)


def test_a_reason_that_several_nodes_share_is_told_once() -> None:
    """An agent that the manifest names on two nodes."""
    assert why_of([Place("b", "", HOME), Place("c", "", HOME)]) == HOME
    assert why_of([Place("b", "", HOME), Place("c", "", "b is dead")]) == f"{HOME}; b is dead"


def test_an_agent_is_where_the_manifest_names_it() -> None:
    """With the best of its models that is there."""
    placed = place(TWO, {"a": UP, "b": UP})
    assert where(placed) == {"billing": [("b", "qwen")], "orders": [("a", "phi")]}
    assert placed.places["orders"][0].why == HOME


def test_another_node_stands_in_for_one_that_is_dead() -> None:
    """If it has the model."""
    placed = place(TWO, {"a": DOWN, "b": UP}, place(TWO, {"a": UP, "b": UP}))
    assert placed.places["orders"] == (Place("b", "phi", "a is dead, and this node has phi and room for it"),)


def test_a_suspect_node_keeps_its_agents() -> None:
    """Requests go elsewhere, but nothing moves."""
    before = place(TWO, {"a": UP, "b": UP})
    assert place(TWO, {"a": Seen(health="suspect"), "b": UP}, before) == before


def test_an_agent_goes_home_once_its_home_is_ready_for_long_enough() -> None:
    """So that a node that comes and goes does not move it each time."""
    away = place(TWO, {"a": DOWN, "b": UP}, place(TWO, {"a": UP, "b": UP}))
    back = place(TWO, {"a": Seen(ready_for=READY_AGAIN - 0.1), "b": UP}, away)
    assert where(back)["orders"] == [("b", "phi")]
    assert where(place(TWO, {"a": Seen(ready_for=READY_AGAIN), "b": UP}, back))["orders"] == [("a", "phi")]


def test_who_may_not_move_waits_for_its_node_and_says_why() -> None:
    """Restricted data, pinned agents, and deployments without failover."""
    agents = [replace(TWO.agents["orders"], fixed="restricted data stays there")]
    placed = place(replace(TWO, agents={"orders": agents[0]}), {"b": UP})
    assert placed.places["orders"] == (Place("a", "phi", "a is away, and restricted data stays there"),)
    manual = place(replace(TWO, failover="manual"), {"b": UP}).places["orders"][0]
    assert (manual.node, "failover is manual" in manual.why) == ("a", True)
    none = place(replace(TWO, failover="none"), {"b": UP}).places["orders"][0]
    assert (none.node, none.why) == ("a", "a is away, and failover is none")


def test_a_stand_in_needs_the_memory_beside_its_own_models() -> None:
    """Also beside those of its own agents that others stand in for."""
    small = replace(TWO, nodes={**TWO.nodes, "b": node("b", "qwen", gb=3)})
    seen = {"a": DOWN, "b": Seen(ready_for=100.0, models=frozenset({"phi", "qwen"}))}
    placed = place(small, seen)
    assert placed.places["orders"] == (
        Place("a", "phi", "a is away, and no other node can hold it: no node that has phi has the memory for it"),
    )


def test_an_alternative_serves_where_no_own_model_is() -> None:
    """Only where a node stands in."""
    agent = FleetAgent("orders", "a", ("phi",), ("qwen",))
    both = fleet(node("a", "phi"), node("b", "qwen"), agents=[agent], phi=4, qwen=1)
    assert where(place(both, {"b": UP})) == {"orders": [("b", "qwen")]}


def test_labels_say_who_may_hold_it() -> None:
    """And where nobody may, the reason is told."""
    agent = FleetAgent("orders", labels={"site": "milan"})
    both = fleet(node("a", site="rome"), node("b", site="milan"), agents=[agent])
    assert where(place(both, {"a": UP, "b": UP})) == {"orders": [("b", "")]}
    assert place(both, {"a": UP}).nowhere == {"orders": "no node with site=milan is alive"}


def test_a_drained_node_gives_its_agents_away() -> None:
    """What may move."""
    before = place(TWO, {"a": UP, "b": UP})
    drained = place(TWO, {"a": Seen(drained=True, ready_for=99), "b": UP}, before)
    assert drained.places["orders"] == (Place("b", "phi", "a is drained, and this node has phi and room for it"),)


def test_where_all_that_could_hold_it_are_drained_or_cordoned_that_is_told_with_the_cure() -> None:
    """Not that no node has its model, nor that its home is away."""
    before = place(TWO, {"a": UP, "b": UP})
    live = {"a": Seen(drained=True, ready_for=99), "b": Seen(cordoned=True, ready_for=99)}
    [kept] = place(TWO, live, before).places["orders"]
    undone = "orchestrator node uncordon, on a or b, undoes it"
    assert (kept.node, kept.why) == ("a", f"a is drained, and no other node can hold it: b is cordoned; {undone}")
    [alone] = place(TWO, {"a": live["a"], "b": DOWN}, before).places["orders"]
    assert alone.why.endswith(": no other node is alive; orchestrator node uncordon, on a, undoes it")
    free = fleet(node("a"), node("b"), agents=[FleetAgent("faq")])
    nowhere = place(free, {name: Seen(drained=True, ready_for=99) for name in "ab"}).nowhere
    assert nowhere == {"faq": f"a is drained, b is drained; {undone}"}


def test_a_node_that_cannot_serve_the_manifest_is_not_called_drained() -> None:
    """It counts as one, and no uncordon would help."""
    before = place(TWO, {"a": UP, "b": UP})
    [moved] = place(TWO, {"a": Seen(drained=True, faulty=True, ready_for=99), "b": UP}, before).places["orders"]
    assert moved.why == "a is unable to serve the manifest, and this node has phi and room for it"


def test_replicas_are_on_different_nodes_the_home_first() -> None:
    """And a lost one is replaced."""
    agent = FleetAgent("faq", "c", replicas=2)
    four = fleet(*(node(name) for name in "abcd"), agents=[agent])
    first = place(four, dict.fromkeys("abcd", UP))
    [(home, _), (second, _)] = where(first)["faq"]
    assert (home, second != "c") == ("c", True)
    after = place(four, {name: DOWN if name == second else UP for name in "abcd"}, first)
    assert where(after)["faq"][0] == ("c", "") and where(after)["faq"][1][0] not in ("c", second)


def test_load_goes_by_capacity() -> None:
    """A node with three times the memory gets about three times the agents."""
    agents = [FleetAgent(f"agent-{number}") for number in range(2000)]
    placed = place(fleet(node("a", gb=2), node("b", gb=6), agents=agents), {"a": UP, "b": UP})
    assert 0.22 < sum(places[0].node == "a" for places in placed.places.values()) / 2000 < 0.28


@pytest.mark.parametrize("sizes", [(8,), (2, 4, 8, 16)])
def test_agents_are_spread_as_chance_would_spread_them(sizes: tuple[int, ...]) -> None:
    """Whatever their names have in common: chi-square over 60 nodes, by capacity, for three kinds of names. And which two come
    first has nothing to do with each other: where one dies, its agents go to all others."""
    nodes = [node(f"edge-{number}", gb=sizes[number % len(sizes)]) for number in range(60)]
    whole = sum(one.capacity for one in nodes)
    for pattern in ("agent-{}", "{}", "shop.{}.front"):
        agents = [FleetAgent(pattern.format(number), replicas=2) for number in range(3000)]
        placed = place(fleet(*nodes, agents=agents), {one.name: UP for one in nodes})
        first = Counter(places[0].node for places in placed.places.values())
        wanted = {one.name: 3000 * one.capacity / whole for one in nodes}
        chi = sum((first[name] - count) ** 2 / count for name, count in wanted.items()) / (len(nodes) - 1)
        assert 0.5 < chi < 1.7  # 59 degrees of freedom: a thousandth of all lies outside
        seconds = Counter(places[1].node for places in placed.places.values() if places[0].node == "edge-3")
        assert len(seconds) > min(sum(seconds.values()), 60) / 2


# ---- what must always hold --------------------------------------------------------------------------------------------

NAMES = [f"n{number}" for number in range(6)]
MODELS = ("m0", "m1", "m2", "far")
SIZES = {"m0": 1 * GB, "m1": 2 * GB, "m2": 3 * GB}
some_models = st.lists(st.sampled_from(MODELS), unique=True, max_size=3)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    nodes = {
        name: FleetNode(
            name,
            frozenset(draw(some_models)),
            draw(st.sampled_from([None, 2 * GB, 4 * GB, 6 * GB])),
            draw(st.sampled_from([{}, {"site": "x"}])),
        )
        for name in names
    }
    agents = {}
    for number in range(draw(st.integers(0, 6))):
        fixed = draw(st.sampled_from(["", "", "it is pinned"]))
        agents[f"a{number}"] = FleetAgent(
            f"a{number}",
            draw(st.sampled_from(["", *names])),
            tuple(draw(some_models)),
            tuple(draw(some_models)),
            draw(st.sampled_from([{}, {}, {"site": "x"}])),
            fixed,
            replicas=1 if fixed else draw(st.integers(1, 3)),
        )
    return Fleet(nodes, agents, SIZES, draw(st.sampled_from(["automatic", "automatic", "manual", "none"])))


seen = st.builds(
    Seen,
    st.sampled_from(["alive", "alive", "suspect", "dead"]),
    st.sampled_from([0.0, 5.0, 50.0]),
    st.one_of(st.none(), st.frozensets(st.sampled_from(MODELS))),
    st.sampled_from([False, False, False, True]),
)
sights = st.dictionaries(st.sampled_from(NAMES), seen)


def _settled(of: Fleet, live: Mapping[str, Seen], history: list[Mapping[str, Seen]]) -> Assignment:
    """After some history, and then this."""
    placed = None
    for earlier in history:
        placed = place(of, earlier, placed)
    return place(of, live, placed)


histories = st.lists(sights, max_size=3)


@given(fleets(), sights, histories)
def test_the_same_facts_give_the_same_placement(of: Fleet, live: Mapping[str, Seen], history: Any) -> None:
    """In whatever order they are told."""
    turned = Fleet(
        dict(reversed(list(of.nodes.items()))), dict(reversed(list(of.agents.items()))), of.sizes, of.failover
    )
    assert _settled(of, live, history) == _settled(turned, dict(reversed(list(live.items()))), history)


@given(fleets(), sights, histories)
def test_nothing_moves_when_nothing_changes(of: Fleet, live: Mapping[str, Seen], history: Any) -> None:
    """Placing what is placed gives the same, reasons included; and the plain form gives it back."""
    placed = _settled(of, live, history)
    assert place(of, live, placed) == placed
    assert Assignment.from_json(placed.as_json()) == placed


@given(fleets(), sights, histories)
def test_what_may_not_move_does_not(of: Fleet, live: Mapping[str, Seen], history: Any) -> None:
    """Pinned and restricted agents are at home, and nowhere else, whatever happened."""
    placed = _settled(of, live, history)
    for agent in of.agents.values():
        if agent.fixed and agent.home:
            assert [one.node for one in placed.places[agent.name]] == [agent.home]


@given(fleets(), sights, histories)
def test_a_fixed_agent_without_a_home_stays_where_it_was_first(
    of: Fleet, live: Mapping[str, Seen], history: Any
) -> None:
    """Its data is there."""
    before = _settled(of, live, history)
    after = place(of, {}, before)
    for agent in of.agents.values():
        if agent.fixed and agent.name in before.places:
            assert where(after)[agent.name] == where(before)[agent.name]


@given(fleets(), sights, histories)
def test_stand_ins_fit_in_the_memory(of: Fleet, live: Mapping[str, Seen], history: Any) -> None:
    """A node takes on nothing that does not fit beside its own."""
    placed = _settled(of, live, history)
    for name, node in of.nodes.items():
        own = set(node.models) | {one.model for agent, one in placed.on(name).items() if of.agents[agent].home == name}
        added = {one.model for agent, one in placed.on(name).items() if of.agents[agent].home != name} - own - {""}
        size = sum(SIZES.get(model, 0) for model in own | added)
        if node.memory is not None and any(SIZES.get(model) for model in added):
            assert size <= node.memory


@given(fleets(), sights, histories)
def test_a_stand_in_is_able(of: Fleet, live: Mapping[str, Seen], history: Any) -> None:
    """It has the labels and the model, one of the agent's; there are no more than are wanted, on different nodes."""
    for name, places in _settled(of, live, history).places.items():
        agent = of.agents[name]
        nodes = [one.node for one in places]
        assert len(nodes) == len(set(nodes)) <= agent.replicas
        for one in places:
            if one.node == agent.home or agent.fixed:
                continue
            labels = of.nodes[one.node].labels
            assert all(labels.get(key) == value for key, value in agent.labels.items())
            assert one.model in (*agent.models, *agent.alternatives) if agent.models else one.model == ""


@given(fleets(), sights, histories, st.sampled_from(NAMES))
def test_a_node_that_dies_moves_only_what_was_on_it(
    of: Fleet, live: Mapping[str, Seen], history: Any, lost: str
) -> None:
    """All else stays where it is."""
    before = _settled(of, live, history)
    after = place(of, {**live, lost: DOWN}, before)
    for name in of.agents:
        was = where(before).get(name, [])
        concerned = lost == of.agents[name].home or lost in [one for one, _ in was]
        if not concerned and len(was) >= of.agents[name].replicas:
            assert where(after).get(name) == was


@given(fleets(), sights, histories, st.sampled_from(NAMES))
def test_a_node_that_comes_takes_nothing_from_others(
    of: Fleet, live: Mapping[str, Seen], history: Any, new: str
) -> None:
    """But what is its own, and what nobody held."""
    live = {name: one for name, one in live.items() if name != new}
    before = _settled(of, live, [])
    after = place(of, {**live, new: UP}, before)
    for agent in of.agents.values():
        was = where(before).get(agent.name, [])
        if agent.home != new and len(was) == agent.replicas and all(live.get(n, DOWN).health != "dead" for n, _ in was):
            assert where(after)[agent.name] == was


def test_a_fleet_is_what_the_manifest_says() -> None:
    """Routers are on every node, and a model in the cloud needs no memory here."""
    blueprint = compiled(
        type="distributed-edge",
        models=[{"alias": "phi-4-mini"}, {"alias": "gpt", "provider": "openai", "model": "gpt-4o", "zone": "cloud"}],
        agents=[
            {"name": "front", "role": "router", "routes": ["orders", "care"]},
            {"name": "orders", "model": ["phi-4-mini", "gpt"], "alternatives": ["gpt"], "replicas": 2},
            {"name": "care", "model": "phi-4-mini", "privacy_mode": True, "node_labels": {"site": "x"}},
            {"name": "desk", "model": "phi-4-mini", "exclusive": True},
        ],
        nodes=[
            {"id": "a", "agents": ["orders"], "models": ["phi-4-mini"], "hardware": {"memory": 8 * GB}},
            {"id": "b", "agents": ["desk"], "pin": True, "labels": {"site": "x"}},
        ],
        coordination={"failover": "automatic"},
    ).blueprint
    of = fleet_of(blueprint)
    assert list(of.agents) == ["orders", "care", "desk"]
    assert of.agents["orders"] == FleetAgent("orders", "a", ("phi-4-mini", "gpt"), ("gpt",), replicas=2)
    assert (of.agents["care"].fixed, of.agents["care"].labels) == ("restricted data stays there", {"site": "x"})
    assert (of.agents["desk"].fixed, of.agents["desk"].exclusive) == ("its agents are pinned", True)
    assert list(of.sizes) == ["phi-4-mini"] and of.sizes["phi-4-mini"] > GB
    assert of.nodes["a"].memory is not None and 4 * GB < of.nodes["a"].memory < 8 * GB
    assert (of.nodes["b"].memory, of.failover) == (None, "automatic")


def test_a_cordoned_node_keeps_what_it_holds_and_is_given_nothing_more() -> None:
    """Nor does its own agent come back to it while it is cordoned."""
    before, cordoned = place(TWO, {"a": UP, "b": UP}), Seen(cordoned=True, ready_for=99)
    assert place(TWO, {"a": cordoned, "b": UP}, before) == before
    assert place(TWO, {"a": DOWN, "b": cordoned}, before).nowhere == {} and (
        where(place(TWO, {"a": DOWN, "b": cordoned}, before))["orders"] == [("a", "phi")]
    )
    moved = place(TWO, {"a": DOWN, "b": UP}, before)
    assert where(place(TWO, {"a": cordoned, "b": UP}, moved)) == where(moved)
    assert where(place(TWO, {"a": UP, "b": UP}, moved)) == where(before)
