"""Applies that are refused before anything is done."""

from __future__ import annotations

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, PlanError
from orchestrator.deploy.desired import Desired
from orchestrator.deploy.starting import Rotation
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.plan import Plan


def refuse_mesh(blueprint: Blueprint) -> None:
    """Only what one device can carry is applied."""
    if blueprint.type != "single-device":
        raise DeployError(
            f"{blueprint.name} spans several nodes, and the mesh that joins them is not in this version",
            cure="write `type: single-device` with the agents of one node, and apply that on each node",
        )


def refuse_other(wanted: Wanted, plan: Plan) -> None:
    """Only the plan that was agreed to is carried out."""
    if wanted.expected and wanted.expected != plan.digest:
        raise PlanError("what is there has changed since the plan was shown", cure="look at the new plan and apply it")


def refuse_overtaken(rotation: Rotation, desired: Desired | None, now: Rotation | None) -> None:
    """While servers started for an apply, its deployment may have been taken down, or another apply may have come."""
    if desired is None:
        raise DeployError(f"{rotation.name} was taken down before it was ready", cure="apply it again")
    mine = rotation.wanted.blueprint.digest
    if mine != desired.revision.digest and (now is None or mine != now.wanted.blueprint.digest):
        raise DeployError(f"a later apply of {rotation.name} took the place of this one", cure="apply it again")
