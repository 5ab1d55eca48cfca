"""Where data goes that is sent to a model."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.ports.provider import Zone

CLOUD: Final = frozenset({"openai", "azure-openai"})
_LAN_ENDS: Final = (".local", ".lan", ".home.arpa", ".internal")


def zone_of(model: ModelEntry) -> Zone:
    """What the manifest says, else what its endpoint and its provider tell; a model that is only looked for is on this device."""
    if model.zone:
        return model.zone
    if model.endpoint is None:
        return "cloud" if (model.provider or model.model_provider) in CLOUD else "node"
    return _zone_of_host((urlsplit(model.endpoint).hostname or "").rstrip(".").casefold())


def _zone_of_host(host: str) -> Zone:
    if host == "localhost" or host.endswith(".localhost"):
        return "node"
    try:
        address = ip_address(host)
    except ValueError:
        return "lan" if "." not in host or host.endswith(_LAN_ENDS) else "cloud"
    if address.is_loopback:
        return "node"
    return "lan" if address.is_private or address.is_link_local else "cloud"
