"""What runs and how well, as plain values for `status`."""

from __future__ import annotations

from typing import Any

from orchestrator.deploy.desired import Desired
from orchestrator.deploy.live import Live
from orchestrator.deploy.reconcile import Reconciler


def status(reconciler: Reconciler) -> list[dict[str, Any]]:
    """Every deployment that is desired or still serves, by name."""
    desired = {each.revision.deployment: each for each in reconciler.desired.all()}
    unreadable = reconciler.desired.unreadable
    names = sorted({*desired, *reconciler.table.names(), *unreadable})
    return [_one(reconciler, name, desired.get(name)) for name in names]


def _one(reconciler: Reconciler, name: str, desired: Desired | None) -> dict[str, Any]:
    live = reconciler.table.get(name)
    observed = reconciler.table.observed().get(name)
    trouble = reconciler.trouble.get(name)
    error = trouble.error.as_json() if trouble else _unread(reconciler, name)
    return {
        "name": name,
        "state": _state(live, desired, error),
        "revision": desired.revision.number if desired else None,
        "serving": observed.revision if observed else None,
        "since": desired.revision.created if desired else None,
        "origin": desired.revision.origin if desired else "",
        "cause": desired.revision.cause if desired else "",
        "in_flight": observed.in_flight if observed else 0,
        "draining": list(observed.draining) if observed else [],
        "agents": [each.as_json() for each in live.agents] if live else [],
        "models": _models(live) if live else [],
        "port": live.deployment.blueprint.serve.port if live else None,
        "error": error,
    }


def _state(live: Live | None, desired: Desired | None, error: dict[str, Any] | None) -> str:
    """``running``, ``degraded`` (an agent lacks its model), ``failing`` (not as desired), ``starting`` or ``stopping``."""
    if desired is None:
        return "failing" if error else "stopping"
    if error:
        return "failing"
    if live is None:
        return "starting"
    return "degraded" if any(agent.gain for agent in live.agents) else "running"


def _unread(reconciler: Reconciler, name: str) -> dict[str, Any] | None:
    error = reconciler.desired.unreadable.get(name)
    if error is None:
        return None
    message = f"revision cannot be read: {error}"
    return {"code": "ORC410", "kind": "DeployError", "message": message, "cure": f"apply the manifest of {name} again"}


def _models(live: Live) -> list[dict[str, Any]]:
    return [
        {"alias": each.alias, "endpoints": list(each.endpoints), "missing": each.missing}
        for each in live.deployment.bindings.values()
    ]
