"""Applies that are refused before anything is done, and what serves where one fails."""

from __future__ import annotations

from copy import copy
from typing import Final

from orchestrator.core.errors import DeployError, OrchestratorError, PlanOutdated
from orchestrator.deploy.begun import Rotation
from orchestrator.deploy.desired import Desired
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


def with_what_serves(error: OrchestratorError, name: str, wanted: int | None, serving: int | None) -> OrchestratorError:
    """The fault of an apply whose revision is recorded, with what goes on meanwhile: it is tried again, and what served serves."""
    if wanted is None or wanted == serving:
        return error
    if serving is None:
        more = f"revision {wanted} is tried again by itself; `orchestrator down {name}` gives it up"
    else:
        more = (
            f"revision {serving} serves on; revision {wanted} is tried again by itself, and `orchestrator rollback {name}` "
            "gives it up"
        )
    told = copy(error)
    told.cure = f"{error.cure.removesuffix('.')}; {more}" if error.cure else more
    return told
