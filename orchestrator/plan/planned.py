"""The plan of an apply, or why it is refused: what serves now is not ended for a server that cannot be started. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from orchestrator.core.address import Address
from orchestrator.core.blueprint import AgentSpec, Blueprint
from orchestrator.core.errors import DoesNotFit, PlanError
from orchestrator.plan.diff import diff
from orchestrator.plan.generations import berth_of, processes_of, server_of
from orchestrator.plan.observed import ObservedState, Prospect, server_name
from orchestrator.plan.plan import Plan
from orchestrator.plan.serving import NOTHING
from orchestrator.plan.wanted import with_fallbacks


def plan_of(blueprint: Blueprint, observed: ObservedState) -> Plan:
    """What an apply of this would do. Raises ``PlanError`` where the manifest asks for something that a server cannot have, and
    where a server that it asks for cannot be started and what answers now would go for it."""
    refuse_prospects(observed)
    plan = diff(blueprint, observed)
    _refuse_loss(blueprint, observed, plan)
    return plan


def refuse_prospects(observed: ObservedState) -> None:
    """Raise ``PlanError`` where the manifest asks for something that a server cannot have: going on without it would not
    be what the user wrote."""
    for name, prospect in observed.prospects.items():
        if prospect.refused:
            raise PlanError(f"the server of {name.partition('/')[2]}: {prospect.why}", cure=prospect.cure)
        if prospect.broken and _ends_what_serves(prospect, observed):
            deployment, _, alias = name.partition("/")
            raise PlanError(
                f"the server of {alias} would not start: {prospect.broken}",
                cure=f"put the whole file there, or mend `path`; {deployment} goes on as it was",
            )


def _ends_what_serves(prospect: Prospect, observed: ObservedState) -> bool:
    """Whether the start of it would take the place of a process that serves now."""
    started, deployment = observed.started, prospect.name.partition("/")[0]
    if berth_of(prospect.name, prospect, started).how == "there":
        return False
    mine = [each for name, each in started.items() if name.partition("/")[0] == deployment]
    gone = [each for each in mine if server_of(each.name) not in observed.prospects]
    return any(each.answers and each.use == "live" for each in (*gone, *processes_of(prospect.name, started)))


def _refuse_loss(blueprint: Blueprint, observed: ObservedState, plan: Plan) -> None:
    """Raises where an agent that something answers for would have nothing, for want of a server that cannot be started."""
    seen = observed.deployments.get(blueprint.name)
    lost = {each.agent for each in plan.serving if each.by == NOTHING}.intersection(seen.answered if seen else ())
    for element in blueprint.of_kind("agent"):
        spec = cast(AgentSpec, element.spec)
        address = Address.of("agent", spec["name"])
        for alias, prospect in _without_start(spec, blueprint, observed) if str(address) in lost else ():
            code = f"[{DoesNotFit.code}] " if prospect.unfit else ""
            raise PlanError(
                f"{address} would have nothing to answer with; the server of {alias} cannot be started: {code}{prospect.why}",
                cure=f"{prospect.cure}; {blueprint.name} goes on as it was",
            )


def _without_start(spec: AgentSpec, blueprint: Blueprint, observed: ObservedState) -> Iterator[tuple[str, Prospect]]:
    """Models of an agent whose servers cannot be started."""
    for alias in with_fallbacks(spec["models"], blueprint):
        prospect = observed.prospects.get(server_name(blueprint.name, alias))
        if prospect is not None and prospect.why:
            yield alias, prospect
