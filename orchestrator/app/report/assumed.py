"""What is assumed where a cost or an energy is estimated; docs/report.md tells the sources. What is not known stays unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.core.errors import UsageError

CLOUD_WH: Final = 0.24
"""Watt-hours for a request in the cloud: the median text prompt, with idle machines and cooling (Google, August 2025)."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """``cloud_price`` is that of models in the cloud which have none in the manifest, for a million tokens read and written;
    ``cloud_tokens`` are those of a request that only the cloud answers, read and written; ``watts`` is what the device draws
    while a model nearby works; ``kwh_price`` is in the same money."""

    cloud_price: tuple[float, float] | None = None
    cloud_tokens: tuple[float, float] | None = None
    cloud_wh: float = CLOUD_WH
    watts: float | None = None
    kwh_price: float | None = None


def read_pair(option: str, text: str | None) -> tuple[float, float] | None:
    """Two numbers of ``0.25/2``: read and written. Raises ``UsageError``."""
    if text is None:
        return None
    read, slash, written = text.partition("/")
    cure = "write two numbers with a slash between them: 0.25/2"
    if not slash:
        raise UsageError(f"{option} {text} is one number", cure=cure)
    return read_amount(option, read, cure), read_amount(option, written, cure)


def read_amount(option: str, text: str, cure: str = "write it like 45 or 0.3") -> float:
    """A number that is not negative. Raises ``UsageError``."""
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{option} {text} is no number", cure=cure) from error
    if not 0 <= value < 1e12:
        raise UsageError(f"{option} {text} is no amount", cure=cure)
    return value
