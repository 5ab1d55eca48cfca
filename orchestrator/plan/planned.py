"""The plan of an apply, or why it is refused: what serves now is not ended for a server that cannot be started. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from orchestrator.core.blueprint import AgentSpec, Blueprint
from orchestrator.core.errors import DoesNotFit, PlanError
from orchestrator.plan.diff import diff
from orchestrator.plan.generations import berth_of, processes_of, server_of
from orchestrator.plan.observed import ObservedState, Prospect, server_name
from orchestrator.plan.plan import Plan
from orchestrator.plan.serving import silenced
from orchestrator.plan.started_words import port_taken
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
        deployment, _, alias = name.partition("/")
        if prospect.refused:
            raise PlanError(f"the server of {alias}: {prospect.why}", cure=prospect.cure)
        why, cure = _fault(prospect, observed)
        if why and _ends_what_serves(prospect, observed):
            raise PlanError(
                f"the server of {alias} would not start: {why}", cure=f"{cure}; {deployment} goes on as it was"
            )


def _fault(prospect: Prospect, observed: ObservedState) -> tuple[str, str]:
    """With what its start would fail as things are, and what to do; empty where nothing is seen."""
    if prospect.broken:
        return prospect.broken, "put the whole file there, or mend `path`"
    taken = "" if prospect.why else port_taken(prospect, observed.started)
    return (taken, "write another `port`, or none, or end who has it") if taken else ("", "")


def _ends_what_serves(prospect: Prospect, observed: ObservedState) -> bool:
    """Whether the start of it would take the place of a process that serves now, or the want of room would end that."""
    started, deployment = observed.started, prospect.name.partition("/")[0]
    if not prospect.unfit and berth_of(prospect.name, prospect, started).how == "there":
        return False
    mine = [each for name, each in started.items() if name.partition("/")[0] == deployment]
    gone = [each for each in mine if server_of(each.name) not in observed.prospects]
    return any(each.answers and each.use == "live" for each in (*gone, *processes_of(prospect.name, started)))


def _refuse_loss(blueprint: Blueprint, observed: ObservedState, plan: Plan) -> None:
    """Raises where an agent that something answers for would have nothing, for want of a server that cannot be started. What a node
    serves of its fleet, the fleet decides."""
    seen = observed.deployments.get(blueprint.name)
    if blueprint.node or seen is None or seen.digest == blueprint.digest:
        return
    lost = {each.agent for each in silenced(plan.serving, seen.answered)}
    for element in blueprint.of_kind("agent"):
        if str(element.address) not in lost:
            continue
        for alias, prospect in _without_start(cast(AgentSpec, element.spec), blueprint, observed):
            code = f"[{DoesNotFit.code}] " if prospect.unfit else ""
            why = f"the server of {alias} cannot be started: {code}{prospect.why}"
            raise PlanError(
                f"{element.address} would have nothing to answer with; {why}",
                cure=f"{prospect.cure}; {blueprint.name} goes on as it was",
            )


def _without_start(spec: AgentSpec, blueprint: Blueprint, observed: ObservedState) -> Iterator[tuple[str, Prospect]]:
    """Models of an agent whose servers cannot be started, and end what serves now."""
    for alias in with_fallbacks(spec["models"], blueprint):
        prospect = observed.prospects.get(server_name(blueprint.name, alias))
        if prospect is not None and prospect.why and _ends_what_serves(prospect, observed):
            yield alias, prospect
