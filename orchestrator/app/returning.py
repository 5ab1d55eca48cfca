"""What apply would do while no runtime runs: it starts one first, and that brings back what was applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.app.wiring import recompile
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import OrchestratorError
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.plan import Plan
from orchestrator.plan.planned import plan_of
from orchestrator.plan.returning import returned, starting
from orchestrator.ports.host import DATABASE_NAME, Folders
from orchestrator.ports.store import Revision

NOTE: Final = (
    "no runtime runs: apply starts one, which first brings back revision {number} (orchestrator runtime start too)"
)
UNREAD: Final = "no runtime runs, and revision {number}, which is applied, cannot be read ({why}): apply replaces it"

Observe = Callable[[Blueprint], ObservedState]


@dataclass(frozen=True, slots=True)
class Returning:
    """The applied revision of a deployment that does not run, because no runtime does."""

    revision: Revision

    def planned(self, blueprint: Blueprint, observe: Observe) -> Plan:
        """What apply would do once this revision is back. ``observe`` looks at what is there for a blueprint."""
        state, number = observe(blueprint), self.revision.number
        try:
            before = _blueprint(self.revision)
        except OrchestratorError as error:
            return _noted(plan_of(blueprint, state), UNREAD.format(number=number, why=error.message))
        around = starting(state if before.digest == blueprint.digest else observe(before))
        live = {before.name: returned(before, number, around)}
        plan = plan_of(blueprint, replace(state, deployments=live, started=around.started))
        return replace(_noted(plan, NOTE.format(number=number)), returning=number)


def returning(folders: Folders, name: str) -> Returning | None:
    """The revision that comes back under this name with the next runtime. Raises ``StateUnusable`` where none starts."""
    from orchestrator.plugins.stores.revisions import desired_at

    revisions = desired_at(folders.state / DATABASE_NAME)
    return next((Returning(each) for each in revisions if each.deployment == name), None)


def _blueprint(revision: Revision) -> Blueprint:
    try:
        return Blueprint.from_json(revision.blueprint)
    except (ValueError, KeyError, TypeError):
        return recompile(revision)


def _noted(plan: Plan, note: str) -> Plan:
    return replace(plan, notes=(note, *plan.notes))
