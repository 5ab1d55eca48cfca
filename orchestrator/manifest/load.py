"""From texts to a manifest that fits the format. Everything wrong is told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from orchestrator.core.address import is_name
from orchestrator.core.diagnostic import Diagnostic, Place, Severity, in_order
from orchestrator.core.errors import ManifestError
from orchestrator.manifest.empty import take_out_empty
from orchestrator.manifest.faults import MOST_FAULTS, fault, note, refused
from orchestrator.manifest.layers import Layers
from orchestrator.manifest.loaded import Loaded
from orchestrator.manifest.marks import Marks
from orchestrator.manifest.overlay import Layer
from orchestrator.manifest.pause import collector_paused
from orchestrator.manifest.prompts import PREFIX, ReadPrompt, read_below, read_prompts
from orchestrator.manifest.resolve import check_references
from orchestrator.manifest.secrets import Secrets, ShownLines, all_secrets
from orchestrator.manifest.source import STDIN_NAME, Source, read_source
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.structure import SECRET_KEYS, Misfit, check_structure, without


def load(
    names: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: TextIO | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Loaded:
    """Load the manifest that files (``-``: standard input) make together; of two values the later file's wins.

    ``overrides`` are values by dotted path (``deployment.serve.port``), laid over everything. Raises ``ManifestError`` with
    every fault.
    """
    with collector_paused():
        layers = Layers(environment, lambda name: read_source(name, stdin))
        for name in names:
            layers.add(name)
        if overrides:
            layers.add_settings(overrides)
        folder = layers.roots[0].folder if layers.roots else Path.cwd()
        return _Loading(layers, folder, lambda name: read_below(folder, name)).finish()


def load_texts(
    sources: Mapping[str, str], folder: Path, environment: Mapping[str, str], roots: Sequence[str] = ()
) -> Loaded:
    """Load from texts that were kept (``Loaded.sources``); no manifest or prompt is read from the disk.

    ``roots`` are the names that were given to ``load`` (``Loaded.roots``); without them every text that no other includes.
    """

    def fetch(name: str) -> Source:
        if name not in sources:
            raise refused("ORC101", f"there is no text {name} among those kept", Place(name, 1, 1))
        return Source(name, sources[name], folder)

    def read_prompt(name: str) -> str:
        return fetch(PREFIX + name).text

    with collector_paused():
        layers = Layers(environment, fetch)
        for name in roots or sources:
            if roots or (name not in layers.sources and not name.startswith(PREFIX)):
                layers.add(name)
        return _Loading(layers, folder, read_prompt).finish()


@dataclass(slots=True)
class _Loading:
    """The second half of a load: one tree, to be judged."""

    layers: Layers
    folder: Path
    read_prompt: ReadPrompt
    notes: list[Diagnostic] = field(default_factory=list)
    secrets: Secrets = field(default_factory=Secrets)

    def finish(self) -> Loaded:
        """The manifest, or ``ManifestError`` with everything wrong."""
        layers = self.layers
        layers.faults += layers.overlay.faults
        if layers.result is None or layers.broken:
            raise self._error()
        loaded = self._judge(layers.result)
        if loaded is None or layers.faults:
            if loaded is not None:
                layers.faults += [one for one in check_references(loaded) if one.severity is Severity.ERROR]
            raise self._error()
        return loaded

    def _judge(self, layer: Layer) -> Loaded | None:
        """The manifest where it fits, or fits once its small misfits are taken out; so references can be judged as well."""
        marks = Marks(layer.mark)
        empty, tree = take_out_empty(layer.tree, marks) if self.layers.nulls else ({}, layer.tree)
        self.layers.faults += empty.values()
        manifest, misfits = check_structure(tree, marks)
        self._tell([misfit for misfit in misfits if misfit.path not in empty], marks)
        if manifest is None:
            smaller = without(tree, misfits)
            manifest = check_structure(smaller, marks)[0] if smaller is not None else None
        name = self._name(tree)
        if manifest is not None:
            self.layers.faults += read_prompts(manifest, marks, self.read_prompt, self.layers.sources)
        self.layers.faults += self._secrets_in(self.layers.sources)
        return None if manifest is None else self._loaded(manifest, marks, name or "unnamed")

    def _secrets_in(self, texts: Mapping[str, str]) -> list[Diagnostic]:
        return all_secrets(texts, self.layers.in_clear, self.layers.faults, self.secrets)

    def _loaded(self, manifest: Manifest, marks: Marks, name: str) -> Loaded:
        return Loaded(
            manifest=manifest,
            marks=marks,
            sources=dict(self.layers.sources),
            name=name,
            folder=self.folder,
            diagnostics=tuple(self.notes),
            roots=tuple(root.name for root in self.layers.roots),
            variables=dict(self.layers.variables),
        )

    def _tell(self, misfits: Sequence[Misfit], marks: Marks) -> None:
        """Add what does not fit, but nothing about a place where something else is wrong already: one cause, one message."""
        told = {one.place for one in self.layers.faults if one.place}
        for misfit in misfits:
            if misfit.path and misfit.path[-1] in SECRET_KEYS:
                for place in marks.leaves(misfit.path):
                    self.secrets.found(place, "")
            if misfit.diagnostic.place not in told:
                self.layers.faults.append(misfit.diagnostic)

    def _name(self, tree: Any) -> str | None:
        metadata = tree.get("metadata")
        if isinstance(metadata, dict) and "name" in metadata:
            return str(metadata["name"])
        file = self.layers.roots[0].name
        place = Place(file, 1, 1)
        if file == STDIN_NAME:
            self.layers.faults.append(fault("ORC150", "a manifest from standard input has no name", place))
            return None
        stem = Path(file).stem
        if is_name(stem):
            return stem
        made = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:63].strip("._-")
        if not is_name(made):
            self.layers.faults.append(fault("ORC151", f'the file name "{stem}" is no deployment name', place))
            return None
        self.notes.append(note("ORC151", f'the deployment is called "{made}", after its file', place))
        return made

    def _error(self) -> ManifestError:
        """Everything wrong, with no secret in it."""
        faults = in_order([*self.layers.faults, *self.notes])
        shown = ShownLines(self.layers.sources, [one.place for one in faults if one.place])
        if self.layers.broken:
            faults = in_order([*faults, *self._secrets_in(shown.texts)])
        placed = [one for one in faults if one.place]
        if len(placed) > MOST_FAULTS:
            more = fault("ORC100", f"{len(placed) - MOST_FAULTS:,} more faults are not shown", None)
            faults = [*placed[:MOST_FAULTS], *(one for one in faults if not one.place), more]
        return ManifestError([self.secrets.hide(one) for one in faults], self.secrets.lines(shown))
