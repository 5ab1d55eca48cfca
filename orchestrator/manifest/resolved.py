"""A manifest with everything written out that the short form leaves open, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.manifest.loaded import Loaded
from orchestrator.manifest.marks import Path
from orchestrator.manifest.spec.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Inference:
    """A value that the manifest does not say: whose it is (an address), which key, the value, and why."""

    subject: str
    key: str
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What :func:`orchestrator.manifest.resolve.resolve` gives.

    In ``manifest`` every item is written out (no bare names except in nodes and routes), every agent has its role, models and
    instructions, and every name that points at a part has that part. ``diagnostics`` are warnings and notes only.
    ``origins``: where each part was written; ``mentions``: where one was named that is only there because of that;
    ``reasons``: by an agent's name, why it got its model, where that was chosen of several.
    """

    loaded: Loaded
    manifest: Manifest
    inferences: tuple[Inference, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    origins: Mapping[str, Path] = field(default_factory=dict)
    mentions: Mapping[str, Path] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def place_of(self, address: str, *keys: str | int) -> Place:
        """Where a part (``agent.billing``, ``router.router``), or one of its keys, was written. For one that was inferred: where
        another names it, else the list that it was inferred from."""
        path = self.origins.get(address) or self.mentions.get(address)
        marks = self.loaded.marks
        if path is not None:
            return marks.value((*path, *keys))
        lists = (("deployment", "agents"), ("deployment", "nodes"))
        return marks.key(next((each for each in lists if marks.holds(each)), ("deployment",)))
