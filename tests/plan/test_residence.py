"""Which servers' models are loaded and unloaded from here."""

from __future__ import annotations

import pytest

from orchestrator.plan.binding import BoundEndpoint
from orchestrator.plan.residence import cannot_manage


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
