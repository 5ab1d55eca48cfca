"""The builds of a model of the catalogue: which one this device would get and why, and what servers call each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.app.inventory import wanted_ids
from orchestrator.core.memory import ASSUMED_CONTEXT, Budget, Window
from orchestrator.graph.sizes import sizes
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.plan import builds
from orchestrator.plan.budgets import measured_budget
from orchestrator.plan.variants import Variant, ranked
from orchestrator.ports.device import Device


@dataclass(frozen=True, slots=True)
class Builds:
    """Builds, best first for a device of this ``budget`` (``None``: nothing is known of it)."""

    variants: tuple[Variant, ...]
    budget: Budget | None

    @property
    def best(self) -> Variant | None:
        """The one that the device would get; ``None`` where none can fit, or no size is known."""
        return next((each for each in self.variants if each.chosen), None)


def builds_for(row: Mapping[str, Any], device: Device | None) -> Builds:
    """Those of a row of the catalogue, for one request of a usual size at a time."""
    budget = measured_budget(device) if device is not None else None
    window = Window(min(ASSUMED_CONTEXT, row["context_length"]), 1)
    return Builds(ranked(sizes(ModelEntry(alias=row["alias"])), window, budget), budget)


def ids_of_build(row: Mapping[str, Any], provider: str, build: str) -> list[str]:
    """See :func:`orchestrator.plan.builds.ids_of_build`, of a row of the catalogue."""
    plain = next(iter(wanted_ids(row, provider)), "")
    return builds.ids_of_build(provider, plain, build, row.get("served_as", {}).get(provider, ""))


def is_plain(row: Mapping[str, Any], provider: str, plain: str, build: str) -> bool:
    """Whether the usual id of a provider serves this build."""
    return builds.is_plain(provider, plain, build, row.get("served_as", {}).get(provider, ""))
