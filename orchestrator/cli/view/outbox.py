"""What waits for targets that are away, as a list and one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.cli.view.columns import columns, with_nodes
from orchestrator.cli.view.moments import ago, ahead, clock
from orchestrator.cli.view.terminal import Terminal
from orchestrator.cli.view.texts import in_one_line, shortened

NOTHING: Final = "nothing waits for its target"
LONGEST: Final = 60
"""Characters of a request in the list."""


def shown_list(deliveries: Sequence[Mapping[str, Any]], terminal: Terminal) -> str:
    """A line for each."""
    if not deliveries:
        return NOTHING
    head = ("DELIVERY", "DEPLOYMENT", "AGENT", "STATE", "SINCE", "NEXT TRY", "EXPIRES", "REQUEST")
    first, *rest = columns(with_nodes([head, *map(_row, deliveries)], deliveries))
    return "\n".join([terminal.paint("bold", first), *map(terminal.foreign, rest)])


def _row(delivery: Mapping[str, Any]) -> tuple[str, ...]:
    waits = delivery["state"] == "waiting"
    again, expires = (_next_try(delivery), ahead(delivery["expires"])) if waits else ("-", "-")
    what = shortened(in_one_line(delivery["request"]), LONGEST)
    place = (delivery["id"], delivery["deployment"], delivery["agent"], delivery["state"])
    return *place, ago(delivery["created"]), again, expires, what


def _next_try(delivery: Mapping[str, Any]) -> str:
    """What is behind another one of its agent is tried in its turn: nobody knows when that is."""
    if delivery["again"] is None:
        return "once served"
    return "in its turn" if delivery.get("behind") else ahead(delivery["again"])


def shown(delivery: Mapping[str, Any], terminal: Terminal) -> str:
    """All that is known of it."""
    head = f"{delivery['id']}: a request for {delivery['agent']}, {delivery['state']}"
    lines = columns(list(_facts(delivery)), indent="  ")
    done = [(clock(each["at"]), each["what"], in_one_line(each["detail"])) for each in delivery["audit"]]
    lines += ["", "  what was done", *columns(done, indent="    ")]
    return "\n".join([terminal.paint("bold", head), *map(terminal.foreign, lines)])


def _facts(delivery: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "deployment", f"{delivery['deployment']}, revision {delivery['revision']}"
    if delivery.get("node"):
        yield "node", delivery["node"]
    yield "run", delivery["run"] + (f", session {delivery['session']}" if delivery["session"] else "")
    yield "request", in_one_line(delivery["request"])
    yield "data class", delivery["data_class"]
    yield "since", clock(delivery["created"])
    yield "away", in_one_line(delivery["away"])
    if delivery.get("there"):
        yield "waits on", f"node {delivery['there']}, as {delivery['part']}"
        if delivery["error"]:
            yield "last heard", in_one_line(delivery["error"])
    if delivery["tries"]:
        yield (
            "tries",
            f"{delivery['tries']}" + (f"; the last: {in_one_line(delivery['error'])}" * bool(delivery["error"])),
        )
    if delivery["state"] == "waiting":
        behind = delivery.get("behind")
        yield (
            "next try",
            f"after {behind}, at the earliest {ahead(delivery['again'])}" if behind else _next_try(delivery),
        )
        yield "expires", f"{clock(delivery['expires'])}, {ahead(delivery['expires'])}"
    if delivery["ended"]:
        yield "ended", clock(delivery["ended"]) + (f" by {delivery['by']}" if delivery["by"] else "")
