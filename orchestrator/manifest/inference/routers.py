"""Several agents and nobody to choose, nor one to begin with: a router is added over them. A router without routes leads to every
specialist."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.operate import RoutingDefaults

ADDED_NAMES: Final = ("router", "main-router", "added-router")


def settle_routers(draft: Draft) -> None:
    """Add a router where one is needed, and give every router its routes and defaults."""
    specialists = [agent.name for agent in draft.agents.values() if agent.role == "specialist"]
    begun = draft.deployment.entry in draft.agents
    if len(specialists) > 1 and not begun and not any(agent.role == "router" for agent in draft.agents.values()):
        name = next(name for name in ADDED_NAMES if name not in draft.agents)
        draft.agents = {name: AgentEntry(name=name, role="router"), **draft.agents}
        draft.infer(f"router.{name}", "name", name, "the router that is added")
        draft.infer(f"router.{name}", "role", "router", f"{len(specialists)} agents and no router")
    for name, agent in draft.agents.items():
        if agent.role == "router":
            draft.agents[name] = _with_defaults(draft, agent, specialists)


def _with_defaults(draft: Draft, router: AgentEntry, specialists: list[str]) -> AgentEntry:
    at = f"router.{router.name}"
    changes: dict[str, Any] = {}
    routing = draft.deployment.routing
    for key, value in (
        ("strategy", _strategy(routing)),
        ("confidence", routing.confidence),
        ("default", routing.default),
    ):
        if getattr(router, key) is None and value is not None and value != router.name:
            changes[key] = value
            draft.infer(at, key, value, f"from deployment.routing.{key}")
    if router.strategy is None and "strategy" not in changes:
        changes["strategy"] = "cascade"
        draft.infer(at, "strategy", "cascade", "the default")
    if not router.routes:
        changes["routes"] = list(specialists)
        draft.infer(at, "routes", changes["routes"], "every specialist")
    return router.model_copy(update=changes)


def _strategy(routing: RoutingDefaults) -> str | None:
    return routing.strategy or ("cascade" if routing.routing_strategy else None)
