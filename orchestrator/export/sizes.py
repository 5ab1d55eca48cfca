"""What a runtime may take of a machine, where the manifest says it, and what it is sure to need; bytes and cores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.export.order import Workload

_GIB: Final = 1 << 30
LEAST_STORAGE: Final = 2
"""GiB of a state volume without models: runs, logs, what tools keep."""
LEAST_MEMORY: Final = 256 << 20
"""Of a runtime without models of its own, with room for its tools."""
LEAST_CPU: Final = "100m"
"""A tenth of a core."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """``most`` is ``None`` where the manifest says nothing. ``wanted`` is asked for: never the whole of the machine that the
    manifest describes, as something else runs there too and no machine could be found."""

    memory_wanted: int
    memory_most: int | None = None
    cpus_most: int | None = None


def sizes_of(workload: Workload) -> Sizes:
    """The machine's memory is the most; what ``max_memory_usage`` allows is asked for, else what the models need that are
    started there."""
    has, may = workload.hardware.get("memory"), workload.share.resources.get("max_memory_usage")
    if isinstance(may, float):
        may = math.floor(may * has) if has is not None else None
    most = has if has is not None else may
    needs = LEAST_MEMORY + sum(spec["memory"] or 0 for spec in _started(workload.share))
    wanted = may if may is not None else needs
    return Sizes(wanted if most is None else min(wanted, most), most, workload.hardware.get("cpus"))


def storage_of(blueprint: Blueprint) -> int:
    """GiB of the state volume: model servers that the runtime starts fetch into it what no path names."""
    fetched = [spec for spec in _started(blueprint) if not str(spec["server"]["model"]).startswith("/")]
    return LEAST_STORAGE + math.ceil(sum(spec["memory"] or 0 for spec in fetched) * 1.5 / _GIB)


def _started(blueprint: Blueprint) -> Iterator[Mapping[str, Any]]:
    """Models whose servers run inside of the workload."""
    yield from (each.spec for each in blueprint.of_kind("model") if each.spec["server"])
