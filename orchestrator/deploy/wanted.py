"""What a user applies, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError
from orchestrator.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user applies. ``origin`` is the absolute path of its first file, or ``-``; ``expected`` is the digest of the
    plan that was shown and agreed to, empty where none was; ``kept`` is the revision that serves, where it shall be the wanted one
    again with the parts that it has."""

    blueprint: Blueprint
    sources: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    cause: str = "apply"
    expected: str = ""
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of an apply: the revision that runs, and what was done for it."""

    revision: int
    plan: Plan


SHARE_CURE: Final = "apply the manifest of the fleet, or give this one another metadata.name"


def refuse_share(name: str, node: str, cure: str) -> None:
    """What a ``node`` serves of its fleet, only the fleet changes: it is signed, and placed by who leads."""
    if node:
        raise DeployError(f"{name} is this node's share of a fleet, which only the fleet changes", cure=cure)


def refuse_mesh(blueprint: Blueprint) -> None:
    """Only what one device can carry is applied: a deployment of one, or a node's share of another."""
    if blueprint.type != "single-device" and not blueprint.node:
        raise DeployError(
            f"{blueprint.name} spans several nodes, and this machine is no node of a fleet",
            cure="orchestrator apply --local runs all nodes here; orchestrator node init makes this machine the first of a fleet",
        )
