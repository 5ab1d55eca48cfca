"""How a fleet is shown to people."""

from __future__ import annotations

import io
from typing import Any

from orchestrator.cli.view.fleet import shown_fleet, shown_placement
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
