"""Keys that are accepted without an effect: each is told, so that nothing is ignored in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.core.diagnostic import Severity
from orchestrator.manifest.faults import note, warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.marks import Path
from orchestrator.manifest.planned import NOT_ACTED_ON, NOT_ACTED_ON_BY_ROUTERS

HARDWARE: Final = ("deployment", "hardware")


def tell_what_is_not_acted_on(draft: Draft) -> None:
    """A warning or note for every such key that was written."""
    for pattern, why, severity in NOT_ACTED_ON:
        for path in _matching(draft, pattern):
            if path == HARDWARE and not isinstance(draft.deployment.hardware, str):
                continue  # its numbers are reckoned with
            make = warning if severity is Severity.WARNING else note
            message = f'"{path[-1]}" is accepted, not acted on yet'
            place = draft.loaded.marks.key(path)
            if any(other.place == place for other in draft.diagnostics):
                continue
            draft.add(make("ORC139", message, place, why, ""), _subject(path))
    for router in draft.agents.values():
        if router.role == "router":
            _tell_router(draft, draft.address(router))


def _tell_router(draft: Draft, at: str) -> None:
    for key in NOT_ACTED_ON_BY_ROUTERS:
        if draft.holds(at, key):
            place = draft.loaded.marks.key(draft.path(at, key))
            draft.add(
                warning("ORC139", f'"{key}" is accepted, not acted on yet', place, "a router only chooses", ""), at
            )


def _matching(draft: Draft, pattern: str) -> Iterator[Path]:
    """The written paths that a pattern of the table stands for."""
    paths: list[Path] = [()]
    for step in pattern.split("."):
        key = step.removesuffix("[]")
        paths = [(*path, key) for path in paths if draft.loaded.marks.holds((*path, key))]
        if step.endswith("[]"):
            paths = [(*path, number) for path in paths for number in range(draft.loaded.marks.length(path))]
    yield from paths


def _subject(path: Path) -> str:
    return ".".join(str(step) for step in path[:-1])
