"""A variant of a model, as the catalogue of Foundry Local has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """Its ``alias``, whether it is ``cached``, its ``context`` in tokens, its ``size`` in bytes and its ``task``."""

    id: str
    alias: str
    cached: bool
    context: int | None = None
    size: int | None = None
    task: str = ""
