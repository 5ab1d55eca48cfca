"""What a user applies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.blueprint import Blueprint


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user applies. ``origin`` is the absolute path of its first file, or ``-``; ``expected`` is the digest of the
    plan that was shown and agreed to, empty where none was."""

    blueprint: Blueprint
    sources: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    cause: str = "apply"
    expected: str = ""
