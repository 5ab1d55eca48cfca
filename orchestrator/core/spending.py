"""What is spent in the cloud, and what may be: tokens, calls and money, in whole numbers.

Money is counted in millionths of the unit that prices are written in, so that sums are exact; a price is for a million tokens,
and so a token costs as many millionths as its price says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.record import record

MILLION: Final = 1_000_000
BYTES_A_TOKEN: Final = 3
"""Fewer than is usual, so that a reservation is hardly ever too small; a server that counts more is reckoned by its own."""
USUAL_ANSWER: Final = 4_096
"""Tokens that an answer may have where nothing limits it; a call that is paid from a budget is sent with this limit then."""


@record
class Spend:
    """An amount. ``micros`` are millionths of the unit of money."""

    tokens: int = 0
    micros: int = 0
    calls: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(self.tokens + other.tokens, self.micros + other.micros, self.calls + other.calls)

    def __sub__(self, other: Spend) -> Spend:
        return Spend(self.tokens - other.tokens, self.micros - other.micros, self.calls - other.calls)

    def as_json(self) -> dict[str, Any]:
        """A plain form; money in its own unit."""
        return {"tokens": self.tokens, "money": self.micros / MILLION, "calls": self.calls}

    def __str__(self) -> str:
        calls = f"{self.calls} call{'' if self.calls == 1 else 's'}"
        return f"{calls}, {self.tokens} tokens" + (f", {money(self.micros)} of money" if self.micros else "")


NOTHING: Final = Spend()
Limits = Mapping[str, float]
"""``tokens``, ``calls`` and ``money`` in its unit, those that there are."""


def money(micros: int) -> str:
    """In its unit, without idle zeros."""
    return f"{micros / MILLION:.6f}".rstrip("0").rstrip(".") or "0"


def price_of(price: Mapping[str, float], prompt: int, answer: int) -> int:
    """What so many tokens cost, in millionths, rounded up."""
    return math.ceil(prompt * price.get("input", 0.0) + answer * price.get("output", 0.0))


def over(limits: Limits, spent: Spend, wanted: Spend) -> str:
    """Which limit ``wanted`` would break, with the numbers; empty where it fits."""
    after = spent + wanted
    if after.calls > limits.get("calls", math.inf):
        return f"{spent.calls} of {limits['calls']:g} calls are made"
    if after.tokens > limits.get("tokens", math.inf):
        return f"{spent.tokens} of {limits['tokens']:g} tokens are spent or set aside, and this call may take {wanted.tokens}"
    if after.micros > limits.get("money", math.inf) * MILLION:
        left = f"{money(spent.micros)} of {limits['money']:g} of money is spent or set aside"
        return f"{left}, and this call may take {money(wanted.micros)}"
    return ""
