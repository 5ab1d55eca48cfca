"""Plans and who serves whom, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal
from orchestrator.plan.plan import Plan

_STYLES: Final = {"+": "green", "~": "yellow", "-": "red"}


def shown_plan(plan: Plan, terminal: Terminal) -> str:
    """The plan's own text, its marks painted, and below it who will serve whom."""
    lines = [_painted(line, terminal) for line in str(plan).split("\n")]
    serving = [entry.as_json() for entry in plan.serving]
    return "\n".join([*lines, "", "who answers:", *shown_serving(serving, terminal)] if serving else lines)


def shown_serving(serving: Sequence[Mapping[str, Any]], terminal: Terminal) -> list[str]:
    """One line for each agent; what it would gain from a missing model, and the line to type for that."""
    rows = [(entry["agent"], _by(entry, terminal)) for entry in serving]
    return columns(rows, indent="  ")


def _by(entry: Mapping[str, Any], terminal: Terminal) -> str:
    by = entry["by"] if entry["by"] != "nothing" else terminal.paint("red", "nothing yet")
    gain = f"; {entry['gain']}" if entry["gain"] else ""
    cure = f": {terminal.paint('cyan', entry['cure'])}" if entry["cure"] else ""
    return f"{by}{gain}{cure}"


def _painted(line: str, terminal: Terminal) -> str:
    number, dot, rest = line.partition(". ")
    if dot and rest[:1] in _STYLES and number.strip().isdigit():
        return f"{number}. {terminal.paint(_STYLES[rest[0]], rest[0])}{rest[1:]}"
    return line
