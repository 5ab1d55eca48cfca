"""What comes back with the runtime, as if it ran: while none runs, a plan tells what apply would change of that. Pure."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import bind_all
from orchestrator.plan.observed import ObservedDeployment, ObservedState, StartedServer
from orchestrator.plan.serving import answered, who_serves
from orchestrator.plan.wanted import wanted_parts

WITH_RUNTIME = "it is started with the runtime"


def returned(before: Blueprint, number: int, around: ObservedState) -> ObservedDeployment:
    """Revision ``number`` of a deployment as a runtime brings it back into what is ``around`` (see :func:`starting`)."""
    bound = bind_all(before, around)
    parts = wanted_parts(before, bound, around.contents)
    return ObservedDeployment(before.name, number, before.digest, parts, answered=answered(who_serves(before, bound)))


def starting(around: ObservedState) -> ObservedState:
    """The same with every server begun that can be started: who brings a deployment back begins its servers first."""
    begun = {
        name: StartedServer(name, each.kind, each.digest, "waiting", WITH_RUNTIME)
        for name, each in around.prospects.items()
        if not each.why and name not in around.started
    }
    return replace(around, started={**around.started, **begun})
