"""Tools that are only a name become built-ins; people need tickets, document sets need the knowledge tool."""

from __future__ import annotations

from typing import Any, Final, get_args

from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.tool import BuiltinTool, ToolEntry

BUILTINS: Final[tuple[str, ...]] = get_args(BuiltinTool)


def settle_tools(draft: Draft) -> None:
    """Every tool that an agent names exists, or is told later as unknown."""
    for name, tool in draft.tools.items():
        if tool.use is None and tool.python is None and name in BUILTINS:
            draft.tools[name] = tool.model_copy(update={"use": name})
            draft.infer(f"tool.{name}", "use", name, "the built-in of this name")
    for name, agent in draft.agents.items():
        changed = _with_needed_tools(draft, agent)
        draft.agents[name] = changed
        for number, tool_name in enumerate(changed.tools):
            _add_builtin(draft, tool_name, f"agent.{name}", number)


def _with_needed_tools(draft: Draft, agent: AgentEntry) -> AgentEntry:
    at = f"agent.{agent.name}"
    changes: dict[str, Any] = {}
    tools = list(agent.tools)
    if agent.human is not None:
        _need(draft, at, tools, "tickets", "a person answers through tickets")
    if agent.knowledge:
        _need(draft, at, tools, "knowledge", "it has document sets")
    elif draft.knowledge and _searches_everything(draft, tools):
        changes["knowledge"] = list(draft.knowledge)
        draft.infer(at, "knowledge", changes["knowledge"], "it has the knowledge tool and names no set: all of them")
    if tools != agent.tools:
        changes["tools"] = tools
    return agent.model_copy(update=changes) if changes else agent


def _need(draft: Draft, subject: str, tools: list[str], builtin: str, why: str) -> None:
    if not any(kind_of(draft, tool) == builtin for tool in tools):
        tools.append(builtin)
        draft.infer(subject, "tools", list(tools), why)


def _searches_everything(draft: Draft, tools: list[str]) -> bool:
    return any(
        kind_of(draft, name) == "knowledge" and not (name in draft.tools and draft.tools[name].path) for name in tools
    )


def kind_of(draft: Draft, name: str) -> str:
    """The built-in that a tool of the manifest is, ``python``, or its own name where it is unknown."""
    tool = draft.tools.get(name)
    if tool is None:
        return name
    return "python" if tool.python else tool.use or name


def _add_builtin(draft: Draft, name: str, by: str, number: int) -> None:
    """``by``: the agent that names it, as its tool of this number."""
    if name in BUILTINS and name not in draft.tools:
        draft.tools[name] = ToolEntry.model_validate({"name": name, "use": name})
        draft.mention(f"tool.{name}", by, "tools", number)
        draft.infer(f"tool.{name}", "name", name, f"{by} has it")
        draft.infer(f"tool.{name}", "use", name, "the built-in of this name")
