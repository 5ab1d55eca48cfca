"""What is behind the tools: two of them over one file are two doors to one room, whatever its path and whichever deployment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.blueprint import Blueprint
from orchestrator.ports.code import ModuleFile, find_module


@dataclass(frozen=True, slots=True)
class Store:
    """What a tool reads and writes: the ``file`` (or folder) at a path; where that is empty, ``name`` alone says what it is."""

    name: str
    file: str = ""


class Stores:
    """The stores behind the tools and document sets of one deployment."""

    __slots__ = ("_deployment", "_known")

    def __init__(self, blueprint: Blueprint) -> None:
        self._deployment = blueprint.name
        elements = (*blueprint.of_kind("tool"), *blueprint.of_kind("knowledge"))
        self._known = {each.spec["name"]: self._store_of(each.spec, blueprint) for each in elements}

    def behind(self, function: str) -> Store:
        """That of the tool which this function belongs to."""
        tool = function.partition(".")[0]
        return self._known.get(tool) or self._own(tool)

    def _own(self, tool: str) -> Store:
        """Without a path a tool keeps its things in a folder that is its deployment's alone."""
        return Store(f"{self._deployment}/{tool}")

    def _store_of(self, spec: Mapping[str, Any], blueprint: Blueprint) -> Store:
        options: Mapping[str, Any] = spec.get("options", spec)
        if "python" in options:  # tools of one module may share whatever it keeps
            module = options["python"].partition(":")[0]
            found = find_module(module, [Path(root) for root in (blueprint.folder, *blueprint.tool_roots)])
            return Store("", str(found.file)) if isinstance(found, ModuleFile) else self._own(f"python {module}")
        path = options.get("path")
        return Store("", str(Path(blueprint.folder, path))) if path else self._own(spec["name"])


class Rooms:
    """Where restricted runs may have written; one for all deployments of a runtime, for a file is the same to all of them."""

    __slots__ = ("_files", "_inodes", "_names")

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._files: set[str] = set()
        self._inodes: set[tuple[int, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._names or self._files)

    def mark(self, store: Store) -> None:
        """It may hold what a restricted run wrote."""
        if not store.file:
            self._names.add(store.name)
            return
        self._files.add(os.path.realpath(store.file))
        self._look(store.file)

    def add(self, others: Rooms) -> None:
        """All of these too."""
        self._names |= others._names
        self._files |= others._files
        self._inodes |= others._inodes

    def holds(self, store: Store) -> bool:
        """Whether it is one of them: by name, by where its path leads, as a part of a marked folder or the folder of a marked
        file, or as another link to the same file."""
        if not store.file:
            return store.name in self._names
        real = os.path.realpath(store.file)
        if any(real == each or _within(real, each) or _within(each, real) for each in self._files):
            return True
        for each in self._files:  # it may have been made, or replaced by another, since it was marked
            self._look(each)
        return _inode(real) in self._inodes

    def _look(self, file: str) -> None:
        found = _inode(file)
        if found is not None:
            self._inodes.add(found)


def _within(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _inode(path: str) -> tuple[int, int] | None:
    """Which file it is on the disk; ``None`` where there is none, or the disk does not number its files."""
    try:
        found = os.stat(path)  # noqa: PTH116 - once for each call of a tool: a Path costs more than the look
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None
