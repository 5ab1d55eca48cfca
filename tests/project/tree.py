"""Where the project's files are, as its own tests see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "orchestrator"


def modules() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def package_files() -> list[str]:
    """Every file of the package, by its path from the root, without what Python caches."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(str(path.relative_to(ROOT)) for path in found)


def tracked_files() -> list[Path]:
    """Every file under version control that still exists."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 -- git is wherever the developer has it
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
