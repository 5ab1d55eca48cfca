"""What would serve which model, for `doctor`: of a manifest, or of the whole catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.plan.binding import bind_all
from orchestrator.plan.observed import ObservedState


def whole_catalogue() -> Blueprint:
    """A deployment of every chat model of the catalogue, to see which of them would be served."""
    from orchestrator.app.compile import compile_loaded
    from orchestrator.manifest.catalogue.reader import model_rows
    from orchestrator.manifest.load import load_texts

    aliases = [row["alias"] for row in model_rows() if row["kind"] == "chat"]
    agent = {"name": "catalogue", "model": aliases, "instructions": "none"}
    deployment = {"type": "single-device", "models": aliases, "agents": [agent]}
    text = json.dumps({"metadata": {"name": "catalogue"}, "deployment": deployment})
    return compile_loaded(load_texts({"catalogue.yaml": text}, Path.cwd(), {})).blueprint


def models_of(blueprint: Blueprint, observed: ObservedState) -> list[dict[str, Any]]:
    """Each model: what it weighs (bytes), what serves it, or why nothing does and what to type."""
    bound = bind_all(blueprint, observed)
    return [
        {
            "alias": spec["alias"],
            "memory": spec["memory"] or _weight(spec["alias"]),
            "endpoints": [str(endpoint) for endpoint in bound[spec["alias"]].endpoints],
            "missing": bound[spec["alias"]].missing,
            "cure": bound[spec["alias"]].cure,
        }
        for spec in (cast(ModelSpec, element.spec) for element in blueprint.of_kind("model"))
    ]


def _weight(alias: str) -> int | None:
    """Bytes of its weights in four bits, as the catalogue says."""
    from orchestrator.manifest.catalogue.reader import find_model

    row = find_model(alias)
    return int(row["sizes"]["q4_k_m"]) if row else None
