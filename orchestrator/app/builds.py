"""The builds of a model of the catalogue: which one this device would get and why, and what servers call each. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.app.inventory import GGUF, wanted_ids
from orchestrator.core.memory import ASSUMED_CONTEXT, Budget, Window
from orchestrator.graph.sizes import sizes
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.plan.budgets import measured_budget
from orchestrator.plan.builds import build_of, same_build, usual_build
from orchestrator.plan.variants import Variant, ranked
from orchestrator.ports.device import Device

_MIXED: Final = re.compile(r"_k(_[sml])?$")
"""What Ollama's library spells in capitals in its tags: ``q4_K_M``, ``q6_K``."""


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
    """What a server may call this build, what to ask it for first; empty where its make has one build under each name, or
    names its builds in ways that nobody can know."""
    plain = next(iter(wanted_ids(row, provider)), "")
    if not plain or is_plain(row, provider, plain, build):
        return [plain] if plain else []
    if provider == "ollama":
        size = plain.partition(":")[2]
        tag = "fp16" if build == "f16" else _MIXED.sub(lambda found: found[0].upper(), build)
        return [f"{plain}-{tag}", f"{plain}-instruct-{tag}"] if size and not build_of(plain).quantization else []
    repository = plain.partition(":")[0]
    # A repository that is named after one build holds that one only.
    gguf = provider in ("llama-cpp", *GGUF) and not build_of(repository.casefold().removesuffix("-gguf")).quantization
    return [f"{repository}:{build.upper()}"] if gguf else []


def is_plain(row: Mapping[str, Any], provider: str, plain: str, build: str) -> bool:
    """Whether the usual id of a provider serves this build."""
    named = build_of(plain).quantization
    return same_build(build, named or usual_build(provider, row.get("served_as", {}).get(provider, "")))
