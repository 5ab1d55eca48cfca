"""Stages 1 to 4 in one call: files become a checked graph and its blueprint, for every verb and for the Python API."""

from __future__ import annotations

import datetime as dt  # noqa: F401 - pydantic imports it in compiled code, which does not survive a Ctrl-C in the middle of it
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from orchestrator.core.address import is_name
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.diagnostic import Diagnostic, has_errors, in_order
from orchestrator.core.errors import ManifestError, UsageError
from orchestrator.graph.compile import compile_manifest
from orchestrator.graph.graph import AgentGraph
from orchestrator.manifest.load import load
from orchestrator.manifest.loaded import Loaded
from orchestrator.manifest.located import locate
from orchestrator.manifest.pause import collector_paused
from orchestrator.manifest.resolve import resolve
from orchestrator.manifest.resolved import Resolved
from orchestrator.manifest.secrets import ShownLines


@dataclass(frozen=True, slots=True)
class Compilation:
    """A manifest with everything that is known of it before it meets a device. ``diagnostics`` are warnings and notes;
    ``sources`` are the lines of every text, by the name that places use."""

    resolved: Resolved
    graph: AgentGraph
    blueprint: Blueprint
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Sequence[str]]

    @property
    def loaded(self) -> Loaded:
        """The manifest as it was written."""
        return self.resolved.loaded


def compile_files(
    names: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: TextIO | None = None,
    name: str = "",
    overrides: Mapping[str, str] | None = None,
) -> Compilation:
    """Compile the manifest that files (``-``: standard input) make together; ``name`` renames the deployment.

    Raises ``ManifestError`` with every fault of the first stage that has one: what a later stage would say of a manifest
    whose parts do not fit would only repeat it.
    """
    laid_over = dict(overrides or {})
    if name:
        laid_over["metadata.name"] = checked_name(name)
    return compile_loaded(load(names, environment=environment, stdin=stdin, overrides=laid_over or None))


def compile_loaded(loaded: Loaded) -> Compilation:
    """Compile a manifest that is loaded already; raises ``ManifestError``."""
    with collector_paused():
        resolved = resolve(loaded)
        compiled = compile_manifest(
            resolved.manifest,
            loaded.name,
            locate(resolved.manifest, loaded.folder),
            resolved.place_of,
            resolved.reasons,
        )
    refused = _refused_options(compiled.blueprint, resolved)
    diagnostics = in_order([*resolved.diagnostics, *compiled.diagnostics, *refused])
    sources = ShownLines(loaded.sources, [one.place for one in diagnostics if one.place]).lines()
    if has_errors(diagnostics):
        raise ManifestError(diagnostics, sources)
    return Compilation(resolved, compiled.graph, compiled.blueprint, tuple(diagnostics), sources)


def _refused_options(blueprint: Blueprint, resolved: Resolved) -> list[Diagnostic]:
    """Only the launchers know what their programs have; they are loaded where a manifest has a server."""
    if not any(each.spec["server"] for each in blueprint.of_kind("model")):
        return []
    from orchestrator.app.launchers import refused_options

    return refused_options(blueprint, resolved.place_of)


def checked_name(name: str) -> str:
    """``name``, if it may name a deployment; raises ``UsageError``."""
    if is_name(name):
        return name
    raise UsageError(f'"{name}" is no deployment name', cure="use 1-63 letters, digits, '.', '_' and '-'")
