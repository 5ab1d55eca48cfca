"""Aligned columns, without frames: easy to read, to cut and to grep."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any


def columns(rows: Sequence[Sequence[str]], *, indent: str = "", gap: str = "  ") -> list[str]:
    """The rows with every column but the last as wide as its widest cell."""
    if not rows:
        return []
    widths = [max(width(row[index]) for row in rows if index < len(row)) for index in range(max(map(len, rows)))]
    return [
        (indent + gap.join(cell + " " * (widths[index] - width(cell)) for index, cell in enumerate(row))).rstrip()
        for row in rows
    ]


def with_nodes(rows: Sequence[Sequence[str]], found: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    """The rows with the node of each after its deployment (the second column), the head among them, where one of what was found
    is on a node."""
    if not any(each.get("node") for each in found):
        return list(rows)
    nodes = ["NODE", *(str(each.get("node", "-")) for each in found)]
    return [(*row[:2], node, *row[2:]) for row, node in zip(rows, nodes, strict=True)]


def width(text: str) -> int:
    """Cells of a terminal that ``text`` takes; escape sequences of colours take none."""
    plain = ""
    rest = text
    while "\x1b[" in rest:
        before, _, after = rest.partition("\x1b[")
        plain += before
        rest = after.partition("m")[2]
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in plain + rest)
