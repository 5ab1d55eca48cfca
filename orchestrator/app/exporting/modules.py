"""The files of a Python module and of those that it imports from the same folders. Nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.ports.code import ModuleFile, find_module


def modules_of(module: str, roots: Sequence[Path]) -> list[Path]:
    """The files, sorted: of the module, of the packages that it is in, and of all that these import and that the folders have.
    What an import reckons while it runs is not known."""
    found: dict[str, Path] = {}
    waiting = [*_with_packages(module)]
    while waiting:
        name = waiting.pop()
        place = find_module(name, roots) if name not in found else None
        if isinstance(place, ModuleFile):
            found[name] = place.file
            waiting += _imports(name, place.file)
    return sorted({*found.values()})


def _with_packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _imports(module: str, file: Path) -> Iterator[str]:
    """Names of modules that it may import."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # whoever loads it tells of it
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_packages(alias.name)
        elif isinstance(node, ast.ImportFrom):
            around = _around(package, node.level)
            base = ".".join(part for part in (around, node.module or "") if part)
            for alias in node.names:
                yield from _with_packages(f"{base}.{alias.name}" if base else alias.name)


def _around(package: str, level: int) -> str:
    """The package that a relative import counts from; nothing for an absolute one."""
    if level == 0:
        return ""
    parts = package.split(".")
    return ".".join(parts[: len(parts) - (level - 1)])
