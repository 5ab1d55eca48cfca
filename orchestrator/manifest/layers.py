"""Texts to one tree: fetch, parse, put variables in, include, merge. Collects what is wrong on the way."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.manifest.faults import Refused, fault, refused
from orchestrator.manifest.interpolate import interpolate
from orchestrator.manifest.overlay import Layer, Overlay
from orchestrator.manifest.parse import parse
from orchestrator.manifest.scalar import NumberRefused, resolve_scalar
from orchestrator.manifest.secrets import InClear
from orchestrator.manifest.source import STDIN_NAME, Source

SETTINGS_NAME: Final = "<settings>"
"""The name of the text that overrides make."""

Fetch = Callable[[str], Source]
"""Gives the text of a name. Raises ``Refused``."""


@dataclass(slots=True)
class Layers:
    """The texts of one manifest, laid over each other. ``broken``: a text is missing, so that the whole cannot be judged;
    ``nulls``: some value is empty."""

    environment: Mapping[str, str]
    fetch: Fetch
    sources: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)
    roots: list[Source] = field(default_factory=list)
    overlay: Overlay = field(default_factory=Overlay)
    result: Layer | None = None
    in_clear: list[InClear] = field(default_factory=list)
    broken: bool = False
    nulls: bool = False

    def add(self, name: str) -> None:
        """Lay one named text over those before it."""
        try:
            source = self.fetch(name)
        except Refused as error:
            self._break(error.diagnostic)
            return
        if source.name in (root.name for root in self.roots):
            self._break(fault("ORC102", f"{source.name} is named twice", Place(source.name, 1, 1), cure="name it once"))
            return
        self._lay(source)

    def add_settings(self, overrides: Mapping[str, str]) -> None:
        """Lay overrides over everything, as one more text: it is kept and shown like a file."""
        try:
            tree = tree_of(overrides)
        except Refused as error:
            self._break(error.diagnostic)
            return
        self._lay(Source(SETTINGS_NAME, json.dumps(tree, ensure_ascii=False), Path.cwd()))

    def _lay(self, source: Source) -> None:
        self.roots.append(source)
        layer = self._read(source, ())
        if layer is not None:
            self.result = layer if self.result is None else self.overlay.merge(self.result, layer)

    def _break(self, diagnostic: Diagnostic) -> None:
        self.broken = True
        self.faults.append(diagnostic)

    def _read(self, source: Source, above: tuple[str, ...]) -> Layer | None:
        """One text over what it includes. ``above`` are the texts that lead to it by including."""
        self.sources[source.name] = source.text
        try:
            parsed = parse(source.name, source.text)
        except Refused as error:
            self.faults += error.before
            self._break(error.diagnostic)
            return None
        self.faults += parsed.diagnostics
        self.in_clear += parsed.in_clear
        self.nulls = self.nulls or parsed.nulls
        self.faults += interpolate(parsed, self.environment, self.variables)
        if not isinstance(parsed.tree, dict):
            what = "is empty" if parsed.tree is None else "is not a map"
            self._break(fault("ORC121", f"{source.name} {what}", Place(source.name, 1, 1)))
            return None
        return self._included(Layer(parsed.tree, parsed.mark), (*above, source.name))

    def _included(self, layer: Layer, above: tuple[str, ...]) -> Layer:
        wanted = layer.tree.get("include")
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            return layer
        marks = layer.mark.child("include") or layer.mark
        below: Layer | None = None
        for position, name in enumerate(wanted):
            inner = self._include(name, (marks.child(position) or marks).value_place(), above)
            if inner is not None:
                below = inner if below is None else self.overlay.merge(below, inner)
        own = Layer({key: value for key, value in layer.tree.items() if key != "include"}, layer.mark)
        return own if below is None else self.overlay.merge(below, own)

    def _include(self, name: str, place: Place, above: tuple[str, ...]) -> Layer | None:
        try:
            source = self.fetch(included_name(name, place, above))
        except Refused as error:
            self._break(replace(error.diagnostic, place=place))
            return None
        return self._read(source, above)


def included_name(name: str, place: Place, above: tuple[str, ...]) -> str:
    """The name of an included file: relative to the file that includes it, ``..`` allowed. Raises ``Refused``."""
    if not name.endswith((".yaml", ".yml")) or posixpath.isabs(name) or "\\" in name or ":" in name:
        raise refused("ORC143", f'the include "{name}" is no relative path to a .yaml file', place)
    around = "" if above[-1] == STDIN_NAME else posixpath.dirname(above[-1])
    full = posixpath.normpath(posixpath.join(around, name))
    chain = [posixpath.normpath(one) for one in above]
    if full in chain:
        raise refused("ORC144", f"files include each other: {' -> '.join([*chain[chain.index(full) :], full])}", place)
    return full


def tree_of(overrides: Mapping[str, str]) -> dict[str, Any]:
    """``{"a.b": "1"}`` as ``{"a": {"b": 1}}``; the values are plain scalars. Raises ``Refused``."""
    tree: dict[str, Any] = {}
    for path, text in overrides.items():
        steps = path.split(".")
        around: Any = tree
        for step in steps[:-1]:
            around = around.setdefault(step, {}) if isinstance(around, dict) else None
        if not all(steps) or not isinstance(around, dict):
            raise refused("ORC153", f'"{path}" is no path of a key', Place(SETTINGS_NAME, 1, 1))
        try:
            around[steps[-1]] = resolve_scalar(text)
        except NumberRefused as error:
            raise refused("ORC118", f"{path}: {error}", Place(SETTINGS_NAME, 1, 1)) from error
    return tree
