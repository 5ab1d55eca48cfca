"""Whether a smaller model of the manifest would choose as well for a router as the one that it asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from orchestrator.app.routing.comparison import Measured
from orchestrator.core.blueprint import Blueprint, ModelSpec, RouterSpec
from orchestrator.core.quantity import format_size

Try = Callable[[str], Awaitable[Measured]]
"""What the router does with requests while it asks the model of this alias."""


def smaller_models(blueprint: Blueprint, spec: RouterSpec) -> dict[str, int]:
    """The manifest's chat models that take less memory than the router's, with the bytes of each, the smallest first."""
    sizes = {model["alias"]: _size(model) for model in _models(blueprint)}
    most = sizes.get(spec["models"][0]) or 0
    found = {alias: size for alias, size in sizes.items() if size is not None and size < most}
    return dict(sorted(found.items(), key=lambda pair: (pair[1], pair[0])))


def told_size(blueprint: Blueprint, alias: str) -> str:
    """The alias with what it takes."""
    size = next((_size(model) for model in _models(blueprint) if model["alias"] == alias), None)
    return f"{alias} ({format_size(size)})" if size is not None else alias


def _models(blueprint: Blueprint) -> list[ModelSpec]:
    specs = [cast(ModelSpec, element.spec) for element in blueprint.of_kind("model")]
    return [spec for spec in specs if spec["kind"] == "chat"]


def _size(model: ModelSpec) -> int | None:
    return model["whole_memory"] or model["memory"]


async def smallest_as_good(models: dict[str, int], present: Measured, attempt: Try) -> str:
    """The smallest with which as many are decided rightly, and no more wrongly, as in ``present``; empty where none is."""
    for alias in models:
        if as_good(present, await attempt(alias)):
            return alias
    return ""


def as_good(present: Measured, other: Measured) -> bool:
    """Of the same requests no fewer right, and no more wrong."""
    return _count(other, "right") >= _count(present, "right") and _count(other, "wrong") <= _count(present, "wrong")


def _count(measured: Measured, verdict: str) -> int:
    return sum(one.verdict == verdict for one in measured.figures.tried)
