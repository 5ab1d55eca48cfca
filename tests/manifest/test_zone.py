"""Where data goes that is sent to a model, as far as the manifest tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.manifest.load import load
from orchestrator.manifest.resolve import check_references
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


FAR = "by its address, the endpoint is on the internet"


def told(keys: str, folder: Path) -> list[tuple[str, str, str]]:
    """What is told of the zone of a model with these keys: how grave, which words, at which text."""
    text = f"deployment:\n  type: single-device\n  models:\n    - {{alias: m, model: n, {keys}}}\n  agents: [orders]\n"
    manifest = folder / "shop.yaml"
    manifest.write_text(text)
    loaded = load([str(manifest)], environment={})
    found = [one for one in check_references(loaded) if one.code == "ORC229"]
    line = text.split("\n")[3]
    return [
        (one.severity.value, one.message, line[one.place.column - 1 :][: one.place.length])
        for one in found
        if one.place is not None and one.place.line == 4 and one.cure
    ]


@pytest.mark.parametrize(
    ("endpoint", "zone"),
    [
        ("https://evil.example.com/v1", "node"),
        ("https://8.8.8.8/v1", "node"),
        ("https://8.8.8.8/v1", "lan"),
        ("http://134744072", "lan"),
        ("http://[2606:4700::1111]/v1", "lan"),
        ("http://127.0.0.1.example.com", "node"),
    ],
)
def test_a_zone_that_is_nearer_than_the_address_is_an_error(endpoint: str, zone: str, tmp_path: Path) -> None:
    """It would switch off the proofs that keep data near."""
    found = told(f'endpoint: "{endpoint}", zone: {zone}', tmp_path)
    assert found == [("error", f"{FAR}: zone: {zone} cannot be", zone)]


def test_a_cloud_provider_without_an_endpoint_is_no_neighbour(tmp_path: Path) -> None:
    """It has one address, and that is far."""
    found = told("provider: openai, zone: lan", tmp_path)
    assert found == [("error", "openai is on the internet: zone: lan cannot be", "lan")]


@pytest.mark.parametrize(
    ("endpoint", "zone", "where"),
    [
        ("http://llm.corp.example.com/v1", "lan", "on the internet"),
        ("http://gpu-box:8080", "node", "in the local network"),
        ("http://192.168.1.20:8080", "node", "in the local network"),
    ],
)
def test_what_cannot_be_told_is_a_warning(endpoint: str, zone: str, where: str, tmp_path: Path) -> None:
    """A name of one's own network may look like one of the internet, an address of this device like a neighbour's."""
    found = told(f'endpoint: "{endpoint}", zone: {zone}', tmp_path)
    message = f"by its address, the endpoint is {where}: zone: {zone} is taken on trust"
    assert found == [("warning", message, zone)]


@pytest.mark.parametrize(
    "keys",
    [
        'endpoint: "http://127.0.0.1:9000", zone: cloud',
        'endpoint: "http://127.0.0.1:9000", zone: lan',
        'endpoint: "http://127.0.0.1:9000", zone: node, provider: openai',
        'endpoint: "http://192.168.1.20", zone: lan',
        'endpoint: "http://gpu-box:8080", zone: lan',
        'endpoint: "https://api.example.com/v1", zone: cloud',
        'endpoint: "https://api.example.com/v1"',
        "provider: ollama, zone: node",
    ],
)
def test_a_zone_as_far_as_the_address_or_farther_is_fine(keys: str, tmp_path: Path) -> None:
    """A tunnel on this device may lead to the cloud."""
    assert told(keys, tmp_path) == []
