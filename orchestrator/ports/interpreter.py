"""The Python that has a library for a process of its own: ours, or that of a virtual environment which a variable names, where
the library cannot be installed beside the others."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.core.extras import EXTRAS

FOUNDRY_PYTHON: Final = "FOUNDRY_LOCAL_PYTHON"
"""Names the Python that has Foundry Local's SDK."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python, by its path, and the ``version`` of the library that it has."""

    path: str
    version: str


def interpreter_with(extra: str, variable: str, environment: Mapping[str, str]) -> Interpreter | None:
    """The Python that has the library of an extra: that of ``variable`` where it is set, else ours; ``None`` where it lacks it.
    Looks at files only."""
    row, named = EXTRAS[extra], environment.get(variable, "").strip()
    if not named:
        there = importlib.util.find_spec(row.module) is not None
        return Interpreter(sys.executable, importlib.metadata.version(row.package)) if there else None
    path = Path(named).expanduser().absolute()
    for pattern in ("lib/python3*/site-packages", "Lib/site-packages"):
        for packages in path.parent.parent.glob(pattern):
            if (packages / row.module).is_dir():
                told = next(packages.glob(f"{row.module}-*.dist-info"), None)
                return Interpreter(str(path), told.name.split("-")[1].removesuffix(".dist") if told else "")
    return None
