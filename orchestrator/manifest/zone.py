"""Where data goes that is sent to a model."""

from __future__ import annotations

from typing import Final

from orchestrator.core.hosts import distance_of_url
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.ports.provider import Zone

CLOUD: Final = frozenset({"openai", "azure-openai"})


def zone_of(model: ModelEntry) -> Zone:
    """What the manifest says, else what its endpoint and its provider tell; a model that is only looked for is on this device."""
    if model.zone:
        return model.zone
    if model.endpoint is None:
        return "cloud" if (model.provider or model.model_provider) in CLOUD else "node"
    return distance_of_url(model.endpoint)
