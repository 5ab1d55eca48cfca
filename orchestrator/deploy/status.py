"""What runs and how well, as plain values for `status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import anyio

from orchestrator.core.address import Address
from orchestrator.core.blueprint import RouterSpec
from orchestrator.deploy.desired import Desired
from orchestrator.deploy.live import Live
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.deploy.trouble import Wait
from orchestrator.deploy.waits import Moment, waits_for
from orchestrator.plan.generations import server_of
from orchestrator.plan.plan import AgentServing
from orchestrator.plan.serving import asks_models, chosen_without_model, without_model

ITS_TURN: Final = "its turn: the runtime looks at model servers, and brings one deployment back after the other"
Views = Mapping[str, Mapping[str, Any]]
_DOWN: Final = frozenset({"gone", "open", "stalled", "misconfigured"})


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
    views = reconciler.table.plane.views()
    agents = [_agent(live, each, views) for each in live.agents] if live else []
    error = trouble.error.as_json() if trouble else _unread(reconciler, name)
    models = _models(live) if live else []
    lacks = any(each.gain for each in agents) or any(each["missing"] for each in models)
    state = _state(desired, error, serves=live is not None, lacks=lacks)
    if reconciler.ending and not error:
        state = "stopping"
    return {
        "name": name,
        "state": state,
        "revision": desired.revision.number if desired else None,
        "serving": observed.revision if observed else None,
        "since": desired.revision.created if desired else None,
        "origin": desired.revision.origin if desired else "",
        "node": desired.blueprint.node if desired else "",
        "cause": desired.revision.cause if desired else "",
        "in_flight": observed.in_flight if observed else 0,
        "draining": list(observed.draining) if observed else [],
        "agents": [each.as_json() for each in agents],
        "models": models,
        "servers": _servers(reconciler, name),
        "endpoints": [dict(views[each]) for each in live.deployment.endpoints if each in views] if live else [],
        "port": live.deployment.blueprint.serve.port if live else None,
        "error": error,
        "untold": reconciler.untold.of(name),
        "waits": [each.as_json() for each in _waits(reconciler, name, desired, waiting=state == "starting")],
    }


def _waits(reconciler: Reconciler, name: str, desired: Desired | None, *, waiting: bool) -> list[Wait]:
    """What it waits for; where that is nothing of its own, its turn."""
    if reconciler.ending:
        return []
    moment = Moment(anyio.current_time(), reconciler.rules.now())
    wards = reconciler.starting.servers.supervisor.wards
    found = list(waits_for(name, reconciler.doings.step(name), reconciler.trouble.get(name), wards, moment))
    if found or not waiting or desired is None:
        return found
    return [Wait(f"deployment.{name}", ITS_TURN, max(desired.revision.created, reconciler.began))]


def _agent(live: Live, agent: AgentServing, views: Views) -> AgentServing:
    """Who answers for it just now: not a model whose servers are all known to be down."""
    kind, _, name = agent.agent.partition(".")
    made = live.deployment.agents.get(name) if kind == "agent" else None
    router = live.deployment.routers.get(name) if kind == "router" else None
    endpoints = made.endpoints if made else router.endpoints if router and asks_models(router.spec) else ()
    known = [views[each] for each in endpoints if each in views]
    if not known or len(known) < len(endpoints) or not all(map(_down, known)):
        return agent
    first = known[0]
    gain = f"its model does not answer ({first['id']} is {first['state']}: {first['last_error']})"
    cure = "check its key" if first["state"] == "misconfigured" else "see that its server runs"
    without = without_model(made.spec) if made else _chosen(live, router.spec) if router else ""
    return AgentServing(agent.agent, without, gain, f"{cure}; it is used again within seconds")


def _chosen(live: Live, spec: RouterSpec) -> str:
    """How a router chooses without its model; what goes by vectors that nobody gives chooses nothing."""
    encoder = live.deployment.bindings.get(spec["encoder"])
    return chosen_without_model(spec, deaf=encoder is not None and not encoder.endpoints)


def _down(view: Mapping[str, Any]) -> bool:
    """Whether calls are known to fail there; nothing heard of it yet is no fault."""
    return view["state"] in _DOWN or (view["state"] == "unknown" and view["failures"] > 0)


def _state(desired: Desired | None, error: dict[str, Any] | None, *, serves: bool, lacks: bool) -> str:
    """``running``, ``degraded`` (a model that it names does not serve), ``failing`` (not as desired), ``starting`` or
    ``stopping``."""
    if desired is None:
        return "failing" if error else "stopping"
    if error:
        return "failing"
    if not serves:
        return "starting"
    return "degraded" if lacks else "running"


def _unread(reconciler: Reconciler, name: str) -> dict[str, Any] | None:
    error = reconciler.desired.unreadable.get(name)
    if error is None:
        return None
    message = f"revision cannot be read: {error}"
    return {"code": "ORC410", "kind": "DeployError", "message": message, "cure": f"apply the manifest of {name} again"}


def _servers(reconciler: Reconciler, name: str) -> list[dict[str, Any]]:
    """Model servers that were started for it."""
    started = reconciler.starting.observed().values()
    wards, moment = reconciler.starting.servers.supervisor.wards, Moment(anyio.current_time(), reconciler.rules.now())
    return [
        {
            "alias": server_of(each.name).partition("/")[2],
            "process": each.name.partition("/")[2],
            "use": each.use,
            "kind": each.kind,
            "state": each.state,
            "why": each.why,
            "url": each.url,
            "pid": each.pid or None,
            "memory": each.memory if each.memory and each.state != "resting" else None,
            "turns": each.turns,
            "log": each.log,
            "rests_since": moment.of(wards[each.name].since) if each.state == "resting" else None,
        }
        for each in started
        if each.name.partition("/")[0] == name
    ]


def _models(live: Live) -> list[dict[str, Any]]:
    return [
        {"alias": each.alias, "endpoints": list(each.endpoints), "missing": each.missing, "at": _at(live, each.alias)}
        for each in live.deployment.bindings.values()
    ]


def _at(live: Live, alias: str) -> str | None:
    """The address that the manifest names for it: it is where its server is looked for, also while that lacks the model."""
    element = live.deployment.blueprint.elements.get(Address.of("model", alias))
    return element.spec["endpoint"] if element is not None else None
