"""Stages 3 to 4 in one call: a resolved manifest becomes a checked graph and its blueprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.diagnostic import Diagnostic
from orchestrator.graph.build import PlaceOf, build, check
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.lower import NO_REASONS, lower
from orchestrator.manifest.located import Located
from orchestrator.manifest.spec.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Compiled:
    """A graph, its blueprint, and what the proofs say of it (errors among them: the caller decides)."""

    graph: AgentGraph
    blueprint: Blueprint
    diagnostics: tuple[Diagnostic, ...]


def compile_manifest(
    manifest: Manifest, name: str, located: Located, place_of: PlaceOf, reasons: Mapping[str, str] = NO_REASONS
) -> Compiled:
    """Compile a resolved manifest whose references all hold. Reads nothing but the catalogue. ``reasons``: why agents got
    their models, by name, where one was chosen of several."""
    graph = build(manifest, name)
    return Compiled(graph, lower(graph, manifest, located, reasons), tuple(check(graph, place_of)))
