"""What is pinned keeps its memory: what has no room beside it is not served, and the plan says so before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import bind_all
from orchestrator.plan.diff import diff
from orchestrator.plan.fetches import fetches
from orchestrator.plan.observed import ObservedServer, ObservedState
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import agent, blueprint, model, state

MB = 10**6
URL = "http://127.0.0.1:8080"


def server(loaded: str = "", load: str = "yes") -> ObservedServer:
    served = tuple(ServedModel(name, loaded=name == loaded) for name in ("alpha", "beta", "gamma"))
    return ObservedServer("llama-cpp", URL, f"{URL}/v1", served, capabilities={"load": load})


def desk(pinned: str, limit: int = 900 * MB, **same: Any) -> Blueprint:
    """Three models of 400, 400 and 450 MB; those of these first letters are pinned."""
    sizes = {"alpha": 400 * MB, "beta": 400 * MB, "gamma": 450 * MB}
    models = [
        model(name, ids={"llama-cpp": [same.get(name, name)]}, whole_memory=size, pinned=name[0] in pinned)
        for name, size in sizes.items()
    ]
    agents = [agent(name[0], models=[name]) for name in sizes]
    return replace(blueprint(*models, *agents), resources={"max_memory_usage": limit})


def served(made: Blueprint, observed: ObservedState) -> dict[str, bool]:
    return {alias: bool(each.endpoints) for alias, each in bind_all(made, observed).items()}


@pytest.mark.parametrize(
    ("pinned", "left"), [("", ""), ("a", "gamma"), ("ab", "gamma"), ("abg", "gamma"), ("g", "alpha beta")]
)
def test_what_has_no_room_beside_the_pinned_ones_is_not_served(pinned: str, left: str) -> None:
    """Of 820 MB. Of pinned ones that do not fit together the smallest stay, so that as many as can be do."""
    found = served(desk(pinned), state(server()))
    assert [alias for alias, there in found.items() if not there] == left.split()


def test_the_plan_says_why_with_the_arithmetic_and_what_to_change() -> None:
    """And no longer that they take turns."""
    plan = diff(desk("abg"), state(server()))
    (step,) = [step for step in plan.steps if step.operation.address == "model.gamma"]
    assert (step.operation.does(), step.cause) == (
        "go on without it",
        (
            "[ORC530] gamma does not fit this device: gamma needs 450 MB as the manifest says, and models may take 20.0 MB "
            "(max_memory_usage 900 MB, less 80.0 MB for the orchestrator, less 400 MB for alpha, which is pinned, "
            "400 MB for beta, which is pinned)"
        ),
    )
    assert bind_all(desk("abg"), state(server()))["gamma"].cure.startswith("do not pin alpha and beta, or ")
    assert not [note for note in plan.notes if "take turns" in note]


def test_what_has_no_room_is_not_pulled_either() -> None:
    """It would be brought for nothing."""
    able = replace(server(), capabilities={"load": "yes", "pull": "yes"})
    assert fetches(desk("abg"), state(able), bind_all(desk("abg"), state(able))) == {}


def test_those_beside_a_pinned_one_are_told_to_take_turns() -> None:
    """It is not said of the pinned one."""
    (note,) = diff(desk("a", 1000 * MB), state(server())).notes
    assert "those beside alpha, pinned, take turns" in note


def test_another_alias_of_what_is_pinned_is_served_too() -> None:
    """Two aliases of one model on one server: it is loaded once."""
    assert served(desk("a", gamma="alpha"), state(server())) == {"alpha": True, "beta": True, "gamma": True}


@pytest.mark.parametrize("around", [server("gamma"), server(load="no")])
def test_only_what_is_loaded_from_here_is_held_to_it(around: ObservedServer) -> None:
    """What is in memory already, and what its server loads as it likes, is used."""
    assert all(served(desk("ab"), state(around)).values())
