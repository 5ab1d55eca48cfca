"""Where data goes that is sent to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.core.hosts import distance_of_url
from orchestrator.ports.provider import Zone

if TYPE_CHECKING:
    from orchestrator.manifest.spec.model import ModelEntry

CLOUD: Final = frozenset({"openai", "azure-openai"})
"""Providers of the table that are in the cloud, and are never asked who is there. (The runtime reads this without pydantic.)"""


def zone_of(model: ModelEntry) -> Zone:
    """What the manifest says, else what its endpoint and its provider tell; a model that is only looked for is on this device."""
    if model.zone:
        return model.zone
    if model.endpoint is None:
        return "cloud" if (model.provider or model.model_provider) in CLOUD else "node"
    return distance_of_url(model.endpoint)
