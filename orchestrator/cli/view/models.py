"""What the model servers of this machine have, for people and as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.app.inventory import INSTALL, aliases_of, applied_names, plain_netloc
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.moments import ago
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.in_line import in_line
from orchestrator.core.quantity import format_duration, format_size

if TYPE_CHECKING:
    from orchestrator.app.model_servers import Servers

_ACTS = {"load": "loads", "pull": "pulls", "remove": "removes"}


def listed(servers: Servers, applied: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every server with its models; each with the ``aliases`` of the catalogue that it stands for, and the ``applied``
    deployments that use it. ``resting`` are servers of ours that are started by the next request."""
    used = applied_names(applied)
    found = []
    for server in servers.found:
        value = server.as_json()
        for model in value["models"]:
            model["aliases"] = aliases_of(server.provider, model["id"])
            place = plain_netloc(urlsplit(server.api_base).netloc)
            model["applied"] = used.get((server.provider, place, model["id"]), [])
        found.append(value)
    return {"servers": found, "resting": resting(applied), "silent": dict(servers.silent)}


def resting(applied: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The servers that are started for what is applied, and rest now."""
    return [
        {
            "deployment": each["name"],
            "model": server["alias"],
            "provider": server["kind"],
            "since": server["rests_since"],
        }
        for each in applied
        for server in each.get("servers", ())
        if server.get("rests_since")
    ]


def shown_list(found: Mapping[str, Any], terminal: Terminal) -> str:
    """A block for each server, then those of ours that rest."""
    asleep = [shown_resting(each) for each in found.get("resting", ())]
    if not found["servers"] and not asleep:
        looked = ", ".join(found["silent"]) or "nowhere"
        return f"no model server answers (looked at {looked})\n{INSTALL}"
    blocks = ["\n".join(_server(server, terminal)) for server in found["servers"]]
    return "\n\n".join([*blocks, *(["\n".join(asleep)] if asleep else [])])


def shown_resting(server: Mapping[str, Any]) -> str:
    """In a line."""
    since, what = ago(server["since"]).removesuffix(" ago"), f"{server['model']} of {server['deployment']}"
    return f"{what} ({server['provider']}) rests since {since}: the next request starts its server"


def shown_loaded(found: Mapping[str, Any]) -> str:
    """What loading gave."""
    facts = [
        f"{format_size(found['memory'])} memory" if found["memory"] else "",
        f"{found['context']} tokens a request" if found["context"] else "",
        f"in {format_duration(found['seconds'])}" if found["seconds"] else "it was loaded already",
    ]
    return f"{found['server']} has loaded {in_line(found['model'])}: {', '.join(filter(None, facts))}"


def _server(server: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    version = f" {in_line(server['version'])}" if server["version"] else ""
    does = [word for act, word in _ACTS.items() if server["capabilities"].get(act) == "yes"]
    can = f" ({', '.join(does)})" if does else ""
    yield f"{terminal.paint('bold', server['provider'] + version)} at {server['url']}{can}"
    if not server["models"]:
        yield "  no model"
        return
    rows = [("MODEL", "STATE", "SIZE", "BUILD", "CONTEXT", "KNOWN AS", "USED BY"), *map(_row, server["models"])]
    head, *lines = columns(rows, indent="  ")
    yield terminal.paint("dim", head)
    yield from lines


def _row(model: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        in_line(model["id"]),
        "elsewhere" if model["remote"] else {True: "loaded", False: "on disk"}.get(model["loaded"], "?"),
        format_size(model["size"]) if model["size"] else "?",
        in_line(model["quantization"] or "?"),
        str(model["context"] or "?"),
        ", ".join(model["aliases"]) or "-",
        ", ".join(model["applied"]) or "-",
    )
