"""Secrets of models that cannot be had now: their models are missing, and everything else serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError
from orchestrator.ports.provider import Secret


def locked_secrets(blueprint: Blueprint, reveal: Callable[[str, Path], Secret]) -> dict[str, tuple[str, str]]:
    """References that models of the blueprint need and that do not resolve, each with why and a cure."""
    references = {str(element.spec["api_key"]) for element in blueprint.of_kind("model") if element.spec["api_key"]}
    locked: dict[str, tuple[str, str]] = {}
    for reference in sorted(references):
        try:
            reveal(reference, Path(blueprint.folder))
        except DeployError as error:
            locked[reference] = (error.message, error.cure)
    return locked
