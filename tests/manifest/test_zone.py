"""Where data goes that is sent to a model, as far as the manifest tells."""

from __future__ import annotations

import pytest

from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.zone import zone_of


@pytest.mark.parametrize(
    ("keys", "zone"),
    [
        ({}, "node"),
        ({"provider": "ollama"}, "node"),
        ({"provider": "openai"}, "cloud"),
        ({"model_provider": "azure-openai"}, "cloud"),
        ({"endpoint": "http://127.0.0.1:8080"}, "node"),
        ({"endpoint": "http://[::1]:8080/v1"}, "node"),
        ({"endpoint": "http://localhost:8080"}, "node"),
        ({"endpoint": "http://192.168.1.20:8080"}, "lan"),
        ({"endpoint": "http://gpu-box:8080"}, "lan"),
        ({"endpoint": "http://gpu.local.:8080"}, "lan"),
        ({"endpoint": "https://api.example.com/v1"}, "cloud"),
        ({"endpoint": "http://8.8.8.8"}, "cloud"),
        ({"endpoint": "http://127.0.0.1.example.com"}, "cloud"),
        ({"endpoint": "https://api.example.com/v1", "zone": "lan"}, "lan"),
    ],
)
def test_a_zone_is_what_is_written_else_what_the_address_tells(keys: dict[str, str], zone: str) -> None:
    """An address that only looks local is not."""
    assert zone_of(ModelEntry.model_validate({"alias": "m", **keys})) == zone
