"""How many tokens a request may take: what the server gives, and what the manifest writes. Pure."""

from __future__ import annotations

from orchestrator.core.blueprint import ModelSpec
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.provider import Capability, ServedModel


def served_window(server: ObservedServer, model: ServedModel) -> int | None:
    """Tokens of a request that the server gives the model: told, else measured; ``None`` where neither was."""
    measured: int | None = server.probed.get(model.id, {}).get("context")
    return model.context or measured


def is_bound(spec: ModelSpec, served: int | None) -> bool:
    """Whether the manifest's own ``context_length`` is what limits a request: the server would take more, or may."""
    return spec["window"] is not None and (served is None or spec["window"] < served)


def window(spec: ModelSpec, server: ObservedServer, model: ServedModel) -> int | None:
    """Tokens of a request that are really served: told, else measured; never more than the manifest writes. What the model
    could take is no answer where the server would tell what it gives it, and has not yet."""
    served, written = served_window(server, model), spec["window"]
    if written is not None:
        return min(served or written, written)
    if served is None and server.capabilities.get(Capability.CONTEXT_TOLD) == "yes":
        return None
    return served or spec["context_length"]
