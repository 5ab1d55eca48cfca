"""One name is one manifest: another file may not take a deployment over in silence."""

from __future__ import annotations

from typing import Final

from orchestrator.core.errors import NameClash

STDIN: Final = "-"
"""The origin of a manifest that came by standard input: one place, as it were, and no file."""


def check_origin(name: str, applied: str, wanted: str) -> None:
    """Raise ``NameClash`` where ``name`` is applied from another place; an empty origin is unknown, and clashes with none."""
    if applied and wanted and applied != wanted:
        raise NameClash(
            f'"{name}" is already applied from {_told(applied)}, and this is {_told(wanted)}',
            cure=f"give one of them another metadata.name, or take the first down: orchestrator down {name}",
        )


def _told(origin: str) -> str:
    return "standard input" if origin == STDIN else origin
