"""What would serve which model, for `doctor`: of a manifest, or of the whole catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from orchestrator.app.device import read_device
from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.memory import USUAL, Budget
from orchestrator.plan.binding import Bound, bind_all
from orchestrator.plan.budgets import device_budget
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.variants import variants


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
    """Each model: what it weighs and what it needs (bytes), its builds, what serves it, or why nothing does and what to
    type."""
    bound = bind_all(blueprint, observed)
    budget = device_budget(blueprint, observed.device)
    specs = [cast(ModelSpec, element.spec) for element in blueprint.of_kind("model")]
    return [_model(spec, bound[spec["alias"]], budget) for spec in specs]


def _model(spec: ModelSpec, bound: Bound, budget: Budget | None) -> dict[str, Any]:
    known = variants(spec, budget)
    plain = spec["quantization"] or spec["served_as"].get("ollama", USUAL)  # what is fetched where nobody says more
    usual = next((variant for variant in known if variant.build == plain), None)
    need = bound.need or (usual.need if usual else None)
    return {
        "alias": spec["alias"],
        "memory": spec["memory"],
        "needs": need.total if need else None,
        "fits": usual.fit == "fits" if usual else None,
        "builds": [{"build": each.build, "needs": each.need.total, "why": str(each)} for each in known],
        "endpoints": [str(endpoint) for endpoint in bound.endpoints],
        "missing": bound.missing,
        "cure": bound.cure,
    }


def builds_here(blueprint: Blueprint) -> dict[str, Any]:
    """Which build of each model this device would take: `room` for models, and the builds by alias, best first, each with
    its arithmetic and its reason. Looks at the device, and at no server."""
    observed = ObservedState(device=read_device())
    models = {model["alias"]: [each["why"] for each in model["builds"]] for model in models_of(blueprint, observed)}
    return {"room": room(blueprint, observed), "models": models}


def room(blueprint: Blueprint, observed: ObservedState) -> str:
    """What models may take of this device, and where the number comes from; empty where nothing is known."""
    budget = device_budget(blueprint, observed.device)
    return str(budget) if budget else ""
