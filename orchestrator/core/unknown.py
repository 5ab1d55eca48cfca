"""The refusal of a deployment's name that nothing applied has, the same at every door."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.errors import NoSuchDeployment
from orchestrator.core.names import did_you_mean


def no_deployment(name: str, applied: Iterable[str]) -> NoSuchDeployment:
    """The error for ``name``: its cure is the nearest name of those that are applied, else all of them."""
    known = list(applied)
    there = f"applied deployments: {', '.join(known)}" if known else "nothing is applied: orchestrator apply FILE"
    return NoSuchDeployment(f'no deployment is called "{name}"', cure=did_you_mean(name, known) or there)
