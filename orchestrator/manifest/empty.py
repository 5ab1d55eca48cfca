"""Keys with nothing behind them: told, and taken out."""

from __future__ import annotations

from typing import Any

from orchestrator.core.diagnostic import Diagnostic
from orchestrator.manifest.anatomy import dotted
from orchestrator.manifest.faults import fault
from orchestrator.manifest.marks import Marks, Path
from orchestrator.manifest.spec.free import FREE_MAPS, OPAQUE


def take_out_empty(tree: Any, marks: Marks) -> tuple[dict[Path, Diagnostic], Any]:
    """The faults by path, and the tree without those keys. (``null`` in a later file takes a key away: see ``overlay``.)"""
    found: dict[Path, Diagnostic] = {}
    return found, _cleaned(tree, (), found, marks)


def _cleaned(tree: Any, path: Path, found: dict[Path, Diagnostic], marks: Marks) -> Any:
    if isinstance(tree, list):
        return [_cleaned(item, (*path, number), found, marks) for number, item in enumerate(tree)]
    if not isinstance(tree, dict) or (path and isinstance(path[-1], str) and FREE_MAPS.get(path[-1]) == OPAQUE):
        return tree
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        inner = (*path, key)
        if value is None:
            found[inner] = fault("ORC137", f'"{dotted(inner)}" has no value', marks.key(inner))
        else:
            kept[key] = _cleaned(value, inner, found, marks)
    return kept
