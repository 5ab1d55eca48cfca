"""Where each key and value of a YAML tree stands, as a tree of the same shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.core.diagnostic import Place

Path = tuple[str | int, ...]
"""The way to a value from the root: keys of maps and positions in lists."""

Span = tuple[int, int, int]
"""Line and column, 1-based, and length in characters."""


class Mark:
    """The place of one value. ``key`` is the span of the key it stands under; ``children`` has the shape of the value.

    One is made for every value of a file, so it is a bare class with slots and not a dataclass.
    """

    __slots__ = ("children", "column", "file", "key", "length", "line")

    def __init__(self, file: str, span: Span, key: Span | None) -> None:
        self.file = file
        self.line, self.column, self.length = span
        self.key = key
        self.children: dict[str, Mark] | list[Mark] | None = None

    def child(self, step: str | int) -> Mark | None:
        """The mark of what stands under a key or at a position."""
        children = self.children
        if isinstance(children, dict):
            return children.get(step) if isinstance(step, str) else None
        if isinstance(children, list) and isinstance(step, int) and 0 <= step < len(children):
            return children[step]
        return None

    def value_place(self) -> Place:
        """Where the value stands."""
        return Place(self.file, self.line, self.column, self.length)

    def key_place(self) -> Place:
        """Where the value's key stands; the value itself for the items of a list."""
        return Place(self.file, *self.key) if self.key else self.value_place()


@dataclass(frozen=True, slots=True)
class Marks:
    """The places of a whole tree. A path that does not exist gives the place of the nearest part around it."""

    root: Mark

    def value(self, path: Sequence[str | int]) -> Place:
        """Where the value at ``path`` stands; for a map or list that spans lines: its key."""
        mark, missing = self._nearest(path)
        return mark.key_place() if missing or mark.children is not None else mark.value_place()

    def key(self, path: Sequence[str | int]) -> Place:
        """Where the last key of ``path`` stands."""
        return self._nearest(path)[0].key_place()

    def holds(self, path: Sequence[str | int]) -> bool:
        """Whether something was written at ``path``."""
        return self._nearest(path)[1] == 0

    def leaves(self, path: Sequence[str | int]) -> Iterator[Place]:
        """Where every plain value at or below ``path`` stands."""
        waiting = [self._nearest(path)[0]]
        for mark in waiting:
            children = mark.children
            if children is None:
                yield mark.value_place()
            else:
                waiting.extend(children.values() if isinstance(children, dict) else children)

    def length(self, path: Sequence[str | int]) -> int:
        """How many items were written in the list at ``path``."""
        mark, missing = self._nearest(path)
        return len(mark.children) if not missing and isinstance(mark.children, list) else 0

    def _nearest(self, path: Sequence[str | int]) -> tuple[Mark, int]:
        mark = self.root
        for depth, step in enumerate(path):
            inner = mark.child(step)
            if inner is None:
                return mark, len(path) - depth
            mark = inner
        return mark, 0
