"""The Compose file: what the specification takes, closed as far as it goes, and nothing that is secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.export.exports import case, documents, export_of, notes

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())
HUB = "fleet-back-office"


def _document(name: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    [document] = documents(case("compose", name, environment))
    return document


@pytest.mark.parametrize("name", ["shop", "fleet"])
def test_the_file_is_one_of_the_specification(name: str) -> None:
    """By its own JSON Schema, in which a key that is not known is a fault."""
    document = _document(name)
    jsonschema.Draft7Validator(SCHEMA).validate(document)
    service = next(iter(document["services"].values()))
    service["read_olny"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(document)


@pytest.mark.parametrize("name", ["shop", "fleet"])
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    """No port of the machine, no capability, a root that is read-only."""
    for service in _document(name)["services"].values():
        assert not {"ports", "network_mode", "privileged", "devices", "pid", "ipc"} & {*service}
        assert (service["user"], service["read_only"], service["cap_drop"]) == ("10001:10001", True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert [each["target"] for each in service["volumes"] if not each.get("read_only")] == ["/state", "/tmp"]


def test_a_fleet_is_one_service_a_node_each_with_a_state_of_its_own() -> None:
    """Only the hub has a port, which only services of the same file reach."""
    document = _document("fleet")
    services = document["services"]
    assert [*services] == [HUB, "fleet-till", "fleet-cellar"]
    assert [name for name, each in services.items() if "expose" in each] == [HUB]
    states = [each["volumes"][0]["source"] for each in services.values()]
    assert states == [*document["volumes"]] and len({*states}) == 3
    assert services[HUB]["expose"] == ["7422", "7423"]
    assert f"exec {HUB} orchestrator node init --name back-office --address {HUB}\n" in notes(case("compose", "fleet"))
    assert services["fleet-till"]["depends_on"] == {HUB: {"condition": "service_started"}}
    assert services["fleet-till"]["deploy"]["resources"]["limits"] == {"cpus": "2", "memory": "4000000000b"}


def test_secrets_are_in_files_of_mode_0600_without_a_value() -> None:
    """A file for each service that needs one; what is in it is a comment until a person writes a value."""
    made = case("compose", "fleet")
    files = {page.name: page for page in made.pages if page.private}
    assert {*files} == {f"{HUB}.env", "fleet-till.env", "fleet-cellar.env"}
    assert all(page.once for page in files.values())
    lines = {name: page.content.decode().splitlines() for name, page in files.items()}
    assert all(line.startswith("#") for each in lines.values() for line in each)
    assert lines[f"{HUB}.env"][-1] == "#LARGE_KEY=" and lines["fleet-till.env"][-1] == "#ORCHESTRATOR_JOIN_TOKEN="
    services = documents(made)[0]["services"]
    assert services["fleet-till"]["env_file"] == [{"path": "./fleet-till.env", "required": True}]


def test_a_secret_of_a_variable_and_one_of_a_file_are_references() -> None:
    """No value is anywhere, and both are told."""
    made = case("compose", "shop", {"HOOK_SECRET": "do-not-tell-0001"})
    [document] = documents(made)
    [service] = document["services"].values()
    assert "HOOK_SECRET" not in service["environment"]
    assert service["secrets"] == [{"source": "large-key", "target": "/run/secrets/large-key"}]
    assert document["secrets"] == {"large-key": {"file": "./secrets/large-key"}}
    assert "do-not-tell" not in made.printed + notes(made) + repr(made.pages)
    assert "write HOOK_SECRET into corner-shop-90da64.env" in notes(made)
    assert "put the secret into ./secrets/large-key" in notes(made)


def test_a_dollar_stays_a_dollar(tmp_path: Path) -> None:
    """Whoever starts it puts no variable of theirs in."""
    document = _document("shop", {"HOOK_HOST": "${HOME}.example.org"})
    [service] = document["services"].values()
    assert service["environment"]["HOOK_HOST"] == "$${HOME}.example.org"


def test_the_files_lie_beside_it_as_they_lay_beside_the_manifest() -> None:
    """With the modules that the tool's code imports, and what is asked for."""
    made = case("compose", "shop")
    assert [page.name for page in made.pages if page.name.startswith("manifest/")] == [
        "manifest/data/prices.txt",
        "manifest/data/stock.csv",
        "manifest/parts/desk.md",
        "manifest/parts/models.yaml",
        "manifest/prices.py",
        "manifest/quotes.py",
        "manifest/shop.yaml",
    ]


def test_servers_of_the_machine_can_be_named_where_a_model_is_looked_for(tmp_path: Path) -> None:
    """The variable is that of whoever starts it, and not set where they have none."""
    models = "models: [{alias: phi-4-mini, primary: true}], "
    agent = "agents: [{name: a, instructions: Help., reflex: [{say: hello}]}]"
    with_model, without = (
        documents(export_of("compose", tmp_path, f"deployment: {{type: single-device, {each}{agent}}}\n"))[0]
        for each in (models, "")
    )
    assert with_model["services"]["made"]["environment"]["ORCHESTRATOR_SERVERS"] is None
    assert with_model["services"]["made"]["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "extra_hosts" not in without["services"]["made"]
