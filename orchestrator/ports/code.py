"""Where the code of ``python:`` tools may come from: one rule, for the check of a manifest and for the load itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

NEVER_OURS: Final = sys.stdlib_module_names | {"orchestrator"}
"""Never shadowed, not even while loading: another thread may import one of these at that moment."""


Stamp = tuple[int, int]
"""When a file was changed (nanoseconds since 1970), and its bytes; ``(0, 0)`` where there is none."""


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module's file, and the folder that it is imported from."""

    root: Path
    file: Path


@dataclass(frozen=True, slots=True)
class ModuleRefused:
    """Why a module is not loaded: no such name can be, none of the folders has it, its name is Python's own, or its file is a
    link to ``real``, outside every folder."""

    why: Literal["malformed", "missing", "reserved", "outside"]
    real: Path | None = None


def find_module(module: str, roots: Sequence[Path]) -> ModuleFile | ModuleRefused:
    """The module in the first of the folders that has it. Reads the disk, and runs nothing."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return ModuleRefused("malformed")
    found = next((each for root in roots for each in _files(root, parts) if os.path.isfile(each.file)), None)  # noqa: PTH113 - false for what cannot be looked at
    if found is None:
        return ModuleRefused("missing")
    if parts[0] in NEVER_OURS:
        return ModuleRefused("reserved")
    real = _real(found.file)
    if not any(real.is_relative_to(_real(root)) for root in roots):
        return ModuleRefused("outside", real)
    return found


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it takes a link that leads back to itself


def _files(root: Path, parts: Sequence[str]) -> Iterator[ModuleFile]:
    yield ModuleFile(root, root.joinpath(*parts).with_suffix(".py"))
    yield ModuleFile(root, root.joinpath(*parts, "__init__.py"))


def stamps_of(files: Iterable[str]) -> Mapping[str, Stamp]:
    """What tells a file from what it was before, by its path."""
    return {file: _stamp(file) for file in files}


def _stamp(file: str) -> Stamp:
    try:
        found = os.stat(file)  # noqa: PTH116 - a Path for each of many files takes longer than the look
    except OSError:  # gone, or no longer to be reached: in any case not what was loaded
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
