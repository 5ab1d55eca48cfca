"""What waits for people, as a list and one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.cli.view.columns import columns, with_nodes
from orchestrator.cli.view.moments import ago, ahead, clock
from orchestrator.cli.view.terminal import Terminal
from orchestrator.cli.view.texts import in_one_line, shortened

NOTHING: Final = "nothing waits for a person"
DOWN: Final = "{0} is down: apply it again before you decide, or the run ends with ORC543 whatever is decided"
DOWN_QUESTION: Final = "{0} is down: an answer ends the run all the same"
NOBODY: Final = "{id} is {state}, and nobody serves {deployment} now: run {run} ends with ORC543, and nothing is called"
CURE: Final = ". Apply {deployment} (orchestrator apply FILE), then ask again"
LONGEST: Final = 60
"""Characters of a request in the list."""


def shown_list(approvals: Sequence[Mapping[str, Any]], terminal: Terminal) -> str:
    """A line for each."""
    if not approvals:
        return NOTHING
    head = ("APPROVAL", "DEPLOYMENT", "WAITS FOR", "STATE", "SINCE", "EXPIRES", "REQUEST")
    first, *rest = columns(with_nodes([head, *map(_row, approvals)], approvals))
    down = dict.fromkeys(each["deployment"] for each in approvals if is_left(each) and each["kind"] == "call")
    notes = [DOWN.format(name) for name in down]
    return "\n".join([terminal.paint("bold", first), *map(terminal.foreign, [*rest, *notes])])


def is_left(approval: Mapping[str, Any]) -> bool:
    """Whether it waits, and its deployment is down: nobody acts on what is decided of a call."""
    return approval["state"] == "pending" and not approval.get("applied", True)


def _row(approval: Mapping[str, Any]) -> tuple[str, ...]:
    waits = (
        f"leave to call {approval['function']}" if approval["kind"] == "call" else f"an answer ({approval['queue']})"
    )
    expires = ahead(approval["expires"]) if approval["state"] == "pending" else "-"
    since, short = ago(approval["created"]), shortened(in_one_line(approval["request"]), LONGEST)
    state = f"{approval['state']} (down)" if is_left(approval) else approval["state"]
    return approval["id"], approval["deployment"], waits, state, since, expires, short


def shown(approval: Mapping[str, Any], terminal: Terminal) -> str:
    """All that a person needs to decide."""
    head = f"{approval['id']}: {_what(approval)}, {approval['state']}"
    lines = columns(list(_facts(approval)), indent="  ")
    if approval["conversation"]:
        lines += ["", "  conversation", *(f"    {line}" for line in approval["conversation"].splitlines())]
    if approval["kind"] == "call":
        text = json.dumps(approval["arguments"], indent=2, ensure_ascii=False, sort_keys=True)
        lines += ["", "  arguments", *(f"    {line}" for line in text.splitlines())]
    return "\n".join([terminal.paint("bold", head), *map(terminal.foreign, lines)])


def decided(approval: Mapping[str, Any]) -> str:
    """What a decision comes to."""
    if not approval["applied"] and approval["kind"] == "call":
        return (NOBODY + (CURE if approval["state"] == "approved" else "")).format_map(approval)
    goes_on = "goes on" if approval["applied"] else "ends with that"
    return f"{approval['id']} is {approval['state']}; run {approval['run']} {goes_on}"


def _what(approval: Mapping[str, Any]) -> str:
    return f"leave to call {approval['function']}" if approval["kind"] == "call" else "a question"


def _facts(approval: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "deployment", f"{approval['deployment']}, revision {approval['revision']}, agent {approval['agent']}"
    if approval.get("node"):
        yield "node", approval["node"]
    yield "queue", approval["queue"]
    yield "run", approval["run"] + (f", session {approval['session']}" if approval["session"] else "")
    yield "since", clock(approval["created"])
    if approval["state"] == "pending":
        yield "expires", f"{clock(approval['expires'])}, {ahead(approval['expires'])}"
    if is_left(approval):
        yield "down", (DOWN if approval["kind"] == "call" else DOWN_QUESTION).format(approval["deployment"])
    yield "data class", approval["data_class"]
    yield "request", in_one_line(approval["request"])
    if approval["why"]:
        yield "why", approval["why"]
    if approval["kind"] == "call":
        yield "written by", approval["source"]
        yield "effect", approval["effect"]
        yield "digest", approval["digest"]
    if approval["decided"]:
        yield "decided", clock(approval["decided"]) + (f" by {approval['by']}" if approval["by"] else "")
    if approval["answer"]:
        yield "said", in_one_line(approval["answer"])
    if approval["begun"]:
        yield "called", clock(approval["begun"])
    if approval["delivered"]:
        yield "run ended", clock(approval["delivered"])
