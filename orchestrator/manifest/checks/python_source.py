"""What a Python tool's source shows without being run: functions that no schema can be made of."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path


def unfit_parameters(file: Path, function: str) -> tuple[str, ...]:
    """What is wrong with the parameters of a function at the top of a module: no type hint, or not to be given by name. A decorator
    may change them, so a decorated function is left to the load."""
    try:
        return _faults_in(file, file.stat().st_mtime_ns).get(function, ())
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _faults_in(file: Path, _changed: int) -> dict[str, tuple[str, ...]]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}  # the tool's own start tells it better
    return {
        node.name: tuple(_faults(node.args))
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.decorator_list
    }


def _faults(arguments: ast.arguments) -> Iterator[str]:
    unnamed = [*arguments.posonlyargs, *(one for one in (arguments.vararg, arguments.kwarg) if one is not None)]
    for one in unnamed:
        yield f"the parameter {one.arg} cannot be given by name"
    for one in (*arguments.args, *arguments.kwonlyargs):
        if one.annotation is None:
            yield f"the parameter {one.arg} has no type hint"
