"""What other installed packages offer beside the table of kinds; read when a manifest names one, as it takes a moment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

from orchestrator.core.names import nearest
from orchestrator.ports.kind import Kind

Family = Literal["provider", "launcher", "strategy", "tool", "store", "host", "sensor", "notifier"]
GROUP: Final = "orchestrator.plugins"
"""The entry-point group of other packages. An entry is called ``<family>.<name>`` and points at what a row of the table does."""
PLUGIN: Final = "plugin:"
"""What stands before the name of such a kind, so that no package can take over a name of the table."""


def is_plugin(name: str | None) -> bool:
    """Whether a name of a kind is one of another package."""
    return name is not None and name.startswith(PLUGIN)


@lru_cache
def installed(family: Family) -> Mapping[str, Kind]:
    """The kinds of other packages, by their name with ``plugin:`` before it."""
    from importlib.metadata import entry_points

    found: dict[str, Kind] = {}
    for point in entry_points(group=GROUP):
        kind, _, name = point.name.partition(".")
        if kind == family and name:
            package = point.dist.name if point.dist else "another package"
            found[PLUGIN + name] = Kind(PLUGIN + name, f"from {package}", point.value)
    return found


def near_installed(family: Family, word: str) -> str:
    """``did you mean "plugin:weather"?`` for a mistyped name, with or without what stands before it; else an empty text."""
    known = {name.removeprefix(PLUGIN): name for name in installed(family)}
    near = nearest(word.removeprefix(PLUGIN), known, 1)
    return f'did you mean "{known[near[0]]}"?' if near else ""
