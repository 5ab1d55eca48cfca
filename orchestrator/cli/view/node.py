"""What `orchestrator node` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.moments import ago

NOTHING = "this machine belongs to no fleet: orchestrator node init begins one, orchestrator node join TOKEN enters one"

PUT_OUT: Final = (
    "has put this node out of the fleet: orchestrator node leave --force, then orchestrator node join TOKEN, with a new token "
    "(on the hub: orchestrator node invite)"
)
WORK: Final = {
    "shared": "takes its share",
    "cordoned": "takes no agent more, and answers for what it holds",
    "drained": "takes nothing new from other nodes",
}


def shown_status(found: Mapping[str, Any] | None) -> str:
    """A fleet's membership, in lines."""
    if found is None:
        return NOTHING
    rows = [("node", found["node"] + (", the hub" if found["hub"] else "")), ("fleet", found["fleet"])]
    rows.append(("since", ago(found["since"])))
    if found["insecure"]:
        rows.append(("links", "plain, on this machine only"))
    else:
        rows.append(("links", f"TLS 1.3; the certificate is valid for {found['certificate_days']} days"))
    rows.append(("hub at", ", ".join(found["hubs"])))
    if not found["hub"]:
        rows.append(("hub", PUT_OUT if found["put_out"] else _answers(found["hub_answers"])))
    rows += [(f"{name} server", _runs(pid, found["why"].get(name, ""))) for name, pid in found["servers"].items()]
    rows.append(("work", WORK[found["work"]]))
    lines = columns(rows)
    if found["nodes"] is not None:
        lines += ["", *columns([("NODE", "JOINED", "STATE"), *map(_row, found["nodes"])])]
    return "\n".join(lines)


def _runs(pid: int, why: str) -> str:
    if pid:
        return f"process {pid}"
    return "does not run" + (f"; it said last: {why}" if why else "")


def shown_invitation(line: str, until: str) -> str:
    """What to type on the next machine."""
    return f"on the next machine, within {until}, once:\n  {line}"


def _row(node: Mapping[str, Any]) -> tuple[str, str, str]:
    state = "left" if node["left"] else "hub" if node["hub"] else "belongs"
    return node["node"], ago(node["joined"]), state


def _answers(answers: bool | None) -> str:
    if answers is None:
        return "is not asked: the leaf server does not run"
    return "answers" if answers else "does not answer"
