"""How high each stop stands: as near to its neighbours as its column allows, never overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from orchestrator.graph.render.layout.layered import Layered, Neighbours

SWEEPS: Final = 8


def space(layered: Layered, neighbours: Neighbours, heights: Sequence[float], gap: float) -> list[float]:
    """The middle of every stop, top at 0. Stops of a column are at least ``gap`` apart and keep their order."""
    middles = [0.0] * len(layered.addresses)
    for column in layered.columns:
        _stack(column, heights, gap, middles)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        sides = _sides(neighbours, both=sweep >= SWEEPS - 2, left=forward)
        for column in layered.columns if forward else reversed(layered.columns):
            wanted = [_wanted(layered.addresses, stop, middles, sides) for stop in column]
            settle(column, wanted, (heights, gap), middles)
    top = min((middles[stop] - heights[stop] / 2 for column in layered.columns for stop in column), default=0.0)
    return [middle - top for middle in middles]


def _stack(column: list[int], heights: Sequence[float], gap: float, middles: list[float]) -> None:
    y = -(sum(heights[stop] for stop in column) + gap * (len(column) - 1)) / 2
    for stop in column:
        middles[stop] = y + heights[stop] / 2
        y += heights[stop] + gap


def _sides(neighbours: Neighbours, *, both: bool, left: bool) -> list[list[list[int]]]:
    if both:
        return [neighbours.left, neighbours.right]
    return [neighbours.left] if left else [neighbours.right]


def _wanted(addresses: list[str], stop: int, middles: list[float], sides: list[list[list[int]]]) -> float:
    if not addresses[stop]:
        sides = sides[-1:]  # a joint stands before what its link leads to, so that a bundle of links ends straight
    beside = [middles[other] for side in sides for other in side[stop]]
    return sum(beside) / len(beside) if beside else middles[stop]


def settle(column: list[int], wanted: list[float], room: tuple[Sequence[float], float], middles: list[float]) -> None:
    """The nearest places in the order of the column, in the least squares: isotonic regression by pooling neighbours
    that violate the order (Ayer et al. 1955). ``room`` are the heights of all stops and the gap between two."""
    heights, gap = room
    offsets = [0.0]
    for above, below in pairwise(column):
        offsets.append(offsets[-1] + (heights[above] + heights[below]) / 2 + gap)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            more, members = pools.pop()
            total, count = total + more, count + members
        pools.append((total, count))
    levels = [total / count for total, count in pools for _ in range(count)]
    for stop, level, offset in zip(column, levels, offsets, strict=True):
        middles[stop] = level + offset
