"""How many tokens a request may take: what the server gives, and what the manifest writes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.provider import Capability, ServedModel

if TYPE_CHECKING:
    from orchestrator.plan.binding import Bound


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


def narrow_notes(blueprint: Blueprint, bound: Mapping[str, Bound]) -> Iterator[str]:
    """Models that get fewer tokens a request than their manifest writes, because their server gives no more."""
    for alias, each in bound.items():
        spec = cast(ModelSpec, blueprint.elements[Address.of("model", alias)].spec)
        for endpoint in each.endpoints:
            if spec["window"] and endpoint.context is not None and endpoint.context < spec["window"]:
                yield (
                    f"{alias} takes {endpoint.context} tokens a request, not the {spec['window']} of its context_length: no more "
                    f"are served by {endpoint}; start that with a larger context, or write {endpoint.context}"
                )
