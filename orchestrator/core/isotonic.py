"""Isotonic regression: the never-falling curve that is nearest to labelled scores, by pooling adjacent violators (PAVA). Pure.

It says how probable it is that an answer of such a score is right, and assumes only that a higher score is no worse.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Block:
    """A level of the curve: from the score ``low`` on, ``right`` of ``of`` labelled answers were right; a fraction counts where
    something else than a label speaks too."""

    low: float
    right: float
    of: int

    @property
    def value(self) -> float:
        """The share that was right, 0..1."""
        return self.right / self.of


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A fitted curve: blocks of rising scores and of strictly rising values. At least one."""

    blocks: tuple[Block, ...]

    def at(self, score: float) -> float:
        """The value at a score; below the first block its value."""
        return self.block_at(score).value

    def block_at(self, score: float) -> Block:
        """The block that a score falls into."""
        found = bisect_right(self.blocks, score, key=lambda block: block.low) - 1
        return self.blocks[max(0, found)]

    def as_json(self) -> list[list[float]]:
        """A plain form."""
        return [[block.low, block.right, block.of] for block in self.blocks]

    @classmethod
    def from_json(cls, value: Any) -> Isotonic:
        """From the plain form; raises ``TypeError`` or ``ValueError`` where it is none."""
        blocks = tuple(Block(float(low), float(right), int(of)) for low, right, of in value)
        if not blocks:
            raise ValueError("a curve without a block")
        return cls(blocks)


def fit_isotonic(labelled: Sequence[tuple[float, float]]) -> Isotonic:
    """The curve of least squared error over pairs of a score and whether it was right. Raises ``ValueError`` where there are
    none. Equal scores are one point: no order among them is assumed."""
    if not labelled:
        raise ValueError("nothing to fit on")
    blocks: list[Block] = []
    for score, right in sorted(labelled):
        if blocks and blocks[-1].low == score:
            last = blocks.pop()
            blocks.append(Block(score, last.right + right, last.of + 1))
        else:
            blocks.append(Block(score, +right, 1))  # a whole number stays one
    return Isotonic(tuple(_pooled(blocks)))


def _pooled(points: Sequence[Block]) -> list[Block]:
    """Neighbours are pooled until each level is higher than the one before it."""
    pooled: list[Block] = []
    for point in points:
        level = point
        while pooled and pooled[-1].right * level.of >= level.right * pooled[-1].of:  # its value, without a division
            last = pooled.pop()
            level = Block(last.low, last.right + level.right, last.of + level.of)
        pooled.append(level)
    return pooled
