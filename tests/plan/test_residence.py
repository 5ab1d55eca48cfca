"""Which servers' models are loaded and unloaded from here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.plan.binding import BoundEndpoint
from orchestrator.plan.diff import diff
from orchestrator.plan.residence import cannot_manage
from tests.plan.parts import agent, blueprint, model, ollama, state


@pytest.mark.parametrize(
    ("remove", "why"),
    [
        (
            "no",
            "foundry-local at 127.0.0.1:5273 lists only what is loaded: a model that is unloaded could not be found again",
        ),
        ("yes", ""),
    ],
)
def test_a_foundry_local_takes_turns_where_its_cache_is_listed(remove: str, why: str) -> None:
    """With the SDK, by which models are removed too; without it an unloaded model would be gone."""
    base = "http://127.0.0.1:5273/v1"
    able = {"load": "yes", "remove": remove}
    endpoint = BoundEndpoint("id", "foundry-local", base, "phi-4-mini-generic-cpu:5", capabilities=able, memory=1)
    assert cannot_manage(endpoint) == why


@pytest.mark.parametrize(
    ("fields", "cache", "told"),
    [
        ({"keep_alive": 3600.0}, 2 * 10**9, ", whatever its keep_alive of 3600 s says,"),
        ({}, 2 * 10**9, "as soon as it rests, and loaded again"),
        ({"pinned": True}, 2 * 10**9, ""),
        ({}, 5 * 10**9, ""),
    ],
)
def test_a_model_that_may_not_rest_in_memory_is_told(fields: dict[str, object], cache: int, told: str) -> None:
    """It would be unloaded after every call; pinned ones rest where they are."""
    there = ollama("phi4-mini:latest", capabilities={"load": "yes"})
    phi = model("phi-4-mini", ids={"ollama": ["phi4-mini:latest"]}, whole_memory=4 * 10**9, **fields)
    made = replace(blueprint(phi, agent("clerk", models=["phi-4-mini"])), resources={"model_cache_size": cache})
    notes = [note for note in diff(made, state(there)).notes if "models that rest may take" in note]
    assert len(notes) == bool(told) and all(told in note for note in notes)
    assert all("raise resources.model_cache_size above 4.0 GB" in note for note in notes)
