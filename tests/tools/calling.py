"""Calls a function of a tool as the engine does: its arguments are checked first."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from orchestrator.core.errors import ToolFailed
from orchestrator.core.schema_check import check_arguments
from orchestrator.ports.tool import Tool, ToolContext, ToolFunction, ToolOutcome


def function(tool: Tool, name: str) -> ToolFunction:
    """The function ``<any tool>.<name>``."""
    found = [function for function in tool.functions if function.name.partition(".")[2] == name]
    assert len(found) == 1, f"{name} is not among {[function.name for function in tool.functions]}"
    return found[0]


async def outcome(tool: Tool, name: str, /, call_id: str = "", **arguments: Any) -> ToolOutcome:
    """What the call gives; its value must be plain JSON."""
    called = function(tool, name)
    checked = check_arguments(arguments, called.parameters)
    if checked.fault:
        raise ToolFailed(checked.fault)
    given = await called.run(checked.value, ToolContext(run="run_1", call_id=call_id))
    json.dumps(given.value, allow_nan=False)
    return given


async def call(tool: Tool, name: str, /, call_id: str = "", **arguments: Any) -> Any:
    """Its value alone."""
    return (await outcome(tool, name, call_id, **arguments)).value


@asynccontextmanager
async def closing(tool: Tool) -> AsyncIterator[Tool]:
    """Close it at the end."""
    try:
        yield tool
    finally:
        await tool.aclose()
