"""A proposal as a change of the manifest's own files, and how it is written."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from orchestrator.app.compile import Compilation, compile_loaded
from orchestrator.app.routing.search import Setting
from orchestrator.app.routing.tune import now_of, spec_with
from orchestrator.core.address import Address
from orchestrator.core.blueprint import RouterSpec
from orchestrator.core.errors import ManifestError, UsageError
from orchestrator.manifest.edit import KeyPlace, NotEditable, Value, set_key
from orchestrator.manifest.layers import SETTINGS_NAME
from orchestrator.manifest.load import load_texts
from orchestrator.manifest.marks import Mark
from orchestrator.manifest.marks import Path as Steps
from orchestrator.manifest.source import STDIN_NAME, read_source

ORDER: Final = ("name", "role", "model", "strategy", "routing_strategy", "stages", "encoder", "type")
"""Keys that a new one stands behind: of a router, and the `type` of the deployment."""


@dataclass(slots=True)
class Patch:
    """The texts of files before and after. ``by_hand`` says what cannot be written by itself, and why."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    by_hand: list[str] = field(default_factory=list)

    def diff(self) -> str:
        """As a unified diff."""
        return "".join(_diff(name, self.before[name], text) for name, text in self.after.items())

    def write(self) -> list[str]:
        """Write every file, at once and with its mode; the names of those written. Raises ``UsageError`` where one is not any more
        what the proposal was made for; then none is written."""
        for name, text in self.before.items():
            if read_source(name).text != text:
                raise UsageError(f"{name} has changed meanwhile: nothing was written", cure="tune again")
        for name, text in self.after.items():
            _put(Path(name).resolve(), text)
        return list(self.after)


def patch_of(compilation: Compilation, proposals: Mapping[str, Setting], environment: Mapping[str, str]) -> Patch:
    """The change that gives each router its setting. What was written is read again: where it does not say what is meant, it
    is told to be written by hand."""
    patch = Patch()
    for name, setting in proposals.items():
        spec = _spec(compilation, name)
        wanted = ", ".join(f"{key}: {_shown(value)}" for key, value in _edits(spec, setting))
        before = dict(patch.after)
        try:
            for key, value in _edits(spec, setting):
                _set(patch, compilation, name, key, value)
            _check(patch, compilation, name, setting, environment)
        except NotEditable as error:
            patch.after = before
            patch.by_hand.append(f"router {name}: write `{wanted}` by hand: {error}")
    patch.before = {name: compilation.loaded.sources[name] for name in patch.after}
    return patch


def _spec(compilation: Compilation, name: str) -> RouterSpec:
    return cast(RouterSpec, compilation.blueprint.elements[Address.of("router", name)].spec)


def _edits(spec: RouterSpec, setting: Setting) -> list[tuple[str, Value]]:
    now = now_of(spec)
    found: list[tuple[str, Value]] = []
    if setting.stages != now.stages:
        if spec["strategy"] != "cascade":
            found.append(("strategy", "cascade"))
        found.append(("stages", setting.stages))
    if setting.confidence != now.confidence and setting.confidence is not None:
        found.append(("confidence", f"{setting.confidence * 100:g}%"))
    if setting.model:
        found.append(("model", setting.model))
    return found


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else f"[{', '.join(value)}]"


def _set(patch: Patch, compilation: Compilation, router: str, key: str, value: Value) -> None:
    path = compilation.resolved.origins.get(Address.of("router", router))
    root = compilation.loaded.marks.root
    if path is not None:
        _set_near(patch, compilation, _at(root, path), key, value)
        return
    if key != "confidence":
        raise NotEditable("the router is not written in the manifest")
    routing = root.child("deployment") and _at(root, ("deployment",)).child("routing")
    if routing is not None and isinstance(routing.children, dict) and routing.children:
        _set_near(patch, compilation, routing, key, value)
    else:
        _set_near(patch, compilation, _at(root, ("deployment",)), "routing", f"{{{key}: {_shown(value)}}}")


def _set_near(patch: Patch, compilation: Compilation, around: Mark, key: str, value: Value) -> None:
    place = _place(around, key)
    if place is None:
        raise NotEditable("no key of its map stands in a file")
    file, near = place
    if file in (STDIN_NAME, SETTINGS_NAME):
        raise NotEditable(f"it comes from {file}")
    text = patch.after.get(file, compilation.loaded.sources[file])
    patch.after[file] = set_key(text, near, key, value, ORDER)


def _at(root: Mark, path: Steps) -> Mark:
    mark = root
    for step in path:
        mark = mark.child(step) or mark
    return mark


def _place(around: Mark, key: str) -> tuple[str, KeyPlace] | None:
    """Where the key stands, else a key beside which it belongs: of several files that make the map, in the one with its name."""
    children = around.children if isinstance(around.children, dict) else {}
    for found in (children.get(key), children.get("name"), children.get("type"), *children.values()):
        if found is not None and found.key is not None:
            return found.file, KeyPlace(found.key[0], found.key[1])
    return None


def _check(
    patch: Patch, compilation: Compilation, router: str, setting: Setting, environment: Mapping[str, str]
) -> None:
    loaded = compilation.loaded
    texts = {**loaded.sources, **patch.after}
    try:
        again = compile_loaded(load_texts(texts, loaded.folder, environment, loaded.roots))
    except ManifestError as error:
        raise NotEditable(f"the manifest would not be valid: {error.diagnostics[0].message}") from error
    if _spec(again, router) != spec_with(_spec(compilation, router), setting):
        raise NotEditable("the keys around it do not leave room for it")


def _diff(name: str, before: str, after: str) -> str:
    inside = not Path(name).is_absolute()
    names = (f"a/{name}", f"b/{name}") if inside else (name, name)
    lines = difflib.unified_diff(_lines(before), _lines(after), *names)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> Sequence[str]:
    return [f"{line}\n" for line in text.split("\n")[:-1]] + ([last] if (last := text.rpartition("\n")[2]) else [])


def _put(path: Path, text: str) -> None:
    """Beside the file first, then in its place: a reader sees the old text or the new one."""
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        Path(made).chmod(path.stat().st_mode)
        Path(made).replace(path)
    except OSError as error:
        Path(made).unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}", cure="make it writable") from error
