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
    """By deployment: on which ways people are not told that something waits, and why."""

    def __init__(self, reveal: Reveal) -> None:
        self._reveal = reveal
        self._lacking: dict[str, Blueprint] = {}

    def look(self, blueprint: Blueprint) -> None:
        """Look whether its secrets can be had now."""
        if self._notes(blueprint):
            self._lacking[blueprint.name] = blueprint
        else:
            self._lacking.pop(blueprint.name, None)

    def of(self, name: str) -> list[str]:
        """Of a deployment that serves or shall. What lacked is looked for again: the next notice finds a secret as soon as it is
        set, and so nobody is told any longer that it is not."""
        blueprint = self._lacking.get(name)
        notes = self._notes(blueprint) if blueprint else []
        if not notes:
            self._lacking.pop(name, None)
        return notes

    def _notes(self, blueprint: Blueprint) -> list[str]:
        return list(untold_notes(blueprint, locked_secrets(blueprint, self._reveal)))


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
