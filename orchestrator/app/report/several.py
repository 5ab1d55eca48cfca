"""The runs of one deployment that several nodes tell of, each counted once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.core.forwarded import is_part


def merged(told: Iterable[tuple[str, Mapping[str, Any]]], last: int | None) -> dict[str, Any]:
    """What each node tells, as one: ``runs``, the newest first (at most ``last``), ``models``, and in ``nodes`` how many of these
    runs came in on each. What one node asked another for is a part of the run that it came in with, and that one counts: it has the
    calls of its parts too."""
    asked = list(told)
    known = {run["id"] for _, each in asked for run in each["runs"]}
    runs = [(node, run) for node, each in asked for run in each["runs"] if not is_part(run["id"], known)]
    runs = sorted(runs, key=lambda pair: -float(pair[1]["finished"]))[:last]
    models = {model["alias"]: model for _, each in asked for model in each["models"]}
    nodes = {node: sum(came == node for came, _ in runs) for node, _ in asked}
    return {"runs": [run for _, run in runs], "models": list(models.values()), "nodes": nodes}
