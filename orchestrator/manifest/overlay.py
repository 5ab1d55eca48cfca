"""Several files as one: maps merge by key, the parts of a deployment by their name, and the later file wins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.diagnostic import Diagnostic
from orchestrator.manifest.faults import fault
from orchestrator.manifest.marks import Mark, Path

NAMED_LISTS: Final = {"agents": "name", "models": "alias", "tools": "name", "nodes": "id", "knowledge": "name"}
"""Lists of the deployment (and ``agents`` and ``models`` of a node) whose items have a name; other lists are replaced whole."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One file's tree with its marks."""

    tree: Any
    mark: Mark


@dataclass(slots=True)
class Overlay:
    """Merges layers and collects where they disagree."""

    faults: list[Diagnostic] = field(default_factory=list)

    def merge(self, below: Layer, above: Layer, path: Path = ()) -> Layer:
        """``above`` over ``below``. Neither is changed."""
        if isinstance(below.tree, dict) and isinstance(above.tree, dict):
            return self._maps(below, above, path)
        if isinstance(below.tree, list) and isinstance(above.tree, list):
            key = _item_key(path)
            return self._lists(below, above, (path, key)) if key else above
        if isinstance(below.tree, (dict, list)) and isinstance(above.tree, (dict, list)):
            self.faults.append(_disagreement(path, below, above))
        return above

    def _maps(self, below: Layer, above: Layer, path: Path) -> Layer:
        tree, mark = dict(below.tree), _like(above.mark, dict(_children(below.mark)))
        marks: Any = mark.children
        for key, value in above.tree.items():
            inner = above.mark.child(key) or above.mark
            if value is None and key in tree:
                del tree[key], marks[key]
                continue
            layer = Layer(value, inner)
            if key in tree:
                layer = self.merge(Layer(tree[key], below.mark.child(key) or below.mark), layer, (*path, key))
            tree[key], marks[key] = layer.tree, layer.mark
        return Layer(tree, mark)

    def _lists(self, below: Layer, above: Layer, at: tuple[Path, str]) -> Layer:
        path, key = at
        items = list(below.tree)
        marks = list(_children(below.mark))
        found = {_name(item, key): position for position, item in enumerate(items) if _name(item, key) is not None}
        for item, mark in zip(above.tree, _children(above.mark), strict=True):
            position = found.get(_name(item, key))
            if position is None:
                items.append(item)
                marks.append(mark)
                continue
            merged = self._items(Layer(items[position], marks[position]), Layer(item, mark), (*path, position), key)
            items[position], marks[position] = merged.tree, merged.mark
        return Layer(items, _like(above.mark, marks))

    def _items(self, below: Layer, above: Layer, path: Path, key: str) -> Layer:
        if isinstance(above.tree, str):
            return below
        return self.merge(_as_map(below, key), above, path)


def _item_key(path: Path) -> str | None:
    if len(path) == 2 and path[0] == "deployment":
        return NAMED_LISTS.get(str(path[1]))
    if len(path) == 4 and path[:2] == ("deployment", "nodes") and path[3] in ("agents", "models"):
        return NAMED_LISTS[str(path[3])]
    return None


def _name(item: Any, key: str) -> str | None:
    name = item.get(key) if isinstance(item, dict) else item
    return name if isinstance(name, str) else None


def _as_map(layer: Layer, key: str) -> Layer:
    if not isinstance(layer.tree, str):
        return layer
    return Layer({key: layer.tree}, _like(layer.mark, {key: layer.mark}))


def _children(mark: Mark) -> Any:
    return mark.children if mark.children is not None else ()


def _like(mark: Mark, children: Any) -> Mark:
    made = Mark(mark.file, (mark.line, mark.column, mark.length), mark.key)
    made.children = children
    return made


def _disagreement(path: Path, below: Layer, above: Layer) -> Diagnostic:
    name = ".".join(str(step) for step in path)
    shapes = ("a map", "a list") if isinstance(above.tree, dict) else ("a list", "a map")
    other = below.mark.key_place()
    message = f"{name or 'the manifest'} is {shapes[0]} here and {shapes[1]} in {other.file}"
    return fault("ORC145", message, above.mark.key_place())
