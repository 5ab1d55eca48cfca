"""How a fleet is shown to people."""

from __future__ import annotations

import io
from typing import Any

import pytest

from orchestrator.cli.view.fleet import answers, shown_fleet, shown_placement
from orchestrator.cli.view.terminal import Terminal

ABSENT = "no machine has joined the fleet by that name: orchestrator node invite"


def node(health: str, **more: Any) -> dict[str, Any]:
    return {
        "health": health,
        "generation": None,
        "agents": [],
        "fault": "",
        "lacking": [],
        "absent": "",
        "work": "",
        **more,
    }


NODES = {"a": node("alive"), "b": node("dead"), "c": node("dead", absent=ABSENT)}


def test_a_node_that_never_joined_is_absent_and_not_dead() -> None:
    """In what apply and what status say. One that was there and fell silent is dead."""
    terminal = Terminal((io.StringIO(), io.StringIO(), io.StringIO()), {}, plain=True)
    held: dict[str, Any] = {"name": "shop", "generation": 1, "new": True, "agents": {}, "nodes": NODES}
    assert shown_placement(held, terminal).splitlines()[1:] == ["  node.b is dead", f"  node.c is absent: {ABSENT}"]
    deployment = {**held, "rollout": None, "taken_back": None}
    fleet = {"node": "a", "fleet": "f", "linked": True, "put_out": False, "deployments": [deployment]}
    shown = [" ".join(line.split()) for line in shown_fleet(fleet, terminal)]
    assert "b dead - -" in shown and "c absent - -" in shown and f"node.c is absent: {ABSENT}" in shown


@pytest.mark.parametrize(
    ("health", "by", "wanted"),
    [("alive", None, True), ("alive", "rules", True), ("alive", "nothing", False), ("dead", None, False)],
)
def test_a_fleet_answers_where_a_node_that_lives_has_something_to_answer_with(
    health: str, by: str | None, wanted: bool
) -> None:
    """A node tells only what it lacks: who is not named there answers."""
    lacking = [{"agent": "agent.x", "by": by, "gain": "with m", "cure": "pull m"}] if by else []
    applied = {"agents": {"x": {"nodes": ["a", "left"], "why": "home"}}, "nodes": {"a": node(health, lacking=lacking)}}
    assert answers(applied) is wanted


def test_an_agent_whose_nodes_are_all_drained_is_told_with_the_cure() -> None:
    """In what apply and what status say; where one of them takes requests, nothing is wrong."""
    terminal = Terminal((io.StringIO(), io.StringIO(), io.StringIO()), {}, plain=True)
    nodes = {"a": node("alive", work="draining"), "b": node("alive", work="draining"), "c": node("alive", work="ready")}
    agents = {
        name: {"nodes": held, "why": "home"} for name, held in (("x", ["a"]), ("y", ["a", "b"]), ("z", ["a", "c"]))
    }
    held: dict[str, Any] = {"name": "shop", "generation": 1, "new": True, "agents": agents, "nodes": nodes}
    wanted = [
        "  agent.x is on a only, which is drained and takes nothing from other nodes: orchestrator node uncordon, on a",
        "  agent.y is on a, b only, which are drained and take nothing from other nodes: orchestrator node uncordon, on a, b",
    ]
    assert [line for line in shown_placement(held, terminal).splitlines() if "drained" in line] == wanted
    deployment = {**held, "rollout": None, "taken_back": None}
    fleet = {"node": "a", "fleet": "f", "linked": True, "put_out": False, "deployments": [deployment]}
    assert [line for line in shown_fleet(fleet, terminal) if "drained" in line] == wanted


def lease(name: str, node: str, heard: float | None) -> dict[str, Any]:
    held = {"epoch": 7, "held_seconds": 130.0} if node else {"epoch": None, "held_seconds": None}
    return {"lease": name, "node": node, "heard_seconds_ago": heard, **held}


def leases_shown(heard: float | None) -> list[str]:
    leases = [lease("leader", "a", heard), lease("agent.desk", "b", heard), lease("agent.till", "", heard)]
    deployment = {"name": "shop", "generation": 1, "agents": {}, "nodes": {}, "rollout": None, "taken_back": None}
    fleet = {
        "node": "a",
        "fleet": "f",
        "linked": True,
        "put_out": False,
        "deployments": [{**deployment, "leases": leases}],
    }
    terminal = Terminal((io.StringIO(), io.StringIO(), io.StringIO()), {}, plain=True)
    return shown_fleet(fleet, terminal)[4:]


def test_who_holds_each_lease_is_shown_with_its_epoch() -> None:
    held = [
        "a leads: epoch 7, for 2 min or longer",
        "agent.desk is exclusive, and b has its lease: epoch 7, for 2 min or longer",
        "agent.till is exclusive, and nobody has its lease",
    ]
    assert leases_shown(0.0) == [f"  {line}" for line in held]
    assert leases_shown(14.2) == ["  its leases, as last heard 14 s ago:", *(f"    {line}" for line in held)]
    assert leases_shown(None) == ["  who holds its leases was not heard yet"]
