"""One search over all the document sets of an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from orchestrator.core.blueprint import ToolSpec
from orchestrator.ports.tool import Tool, ToolContext, ToolFunction, ToolOutcome

SEARCH: Final = "knowledge.search"
DEFAULT_LIMIT: Final = 3


def is_unnamed(spec: ToolSpec) -> bool:
    """Whether this is the built-in knowledge tool without a folder of its own: an agent with sets searches those instead."""
    return spec["kind"] == "knowledge" and "path" not in spec["options"]


def search_of(sets: Sequence[tuple[ToolSpec, Tool]]) -> tuple[ToolSpec, ToolFunction]:
    """``knowledge.search`` over every set: the passages of all of them, the best first, each with its set's name."""
    spec, first = sets[0][0], _search(*sets[0])
    searches = [(spec_["name"], _search(spec_, tool)) for spec_, tool in sets]

    async def search(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        found: list[dict[str, Any]] = []
        for name, function in searches:
            outcome = await function.run(arguments, context)
            found += [{**passage, "set": name} for passage in outcome.value]
        best = sorted(found, key=lambda passage: -passage["score"])[: arguments.get("limit", DEFAULT_LIMIT)]
        return ToolOutcome.shown(best, _lines)

    return spec, replace(first, name=SEARCH, run=search)


def _search(spec: ToolSpec, tool: Tool) -> ToolFunction:
    return next(function for function in tool.functions if function.name == f"{spec['name']}.search")


def _lines(passages: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(map(_line, passages)) or "nothing found"


def _line(passage: Mapping[str, Any]) -> str:
    return f"[{passage['set']}: {passage['source']}, {passage['heading']}] {passage['text']}"
