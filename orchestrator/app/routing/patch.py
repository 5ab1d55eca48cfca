"""A proposal as a change of the manifest's own files, and how it is written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, cast

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
from orchestrator.ports.durable import write_durably

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
    kept: dict[str, Setting] = {}
    for name, setting in proposals.items():
        trial = {**kept, name: setting}
        try:
            after = _written(compilation, trial)
            _check(compilation, after, trial, environment)
        except NotEditable as error:
            edits = _edits(_spec(compilation, name), setting)
            wanted = ", ".join(f"{key}: {_shown(value)}" for key, value in edits)
            patch.by_hand.append(f"router {name}: write `{wanted}` by hand: {error}")
        else:
            kept, patch.after = trial, after
    patch.before = {name: compilation.loaded.sources[name] for name in patch.after}
    return patch


def _spec(compilation: Compilation, name: str) -> RouterSpec:
    return cast(RouterSpec, compilation.blueprint.elements[Address.of("router", name)].spec)


def _edits(spec: RouterSpec, setting: Setting) -> list[tuple[str, str | Sequence[str]]]:
    now = now_of(spec)
    found: list[tuple[str, str | Sequence[str]]] = []
    if setting.stages != now.stages:
        if spec["strategy"] != "cascade":
            found.append(("strategy", "cascade"))
        found.append(("stages", setting.stages))
    if setting.confidence != now.confidence and setting.confidence is not None:
        found.append(("confidence", f"{setting.confidence * 100:g}%"))
    if setting.model:
        found.append(("model", setting.model))
    return found


def _shown(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else f"[{', '.join(value)}]"


class _Edit(NamedTuple):
    """A key to set, near another one of its map."""

    file: str
    near: KeyPlace
    key: str
    value: Value


def _written(compilation: Compilation, proposals: Mapping[str, Setting]) -> dict[str, str]:
    """The files with every key in them. What stands last is written first, so that the places above stay what they are."""
    edits = [
        _edit(compilation, name, key, value)
        for name, setting in proposals.items()
        for key, value in _edits(_spec(compilation, name), setting)
    ]
    texts: dict[str, str] = {}
    for edit in sorted(edits, key=lambda each: each.near, reverse=True):
        text = texts.get(edit.file, compilation.loaded.sources[edit.file])
        texts[edit.file] = set_key(text, edit.near, edit.key, edit.value, ORDER)
    return texts


def _edit(compilation: Compilation, router: str, key: str, value: str | Sequence[str]) -> _Edit:
    path = compilation.resolved.origins.get(Address.of("router", router))
    root = compilation.loaded.marks.root
    if path is not None:
        return _near(_at(root, path), key, value)
    if key != "confidence":
        raise NotEditable("the router is not written in the manifest")
    deployment = _at(root, ("deployment",))
    routing = deployment.child("routing")
    if routing is not None and isinstance(routing.children, dict) and routing.children:
        return _near(routing, key, value)
    return _near(deployment, "routing", {key: _shown(value)})


def _near(around: Mark, key: str, value: Value) -> _Edit:
    place = _place(around, key)
    if place is None:
        raise NotEditable("no key of its map stands in a file")
    file, near = place
    if file in (STDIN_NAME, SETTINGS_NAME):
        raise NotEditable(f"it comes from {file}")
    return _Edit(file, near, key, value)


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
    compilation: Compilation,
    after: Mapping[str, str],
    proposals: Mapping[str, Setting],
    environment: Mapping[str, str],
) -> None:
    loaded = compilation.loaded
    try:
        again = compile_loaded(load_texts({**loaded.sources, **after}, loaded.folder, environment, loaded.roots))
    except ManifestError as error:
        raise NotEditable(f"the manifest would not be valid: {error.diagnostics[0].message}") from error
    for name, setting in proposals.items():
        if _spec(again, name) != spec_with(_spec(compilation, name), setting):
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
    try:
        write_durably(path, text.encode(), mode=path.stat().st_mode)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", cure="make it writable") from error
