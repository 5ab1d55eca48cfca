"""What of the device speaks for smaller models at a look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import bind_all
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.pressure import pressure_of
from orchestrator.ports.device import Accelerator, Device, Power
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import agent, blueprint, model, ollama, state

GB = 10**9
LOW, MAINS = Power("battery", 0.2), Power("mains", 0.9)
PHI = "ollama@127.0.0.1:11434/phi4-mini:latest"


def desk(resources: dict[str, Any] | None = None, hardware: dict[str, Any] | None = None) -> Blueprint:
    """Two models: one of 3.5 GB, one of 1.5 GB."""
    small = model("small", ids={"ollama": ["small"]}, builds={"q4_k_m": 500_000_000}, secondary=True)
    made = blueprint(model(), small, agent("a", models=["phi-4-mini", "small"]), name="desk")
    return replace(made, resources=resources or {}, hardware=hardware or {})


def seen(device: Device | None, *loaded: str) -> ObservedState:
    names = ("phi4-mini:latest", "small:latest")
    models = tuple(ServedModel(name, loaded=name in loaded) for name in names)
    return state(replace(ollama(), models=models), device=device)


@pytest.mark.parametrize(
    ("resources", "hardware", "power", "saving"),
    [
        ({"power_management": True}, {}, LOW, {"desk": "the device runs on battery (20%)"}),
        ({"power_management": True}, {}, MAINS, {}),
        ({"power_management": True}, {}, None, {}),
        ({}, {}, LOW, {}),
        ({"power_management": True}, {"power": "battery"}, MAINS, {"desk": "the device runs on battery"}),
        ({"power_management": True}, {"power": "mains"}, LOW, {}),
    ],
)
def test_a_battery_is_spared_where_the_manifest_asks_for_it(
    resources: dict[str, Any], hardware: dict[str, Any], power: Power | None, saving: dict[str, str]
) -> None:
    """What the manifest writes of the power goes before what is measured."""
    device = Device(64 * GB, 64 * GB, 4, (), power)
    assert pressure_of([desk(resources, hardware)], seen(device)).saving == saving


def test_a_model_that_has_no_room_now_is_told_with_the_reason() -> None:
    """It is larger than what is free and what our other models could give back."""
    found = pressure_of([desk()], seen(Device(8 * GB, 2 * GB, 4)))
    assert found.starved == {PHI: "phi4-mini:latest needs 3.5 GB, and 2.0 GB can be had now"}


@pytest.mark.parametrize(
    ("device", "loaded"),
    [
        (Device(8 * GB, 4 * GB, 4), ()),
        (Device(8 * GB, 2_200_000_000, 4), ("small:latest",)),  # 1.5 GB of it would be given back
        (Device(8 * GB, 1 * GB, 4), ("phi4-mini:latest",)),
        (Device(8 * GB, 2 * GB, 4, (Accelerator("card", "cuda", 8 * GB, 3 * GB),)), ()),
        (None, ()),
    ],
)
def test_a_model_that_is_loaded_or_can_be_is_not_starved(device: Device | None, loaded: tuple[str, ...]) -> None:
    """Else the first that is loaded would keep all others out."""
    assert pressure_of([desk()], seen(device, *loaded)).starved == {}


def test_two_servers_share_the_work_of_a_model_only_where_both_fit() -> None:
    """Each loads it for itself; at another distance or in another build it is no equal."""
    both = [ollama("phi4-mini:latest"), ollama("phi4-mini:latest", port=11500)]
    made = blueprint(model(), agent("a", models=["phi-4-mini"]))

    def equals(memory: int | None, *servers: Any) -> int:
        device = Device(memory * GB, memory * GB, 4) if memory else None
        return bind_all(made, state(*servers, device=device))["phi-4-mini"].equals

    assert [equals(memory, *both) for memory in (None, 8, 16)] == [1, 1, 2]
    assert equals(64, ollama("phi4-mini:latest"), ollama("phi4-mini:q8_0", port=11500)) == 1
    far = [
        replace(ollama("phi4-mini:latest"), url=f"http://10.0.0.{n}:1", api_base=f"http://10.0.0.{n}:1/v1", zone="lan")
        for n in (1, 2)
    ]
    named = blueprint(model(endpoint="http://10.0.0.1:1", zone="lan"), agent("a", models=["phi-4-mini"]))
    assert bind_all(named, state(*far))["phi-4-mini"].equals == 1
