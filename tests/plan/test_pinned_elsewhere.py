"""What other deployments have pinned in the same memory counts for a plan: the limit holds for all of them together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import bind_all
from orchestrator.plan.diff import diff
from orchestrator.plan.fetches import fetches
from orchestrator.plan.observed import ObservedDeployment, ObservedServer, ObservedState, Pin
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import agent, blueprint, model, state

MB = 10**6
URL = "http://127.0.0.1:8080"
ARITHMETIC = "max_memory_usage 900 MB, less 80.0 MB for the orchestrator, less 500 MB for al of pa, which is pinned"


def seen(loaded: str = "", size: int = 500, of: str = "pa") -> ObservedState:
    """Deployment ``of`` has alpha pinned, which takes ``size`` MB."""
    served = tuple(ServedModel(name, loaded=name in loaded.split()) for name in ("alpha", "beta", "gamma"))
    server = ObservedServer(
        "llama-cpp", URL, f"{URL}/v1", served, capabilities={"load": "yes", "pull": "yes" if not loaded else "no"}
    )
    pin = Pin("llama-cpp@127.0.0.1:8080/alpha", "al", size * MB)
    return state(server, deployments={of: ObservedDeployment(of, 1, "digest", pinned=(pin,))})


def desk(
    size: int = 500, served: str = "beta", *, pinned: bool = True, limit: int | None = 900 * MB, **changes: Any
) -> Blueprint:
    """Deployment pb with one model of ``size`` MB."""
    be = model("be", ids={"llama-cpp": [served]}, whole_memory=size * MB, pinned=pinned, **changes)
    made = blueprint(be, agent("b", models=["be"]), name="pb")
    return replace(made, resources={"max_memory_usage": limit} if limit else {})


@pytest.mark.parametrize("known", [{}, {"builds": {}, "memory": None, "cache_per_token": None}])
@pytest.mark.parametrize("pinned", [True, False])
def test_what_has_no_room_beside_another_deployments_pinned_model_is_not_served(
    pinned: bool, known: dict[str, Any]
) -> None:
    """And the plan says so with the arithmetic, before anything runs; nor is it pulled, also where no catalogue knows it."""
    made, around = desk(pinned=pinned, **known), seen()
    bound = bind_all(made, around)
    plan = diff(made, around)
    (step,) = [step for step in plan.steps if step.operation.address == "model.be"]
    assert bound["be"].endpoints == ()
    assert step.cause == (
        "[ORC530] be does not fit this device: beta needs 500 MB as the manifest says, and models may take 320 MB "
        f"({ARITHMETIC})"
    )
    assert bound["be"].cure.startswith("do not pin al of pa, or ")
    assert fetches(made, around, bound) == {}


def test_what_fits_beside_it_and_the_same_model_are_served() -> None:
    """What two deployments pin is loaded once; and what a deployment has pinned itself is not in its own way."""
    for made, around in [(desk(300), seen()), (desk(served="alpha"), seen()), (desk(), seen(of="pb"))]:
        assert bind_all(made, around)["be"].endpoints
        assert diff(made, around).notes == ()


def test_without_a_limit_nothing_is_held_to_it() -> None:
    """Its manifest says of no memory that it is bounded."""
    assert bind_all(desk(limit=None), seen())["be"].endpoints


@pytest.mark.parametrize(
    ("size", "pinned", "leaving"), [(600, True, "be"), (400, False, "be"), (400, True, "al of pa")]
)
def test_what_is_in_memory_though_it_has_no_room_is_told_with_what_comes_of_it(
    size: int, pinned: bool, leaving: str
) -> None:
    """It is there, and is used; of pinned ones the smallest stay."""
    made, around = desk(size, pinned=pinned), seen("alpha beta")
    assert bind_all(made, around)["be"].endpoints
    assert diff(made, around).notes == (
        (
            f"be is in memory and has no room beside what is pinned: it needs {size} MB, and models may take 320 MB "
            f"({ARITHMETIC}); what leaves as soon as nothing waits for it, and is not used until there is room: {leaving}"
        ),
    )


def test_those_that_share_what_is_left_are_told_to_take_turns() -> None:
    """Each fits beside al of pa, and both do not."""
    models = [model(name, ids={"llama-cpp": [name]}, whole_memory=200 * MB) for name in ("beta", "gamma")]
    made = replace(blueprint(*models, agent("b", models=["beta", "gamma"]), name="pb"), resources=desk().resources)
    (note,) = diff(made, seen()).notes
    assert note == (
        f"beta 200 MB + gamma 200 MB = 400 MB, and models may take 320 MB ({ARITHMETIC}): they take turns, and a request "
        "may wait while its model is loaded"
    )


def test_what_is_pinned_comes_through_the_wire() -> None:
    """The command plans with what the runtime tells it."""
    around = seen()
    assert ObservedState.from_json(around.as_json()).deployments == around.deployments
