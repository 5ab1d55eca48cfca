"""Carries the steps of a plan out, one handler an operation. It takes no decisions.

Steps that start servers are not here: they come first, take long, and what follows is planned anew (``starting``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, Final

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.deploy.rollout import Rollout
from orchestrator.plan import operation as op
from orchestrator.plan.plan import Plan, Step

declare("execute.step-begun", "execute.step-done")

Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes the state of a step (``started``, ``done``, ``failed``) and its plain form."""
Handler = Callable[[Rollout, Any], Awaitable[str | None]]
"""Gives what goes on after the step, where it only begins something."""


async def carry_out(plan: Plan, rollout: Rollout, tell: Tell) -> None:
    """Every step in order. Where one fails, what it and those before have opened is given up and the error goes on: what
    served before serves still."""
    for step in plan.steps:
        tell("started", step.as_json())
        began = perf_counter()
        failpoint("execute.step-begun")
        try:
            goes_on = await _HANDLERS[type(step.operation)](rollout, step.operation)
        except BaseException as error:
            tell("failed", _failure(step, error))
            await rollout.give_up()
            raise
        failpoint("execute.step-done")
        told = {"took_ms": round((perf_counter() - began) * 1e3, 3)}
        tell("done", step.as_json() | told | ({"goes_on": goes_on} if goes_on else {}))


def _failure(step: Step, error: BaseException) -> dict[str, Any]:
    if isinstance(error, OrchestratorError):
        return step.as_json() | {"error": error.as_json()}
    return step.as_json() | {"error": {"message": f"{type(error).__name__}: {error}"}}


async def _bind(rollout: Rollout, operation: op.BindModel | op.ServeWithoutModel) -> None:
    rollout.draft.bind(operation.bound)


async def _open_tool(rollout: Rollout, operation: op.OpenTool) -> None:
    await rollout.draft.open_tool(operation.name)


async def _index(rollout: Rollout, operation: op.IndexKnowledge) -> None:
    await rollout.draft.index(operation.name)


async def _make_agent(rollout: Rollout, operation: op.StartAgent) -> None:
    await rollout.draft.make_agent(operation.name)


async def _fit(rollout: Rollout, operation: op.FitRouter) -> None:
    await rollout.draft.fit_router(operation.name)


async def _open_door(rollout: Rollout, _: op.OpenDoor) -> None:
    await rollout.open_door()


async def _activate(rollout: Rollout, _: op.ActivateRevision) -> None:
    rollout.activate()


async def _drain(rollout: Rollout, _: op.DrainRevision) -> str | None:
    left = rollout.drain()
    return f"{left} request{'s' if left != 1 else ''} in work" if left else None


async def _take_down(rollout: Rollout, _: op.TakeDown) -> None:
    rollout.remove()


async def _follows(rollout: Rollout, operation: op.Operation) -> None:
    """Nothing of its own: the new revision lacks the part, and the drain closes what it held."""
    del rollout, operation


_HANDLERS: Final[Mapping[type[op.Operation], Handler]] = {
    op.StopServer: _follows,
    op.EndServer: _follows,
    op.BindModel: _bind,
    op.RebindModel: _bind,
    op.ServeWithoutModel: _bind,
    op.FetchModel: _bind,
    op.ForgetModel: _follows,
    op.OpenTool: _open_tool,
    op.ReplaceTool: _open_tool,
    op.CloseTool: _follows,
    op.IndexKnowledge: _index,
    op.ReindexKnowledge: _index,
    op.CloseKnowledge: _follows,
    op.StartAgent: _make_agent,
    op.ReplaceAgent: _make_agent,
    op.RemoveAgent: _follows,
    op.FitRouter: _fit,
    op.RefitRouter: _fit,
    op.RemoveRouter: _follows,
    op.OpenDoor: _open_door,
    op.CloseDoor: _follows,
    op.ActivateRevision: _activate,
    op.SwitchRevision: _activate,
    op.DrainRevision: _drain,
    op.TakeDown: _take_down,
}
