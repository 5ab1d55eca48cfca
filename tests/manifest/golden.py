"""Golden texts: what a check says is compared as a whole. ``GOLDEN=write pytest …`` writes them anew, to be read in the diff."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.diagnostic import render
from orchestrator.core.errors import ManifestError
from orchestrator.manifest.load import load
from orchestrator.manifest.resolve import resolve
from orchestrator.manifest.resolved import Resolved

ROOT = Path(__file__).parents[2]


def compare(path: Path, text: str) -> None:
    """Hold a text to the golden one in a file."""
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def resolved(*names: str, environment: Mapping[str, str] | None = None) -> Resolved:
    """Load and resolve files."""
    return resolve(load(names, environment=environment or {}))


def refusal(names: Sequence[str], environment: Mapping[str, str] | None = None) -> ManifestError:
    """The error that loading or resolving these files ends in."""
    try:
        resolve(load(names, environment=environment or {}))
    except ManifestError as error:
        return error
    raise AssertionError(f"{', '.join(names)} was accepted")


def said(error: ManifestError) -> str:
    """Everything that an error tells, as a user sees it."""
    return "\n\n".join(render(one, error.sources) for one in error.diagnostics) + "\n"


def refused_text(text: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """What is told of a manifest with this text, called ``shop.yaml``; the working folder must be ``folder``."""
    (folder / "shop.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    return said(refusal(["shop.yaml"], environment))
