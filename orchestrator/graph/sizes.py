"""What the manifest and the catalogue know of a model's size, and what the manifest says of the device's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.memory import CACHE_BYTES, USUAL, USUAL_OF, Memory, Sizes
from orchestrator.manifest.catalogue.reader import find_model
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.operate import Hardware, HardwareItem

_KEYS_AND_VALUES: Final = 2


def sizes(model: ModelEntry) -> Sizes:
    """The manifest's `memory` goes before the catalogue."""
    row = find_model(model.alias)
    if row is None:
        return Sizes(whole=model.memory)
    return Sizes(dict(row["sizes"]), cache_per_token(row), model.memory, cached=row["kv_heads"] is not None)


def build_meant(model: ModelEntry) -> str:
    """The build that its manifest names, else what is usual of its provider."""
    row = find_model(model.alias) or {}
    provider = model.provider or ""
    usual: str = row.get("served_as", {}).get(provider) or USUAL_OF.get(provider, USUAL)
    return model.quantization.casefold() if model.quantization else usual


def cache_per_token(row: Mapping[str, Any]) -> int | None:
    """Bytes of keys and values that a model of the catalogue keeps for a token; ``None`` where it keeps none."""
    if row["kv_heads"] is None:
        return None
    return int(_KEYS_AND_VALUES * row["layers"] * row["kv_heads"] * row["head_dim"] * CACHE_BYTES)


def written_memory(hardware: HardwareItem | None) -> Memory | None:
    """The memory that the manifest gives the device; ``None`` where it is to be measured."""
    if not isinstance(hardware, Hardware) or hardware.memory is None:
        return None
    return Memory(hardware.memory, hardware.gpu_memory or 0)
