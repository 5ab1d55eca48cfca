"""Secrets that cannot be had now: what needs one, a model or a notice to people, is missing, and everything else serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError
from orchestrator.plan.notices import notice_secrets, untold_notes
from orchestrator.ports.provider import Secret

Reveal = Callable[[str, Path], Secret]


class Untold:
    """By deployment: on which ways people are not told that something waits, and why, as of the last look."""

    def __init__(self, reveal: Reveal) -> None:
        self._reveal = reveal
        self._notes: dict[str, list[str]] = {}

    def look(self, blueprint: Blueprint) -> None:
        """Look whether its secrets can be had now."""
        self._notes[blueprint.name] = list(untold_notes(blueprint, locked_secrets(blueprint, self._reveal)))

    def of(self, name: str) -> list[str]:
        """What was found for a deployment that serves or shall."""
        return self._notes.get(name, [])


def locked_secrets(blueprint: Blueprint, reveal: Reveal) -> dict[str, tuple[str, str]]:
    """References that models of the blueprint, or notices to people, need and that do not resolve, each with why and a cure."""
    references = {str(element.spec["api_key"]) for element in blueprint.of_kind("model") if element.spec["api_key"]}
    references.update(*notice_secrets(blueprint.people).values())
    locked: dict[str, tuple[str, str]] = {}
    for reference in sorted(references):
        try:
            reveal(reference, Path(blueprint.folder))
        except DeployError as error:
            locked[reference] = (error.message, error.cure)
    return locked
