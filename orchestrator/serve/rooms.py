"""What is behind the tools: two of them over one file are two doors to one room, whatever its path and whichever deployment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import StateUnusable
from orchestrator.deploy.knowledge import SEARCH
from orchestrator.ports.code import ModuleFile, find_module
from orchestrator.ports.marks import Mark, MarkStore
from orchestrator.serve.beside import Beside, is_beside, put_beside
from orchestrator.serve.disk import Disk

EVERYTHING: Final = Mark("all")
"""Marks were lost: anything may be marked."""


@dataclass(frozen=True, slots=True)
class Store:
    """What a tool reads and writes: the ``file`` (or folder) that it is, and where the tool was given no path also the ``name``.
    ``is_code``: the file is a Python module; what its functions keep is theirs to know, and may be elsewhere."""

    name: str
    file: str = ""
    is_code: bool = False


class Stores:
    """The stores behind the tools and document sets of one deployment. ``places`` is where those are that are given no path."""

    __slots__ = ("_deployment", "_known", "_places", "_sets")

    def __init__(self, blueprint: Blueprint, places: Path | None = None) -> None:
        self._deployment = blueprint.name
        self._places = places
        sets = blueprint.of_kind("knowledge")
        self._sets = tuple(self._store_of(each.spec, blueprint, each.address) for each in sets)
        tools = blueprint.of_kind("tool")
        self._known = {each.spec["name"]: self._stores_of(each.spec, blueprint, each.address) for each in tools}

    def behind(self, function: str) -> tuple[Store, ...]:
        """Those of the tool which this function belongs to; a search may look into any document set."""
        tool = function.partition(".")[0]
        own = self._known.get(tool) or (self._own(tool, Address.of("tool", tool)),)
        return (*own, *self._sets) if function == SEARCH else own

    def _own(self, tool: str, address: str) -> Store:
        """Without a path a tool keeps its things in a folder that is its deployment's alone; but another one may be given that."""
        return Store(f"{self._deployment}/{tool}", str(self._places / address) if self._places is not None else "")

    def _stores_of(self, spec: Mapping[str, Any], blueprint: Blueprint, address: str) -> tuple[Store, ...]:
        """Of a tool. What a ``database`` writes into tables of CSV files is not in these, but in a folder of its own."""
        store = self._store_of(spec, blueprint, address)
        tables = spec["kind"] == "database" and (store.file.lower().endswith(".csv") or Path(store.file).is_dir())
        return (store, self._own(spec["name"], address)) if tables else (store,)

    def _store_of(self, spec: Mapping[str, Any], blueprint: Blueprint, address: str) -> Store:
        options: Mapping[str, Any] = spec.get("options", spec)
        if "python" in options:  # tools of one module may share whatever it keeps
            module = options["python"].partition(":")[0]
            found = find_module(module, [Path(root) for root in (blueprint.folder, *blueprint.tool_roots)])
            if isinstance(found, ModuleFile):
                return Store("", str(found.file), is_code=True)
            return Store(f"{self._deployment}/python {module}")
        path = options.get("path")
        return Store("", str(Path(blueprint.folder, path))) if path else self._own(spec["name"], address)


class Rooms:
    """Where restricted runs may have written; one for all deployments of a runtime, for a file is the same to all of them.

    What they did write, and which deployments had a restricted agent, is kept in ``kept``: it is read when this is made, before
    any request, and again where another process has added to it. Raises ``StateUnusable`` where that cannot be done. Files
    have a mark beside them too, which whoever keeps its marks elsewhere finds. What only a manifest tells is in memory: the
    manifest tells it again."""

    __slots__ = ("_beside", "_kept", "_known", "_marks", "_on_disk", "_put")

    def __init__(self, kept: MarkStore | None = None) -> None:
        self._kept = kept
        self._known: set[Mark] = set()  # of these: what is on the disk too
        self._marks: set[Mark] = set()
        self._beside = Beside()
        self._put: set[str] = set()  # files that have one, on the disk
        self._on_disk = Disk().do
        self._read_again()

    def mark(self, store: Store) -> None:
        """It may hold what a restricted run wrote."""
        self._marks |= _marks_of(store)

    async def wrote(self, store: Store) -> None:
        """A restricted run is about to write there, or has: this is on the disk when it returns. Raises ``StateUnusable`` where
        it cannot be. Once more after the write it knows a file too that was put in place of the old one."""
        marks = _marks_of(store)
        self._marks |= marks
        if self._kept is not None and marks - self._known:
            await self._on_disk(self._kept.add, marks - self._known)
        if self._kept is not None and store.file:
            await self._put_beside(store)
        self._known |= marks  # only now: whoever comes meanwhile must wait for the disk as well

    async def _put_beside(self, store: Store) -> None:
        real = _real(store)
        if real in self._put and is_beside(real):
            return
        try:
            await self._on_disk(put_beside, real)
        except StateUnusable:
            if not store.is_code:  # its functions need not write there: it may be in a folder that nobody may write
                raise
            return
        self._put.add(real)

    def add(self, others: Rooms) -> None:
        """All of these too."""
        self._marks |= others._marks

    def had_restricted(self, deployment: str) -> bool:
        """Whether a revision of it had a restricted agent, in this life of the runtime or an earlier one."""
        return not self._marks.isdisjoint((Mark("deployment", deployment), EVERYTHING))

    def has_restricted(self, deployment: str) -> None:
        """A revision of it has one, and comes to serve. Raises ``StateUnusable`` where that cannot be kept."""
        mark = Mark("deployment", deployment)
        self._marks.add(mark)
        if self._kept is not None and mark not in self._known:
            self._kept.add((mark,))
        self._known.add(mark)

    def holds(self, store: Store) -> bool:
        """Whether it is one of them: by name, by the mark beside it, by where its path leads, as a part of a marked folder or the
        folder of a marked file, or as another link to the same file. Where that cannot be read, it may be."""
        try:
            if self._kept is not None and self._kept.changed():
                self._read_again()
        except StateUnusable:
            return True
        named = {Mark("name", store.name)} if store.name else set()
        if not self._marks.isdisjoint((*named, EVERYTHING)):
            return True
        real = _real(store) if store.file else ""
        return bool(real) and (self._holds_file(real) or self._beside.holds(real))

    def _holds_file(self, real: str) -> bool:
        files = [each.value for each in self._marks if each.kind == "file"]
        if any(real == each or _within(real, each) or _within(each, real) for each in files):
            return True
        for each in files:  # it may have been made, or replaced by another, since it was marked
            self._marks |= _inode(each)
        return not self._marks.isdisjoint(_inode(real))

    def _read_again(self) -> None:
        if self._kept is not None:
            self._known |= frozenset(self._kept.marks())
            self._marks |= self._known


def _marks_of(store: Store) -> set[Mark]:
    """By its name, and as the file that it is, by its path and on the disk."""
    named = {Mark("name", store.name)} if store.name else set()
    if not store.file:
        return named
    real = _real(store)
    return {*named, Mark("file", real), *_inode(real)}


def _real(store: Store) -> str:
    """Where the path of its file leads."""
    return os.path.realpath(store.file)


def _within(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _inode(path: str) -> frozenset[Mark]:
    """Which file it is on the disk; empty where there is none, or the disk does not number its files."""
    try:
        found = os.stat(path)  # noqa: PTH116 - once for each call of a tool: a Path costs more than the look
    except OSError:
        return frozenset()
    return frozenset({Mark("inode", f"{found.st_dev}:{found.st_ino}")}) if found.st_ino else frozenset()
