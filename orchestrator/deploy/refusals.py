"""Applies that are refused before anything is done."""

from __future__ import annotations

from typing import Final

from orchestrator.core.errors import DeployError, PlanOutdated
from orchestrator.deploy.desired import Desired
from orchestrator.deploy.starting import Rotation
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.plan import Plan

OUTDATED: Final = "another command, or a model server, changed what is there since the plan was made"


def refuse_other(wanted: Wanted, plan: Plan) -> None:
    """Only the plan that was agreed to is carried out."""
    if wanted.expected and wanted.expected != plan.digest:
        raise PlanOutdated(OUTDATED, cure="apply again: a new plan is made")


def refuse_overtaken(rotation: Rotation, desired: Desired | None, now: Rotation | None) -> None:
    """While servers started for an apply, its deployment may have been taken down, or another apply may have come."""
    if desired is None:
        raise DeployError(f"{rotation.name} was taken down before it was ready", cure="apply it again")
    mine = rotation.wanted.blueprint.digest
    if mine != desired.revision.digest and (now is None or mine != now.wanted.blueprint.digest):
        raise DeployError(f"a later apply of {rotation.name} took the place of this one", cure="apply it again")
