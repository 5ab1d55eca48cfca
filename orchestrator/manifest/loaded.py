"""A manifest as it was written: checked against the format, nothing inferred yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.diagnostic import Diagnostic
from orchestrator.manifest.marks import Marks
from orchestrator.manifest.spec.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Loaded:
    """What :func:`orchestrator.manifest.load.load` gives.

    ``sources`` are all texts that it was made from, by the name that places use (files, includes, and ``file:PATH`` for
    prompts); with ``roots`` and ``variables`` they are enough to load it again with ``load_texts``. ``diagnostics`` are
    warnings and notes only. ``folder`` is absolute; relative paths of the manifest count from it.
    """

    manifest: Manifest
    marks: Marks
    sources: Mapping[str, str]
    name: str
    folder: Path
    diagnostics: tuple[Diagnostic, ...] = ()
    roots: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
