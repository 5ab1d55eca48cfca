"""Kinds that an installed package adds: they are there, or the nearest that is there is told."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.manifest.inference.draft import Draft
from orchestrator.ports.installed import PLUGIN, Family, installed, is_plugin, near_installed

At = tuple[str, Sequence[str | int]]


def check_plugins(draft: Draft) -> None:
    """Every kind with ``plugin:`` before its name is one of an installed package."""
    for tool in draft.tools.values():
        _check(draft, "tool", tool.use, (f"tool.{tool.name}", ("use",)))
    for model in draft.models.values():
        at = f"model.{model.alias}"
        key = "provider" if draft.holds(at, "provider") else "model_provider"
        _check(draft, "provider", model.provider, (at, (key,)))
    for agent in draft.agents.values():
        if draft.holds(draft.address(agent), "strategy"):
            _check(draft, "strategy", agent.strategy, (draft.address(agent), ("strategy",)))
    draft.origins["deployment"] = ("deployment",)
    _check(draft, "strategy", draft.deployment.routing.strategy, ("deployment", ("routing", "strategy")))


def _check(draft: Draft, family: Family, name: str | None, at: At) -> None:
    if name is None or not is_plugin(name) or name in installed(family):
        return
    message = f'no installed package has the {family} "{name.removeprefix(PLUGIN)}"'
    draft.tell("ORC209", message, at, cure=near_installed(family, name) or None)
