"""The runs of one deployment that several nodes tell of, each counted once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.core.forwarded import is_part, whole_of


def merged(told: Iterable[tuple[str, Mapping[str, Any]]], last: int | None) -> dict[str, Any]:
    """What each node tells, as one: ``runs``, the newest first (at most ``last``), ``models``, and in ``nodes`` how many of these
    runs came in on each. What one node asked another for is a part of the run that it came in with, and that one counts: it has the
    calls of its parts too."""
    asked = list(told)
    known = {run["id"] for _, each in asked for run in each["runs"]}
    parts = {whole_of(run["id"]): run for _, each in asked for run in each["runs"] if is_part(run["id"], known)}
    runs = [
        (node, _ended(run, parts.get(run["id"])))
        for node, each in asked
        for run in each["runs"]
        if not is_part(run["id"], known)
    ]
    runs = sorted(runs, key=lambda pair: -float(pair[1]["finished"]))[:last]
    models = {model["alias"]: model for _, each in asked for model in each["models"]}
    nodes = {node: sum(came == node for came, _ in runs) for node, _ in asked}
    return {"runs": [run for _, run in runs], "models": list(models.values()), "nodes": nodes}


def _ended(run: Mapping[str, Any], part: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A run that waits for a person on another node ends as its part there does: its own node may not have heard of that yet."""
    if part is None or run["status"] != "waiting" or part["status"] == "waiting":
        return run
    before = [call for call in run["calls"] if call not in part["calls"]]
    return {**run, "status": part["status"], "served_by": part["served_by"], "calls": [*before, *part["calls"]]}
