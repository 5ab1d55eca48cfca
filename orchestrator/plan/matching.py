"""Which servers may serve a model, and under which ids: by make, by address, by distance. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.core.blueprint import ModelSpec
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import Zone

COMPATIBLE: Final = "openai-compatible"
"""The make of a server that speaks the protocol and does not say what it is: it may be any of them."""
GATEWAYS: Final = frozenset((COMPATIBLE, "llama-swap", "localai", "litellm", "docker-model-runner"))
"""Makes behind which any other may stand, so that a model may have any of its ids there."""
ANY_PROVIDER: Final = "*"
DISTANCE: Final[Mapping[Zone, int]] = {"node": 0, "lan": 1, "cloud": 2}


def wanted_ids(spec: ModelSpec, provider: str) -> list[str]:
    """The ids that the model may have on a server of this make, best first."""
    ids = spec["ids"]
    # A make for which no id is known has its models under the names that they have elsewhere, or behind a gateway.
    named = ids[provider] if provider in ids else [name for names in ids.values() for name in names]
    # With one id the manifest chose it; the alias itself is no other spelling of it.
    return [*named, *ids.get(ANY_PROVIDER, []), *([spec["alias"]] if len(ids) > 1 else [])]


def is_written(spec: ModelSpec) -> bool:
    """Whether the manifest writes the id itself, as `model` or as an alias that no catalogue knows: one of a build is no other."""
    return spec["named"] is not None or list(spec["ids"]) == [ANY_PROVIDER]


def allowed(spec: ModelSpec, servers: Iterable[ObservedServer]) -> list[ObservedServer]:
    """The servers that may serve it: at its address where one is named, else all of this device; of its make where one is."""
    if spec["endpoint"]:
        return [server for server in servers if _fits(spec, server) and same_place(server.url, spec["endpoint"])]
    return [server for server in servers if server.zone == "node" and _fits(spec, server)]


def _fits(spec: ModelSpec, server: ObservedServer) -> bool:
    if is_plugin(spec["provider"]) or is_plugin(server.provider):  # another package's servers are for who names it
        return spec["provider"] == server.provider
    return spec["provider"] in (None, server.provider, COMPATIBLE) or server.provider in GATEWAYS


def same_place(one: str, other: str) -> bool:
    """Whether two addresses are one host and port."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    host = (parts.hostname or "").replace("localhost", "127.0.0.1")
    return host, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def rank(spec: ModelSpec, server: ObservedServer) -> tuple[Any, ...]:
    """Near before far, then in the order in which the manifest or the catalogue names providers."""
    providers = list(spec["ids"])
    order = providers.index(server.provider) if server.provider in providers else len(providers)
    return (DISTANCE[server.zone], server.provider in GATEWAYS, order, server.url)
