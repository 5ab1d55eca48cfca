"""How many processes of one server its manifest lets there be. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.blueprint import ModelSpec
from orchestrator.plan.observed import StartedServer


def same_port(spec: ModelSpec, used: Sequence[StartedServer]) -> str:
    """Why a new process of it cannot come beside these: they have the port that is written."""
    port = spec["server"]["port"] if spec["server"] else None
    if port and any(each.url.endswith(f":{port}") for each in used):
        return f"both would need port {port} (without `port` each gets a free one)"
    return ""


def one_port(spec: ModelSpec) -> str:
    """Why there will never be more of it, where its manifest asks for more."""
    server = spec["server"]
    if server is None or not server["port"] or server.get("max_instances", 1) == 1:
        return ""
    return f"one process at most, not {server.get('max_instances')}: two cannot listen at port {server['port']}; leave `port` out"


def most(spec: ModelSpec) -> int:
    """Processes that may run at once. Two cannot listen at a port that is written."""
    server = spec["server"]
    return server.get("max_instances", 1) if server and not server["port"] else 1


def as_it_runs(process: StartedServer) -> str:
    """What a process is called beside the one that is to come instead of it."""
    return f"{process.name.partition('/')[2]} as it runs"
