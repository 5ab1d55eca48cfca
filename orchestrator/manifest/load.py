"""Texts to a manifest: read, parse, put variables in, include, merge, check the format. Everything wrong is told at once."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TextIO

from orchestrator.core.address import is_name
from orchestrator.core.diagnostic import Diagnostic, Place, in_order
from orchestrator.core.errors import ManifestError
from orchestrator.manifest.empty import take_out_empty
from orchestrator.manifest.faults import Refused, fault, note, refused
from orchestrator.manifest.interpolate import interpolate
from orchestrator.manifest.loaded import Loaded
from orchestrator.manifest.marks import Marks
from orchestrator.manifest.overlay import Layer, Overlay
from orchestrator.manifest.parse import parse
from orchestrator.manifest.pause import collector_paused
from orchestrator.manifest.secrets import Secrets, scan
from orchestrator.manifest.source import STDIN, STDIN_NAME, Source, read_source
from orchestrator.manifest.structure import SECRET_KEYS, Misfit, check_structure

SETTINGS_NAME: Final = "<settings>"
"""The name of the text that overrides make."""
MOST_FAULTS: Final = 200
"""More are counted, not told."""

Fetch = Callable[[str], Source]


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
    loading = _Loading(environment, lambda name: read_source(name, stdin))
    with collector_paused():
        for name in names:
            loading.root(name)
        if overrides:
            loading.settings(overrides)
        return loading.finish()


def load_texts(
    sources: Mapping[str, str], folder: Path, environment: Mapping[str, str], roots: Sequence[str] = ()
) -> Loaded:
    """Load from texts that were kept (``Loaded.sources``), without reading the disk.

    ``roots`` are the names that ``load`` was given; without them every text that no other one includes.
    """

    def fetch(name: str) -> Source:
        if name not in sources:
            raise refused("ORC101", f"there is no text {name} among those kept", Place(name, 1, 1))
        return Source(name, sources[name], folder)

    loading = _Loading(environment, fetch)
    with collector_paused():
        for name in roots or sources:
            if name in roots or (name not in loading.sources and not name.startswith("file:")):
                loading.root(name)
        return loading.finish(folder)


@dataclass(slots=True)
class _Loading:
    """The state of one load."""

    environment: Mapping[str, str]
    fetch: Fetch
    sources: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)
    notes: list[Diagnostic] = field(default_factory=list)
    secrets: Secrets = field(default_factory=Secrets)
    overlay: Overlay = field(default_factory=Overlay)
    roots: list[Source] = field(default_factory=list)
    result: Layer | None = None

    def root(self, name: str) -> None:
        """One file that was named, over those before it."""
        try:
            source = self.fetch(name)
        except Refused as error:
            self.faults.append(error.diagnostic)
            return
        self.roots.append(source)
        self._lay(self._layer(source, ()))

    def settings(self, overrides: Mapping[str, str]) -> None:
        """Overrides, as one more text: it is kept and shown like a file."""
        try:
            tree = _tree_of(overrides)
        except Refused as error:
            self.faults.append(error.diagnostic)
            return
        source = Source(SETTINGS_NAME, json.dumps(tree, ensure_ascii=False), Path.cwd())
        self.roots.append(source)
        self._lay(self._layer(source, ()))

    def _lay(self, layer: Layer | None) -> None:
        if layer is not None:
            self.result = layer if self.result is None else self.overlay.merge(self.result, layer)

    def _layer(self, source: Source, above: tuple[str, ...]) -> Layer | None:
        """One file with what it includes below it."""
        self.sources[source.name] = source.text
        try:
            parsed = parse(source.name, source.text)
        except Refused as error:
            self.faults.append(error.diagnostic)
            return None
        self.faults += parsed.diagnostics
        self.faults += interpolate(parsed, self.environment, self.variables)
        if not isinstance(parsed.tree, dict):
            self.faults.append(_no_manifest(source, parsed.tree))
            return None
        return self._included(Layer(parsed.tree, parsed.mark), (*above, source.name))

    def _included(self, layer: Layer, above: tuple[str, ...]) -> Layer | None:
        wanted = layer.tree.get("include")
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            return layer
        tree = {key: value for key, value in layer.tree.items() if key != "include"}
        marks = layer.mark.child("include")
        below: Layer | None = None
        for position, name in enumerate(wanted):
            mark = marks.child(position) if marks else None
            inner = self._include(name, (mark or layer.mark).value_place(), above)
            if inner is not None:
                below = inner if below is None else self.overlay.merge(below, inner)
        own = Layer(tree, layer.mark)
        return own if below is None else self.overlay.merge(below, own)

    def _include(self, name: str, place: Place, above: tuple[str, ...]) -> Layer | None:
        try:
            source = self.fetch(_included_name(name, place, above))
        except Refused as error:
            self.faults.append(replace(error.diagnostic, place=place))
            return None
        return self._layer(source, above)

    def finish(self, folder: Path | None = None) -> Loaded:
        """The manifest, once every text is laid over the others."""
        self.faults += self.overlay.faults
        self.faults += scan(self.sources, self.secrets)
        layer = self.result
        if layer is None:
            raise self._error()
        marks = Marks(layer.mark)
        empty, tree = take_out_empty(layer.tree, marks)
        self.faults += empty.values()
        manifest, misfits = check_structure(tree, marks)
        self._tell([misfit for misfit in misfits if misfit.path not in empty], marks)
        name = self._name(tree)
        if manifest is None or name is None or self.faults:
            raise self._error()
        first = self.roots[0]
        return Loaded(
            manifest=manifest,
            marks=marks,
            sources=dict(self.sources),
            name=name,
            folder=folder or first.folder,
            diagnostics=tuple(in_order(self.notes)),
            roots=tuple(root.name for root in self.roots),
            variables=dict(self.variables),
        )

    def _tell(self, misfits: Sequence[Misfit], marks: Marks) -> None:
        told = {(one.place.file, one.place.line, one.place.column) for one in self.faults if one.place}
        for misfit in misfits:
            place = misfit.diagnostic.place
            if place and (place.file, place.line, place.column) in told:
                continue  # one cause, one message: what was put in there is wrong already
            if misfit.path and misfit.path[-1] in SECRET_KEYS:
                self.secrets.found(marks.value(misfit.path), "")
            self.faults.append(misfit.diagnostic)

    def _name(self, tree: Any) -> str | None:
        metadata = tree.get("metadata")
        if isinstance(metadata, dict) and "name" in metadata:
            return str(metadata["name"])
        file = self.roots[0].name
        if file == STDIN_NAME:
            self.faults.append(fault("ORC150", "a manifest from standard input has no name", Place(file, 1, 1)))
            return None
        stem = Path(file).stem
        if is_name(stem):
            return stem
        made = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:63].strip("._-")
        if not is_name(made):
            self.faults.append(fault("ORC151", f'the file name "{stem}" is no deployment name', Place(file, 1, 1)))
            return None
        self.notes.append(note("ORC151", f'the deployment is called "{made}", after its file', Place(file, 1, 1)))
        return made

    def _error(self) -> ManifestError:
        """Everything wrong, with no secret in it."""
        faults = in_order([*self.faults, *self.notes])
        if len(faults) > MOST_FAULTS:
            more = len(faults) - MOST_FAULTS
            faults = [*faults[:MOST_FAULTS], fault("ORC100", f"{more} more faults are not shown", None)]
        return ManifestError([self.secrets.hide(one) for one in faults], self.secrets.lines(self.sources))


def _no_manifest(source: Source, tree: Any) -> Diagnostic:
    what = "is empty" if tree is None else "is not a map"
    return fault("ORC121", f"{source.name} {what}", Place(source.name, 1, 1))


def _included_name(name: str, place: Place, above: tuple[str, ...]) -> str:
    """The name of an included file: relative to the file that includes it."""
    if not name.endswith((".yaml", ".yml")) or posixpath.isabs(name) or "\\" in name or ":" in name:
        raise refused("ORC143", f'the include "{name}" is no relative path to a .yaml file', place)
    around = "" if above[-1] in (STDIN_NAME, STDIN) else posixpath.dirname(above[-1])
    full = posixpath.normpath(posixpath.join(around, name))
    if full in {posixpath.normpath(one) for one in above}:
        chain = [*above[[posixpath.normpath(one) for one in above].index(full) :], full]
        raise refused("ORC144", f"files include each other: {' -> '.join(chain)}", place)
    return full


def _tree_of(overrides: Mapping[str, str]) -> dict[str, Any]:
    """``{"a.b": "1"}`` as ``{"a": {"b": 1}}``; the values are plain scalars."""
    from orchestrator.manifest.scalar import resolve_scalar

    tree: dict[str, Any] = {}
    for path, text in overrides.items():
        steps = path.split(".")
        if not all(steps):
            raise refused("ORC153", f'"{path}" is no path of a key', Place(SETTINGS_NAME, 1, 1))
        around = tree
        for step in steps[:-1]:
            around = around.setdefault(step, {})
        around[steps[-1]] = resolve_scalar(text)
    return tree
