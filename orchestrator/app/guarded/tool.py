"""The door around a tool of another package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, get_args

from orchestrator.app.guarded.guard import Guard
from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.ports.tool import (
    Effect,
    OpenTool,
    RunFunction,
    Tool,
    ToolContext,
    ToolFunction,
    ToolOutcome,
    ToolPlace,
)

_EFFECTS: Final = get_args(Effect)


def guarded_tool(name: str, open_inner: Callable[..., Any]) -> OpenTool:
    """Open it; raises ``DeployError`` where it cannot. Its failures are :class:`ToolFailed` from then on."""

    def open_guarded(called: str, options: Mapping[str, Any], place: ToolPlace) -> Tool:
        guard = Guard(name, DeployError)
        with guard.doing(f"open {called}"):
            inner = open_inner(called, options, place)
            given = tuple(inner.functions)
        for function in given:
            _check(guard, function, called)
        return GuardedTool(name, inner, given)

    return open_guarded


def _check(guard: Guard, function: Any, tool: str) -> None:
    """Agents and models find a function by its name, and call it by its parameters."""
    guard.wants(ToolFunction, function)
    guard.wants(str, function.name)
    guard.wants(Mapping, function.parameters)
    if not function.name.startswith(f"{tool}."):
        guard.refuse(f'a function "{function.name}"; the functions of {tool} are called "{tool}.NAME"')
    if function.effect not in _EFFECTS:
        guard.refuse(f"{function.name} the effect {function.effect!r}; there are: {', '.join(_EFFECTS)}")


class GuardedTool:
    """A ``Tool`` whose functions fail like ours."""

    def __init__(self, name: str, inner: Any, functions: tuple[ToolFunction, ...]) -> None:
        self._inner = inner
        self._guard = Guard(name, DeployError)
        self._functions = tuple(replace(each, run=partial(_run, name, each.name, each.run)) for each in functions)

    @property
    def functions(self) -> tuple[ToolFunction, ...]:
        """As they were when it was opened."""
        return self._functions

    async def aclose(self) -> None:
        """Release what it holds. Raises ``DeployError``."""
        with self._guard.doing("close"):
            await self._inner.aclose()


async def _run(
    name: str, called: str, run: RunFunction, arguments: Mapping[str, Any], context: ToolContext
) -> ToolOutcome:
    guard = Guard(f"{called} of {name}", ToolFailed)
    with guard.doing("work"):
        outcome = await run(arguments, context)
    guard.wants(ToolOutcome, outcome)
    return outcome
