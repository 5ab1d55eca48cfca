"""Applies that wait for servers: those that are recorded already, and those of which nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.deploy.desired import Desired
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan import operation as op
from orchestrator.plan.plan import Plan, Step


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """An apply that is recorded. ``waits`` are servers that it waits for; without any, it is carried out already. ``agreed`` is
    the plan as it was before servers were rotated for it, ``plan`` what was left then."""

    desired: Desired
    agreed: Plan
    plan: Plan
    began: float
    waits: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Of its deployment."""
        return self.desired.revision.deployment

    @property
    def rotated(self) -> int:
        """Steps that were carried out before it was recorded."""
        return len(server_steps(self.agreed)) - len(server_steps(self.plan))


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """An apply of which nothing is recorded yet: processes that it ``waits`` for are to take over from others, which serve
    until then. Where one of them cannot be had, nothing has changed. ``ends``: some were ended for it, as both cannot be there, and
    are started again where it comes to nothing; ``first`` are those of them that had to be gone before."""

    wanted: Wanted
    plan: Plan
    began: float
    waits: frozenset[str]
    ends: bool = False
    first: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its deployment."""
        return self.wanted.blueprint.name


def server_steps(plan: Plan) -> list[Step]:
    """The steps of a plan that start a server, or end one before that."""
    return [step for step in plan.steps if isinstance(step.operation, op.StartServer | op.EndServer)]


def begun_before(name: str) -> dict[str, Any]:
    """A server whose start was under way before this plan: it has no step of its own."""
    operation = op.StartServer(name.partition("/")[2], "its server")
    return {
        "action": "StartServer",
        "address": str(operation.address),
        "mark": operation.mark,
        "does": operation.does(),
    }
