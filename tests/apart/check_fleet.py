"""The seed's distributed manifest, verbatim, on separate machines, as a person begins a fleet on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.apart.machine import Machine, founded, machines
from tests.fleet.seed import NAME, misplaced

NAMES: Final = ("edge-1", "edge-2")
MANIFEST: Final = "manifests/distributed-edge.yaml"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    """Two machines, joined, with the manifest applied on the first."""
    with machines(tmp_path_factory.mktemp("machines"), NAMES) as found:
        founded(found)
        applied = found["edge-1"].does("apply", MANIFEST)
        assert applied.splitlines()[:2] == [
            "distributed-edge runs on its fleet, generation 1",
            "  agent.customer-service  edge-1  (the manifest names it there)",
        ]
        yield found


@pytest.mark.parametrize("node", NAMES)
def test_through_each_machine_the_right_agent_answers_on_the_right_one(fleet: dict[str, Machine], node: str) -> None:
    """The same 50 requests; of every result, the agent and the node are those of the manifest."""
    assert misplaced(fleet[node].client()) == []


def test_links_are_encrypted_and_go_to_an_address_that_others_reach(fleet: dict[str, Machine]) -> None:
    for name, machine in fleet.items():
        told = machine.does("node", "status")
        assert "TLS 1.3" in told and f"hub at       {fleet['edge-1'].address}:7422" in told
        assert f"{name}  alive" in told


def test_another_machine_says_where_a_manifest_is_applied(fleet: dict[str, Machine]) -> None:
    ran = fleet["edge-2"].types("apply", MANIFEST, "--set", "deployment.coordination.health_gate=1s")
    assert ran.code == 4 and "the operator's key is not here" in ran.err


def test_a_machine_whose_network_has_no_way_out_finds_its_address_itself(fleet: dict[str, Machine]) -> None:
    """As in a network of its own; and plain links are refused, as others would come over them."""
    first = fleet["edge-1"]
    assert "default" not in first.net.routes(first.name)
    other = Machine("edge-1", first.home.with_name("other"), first.net)
    other.home.mkdir(mode=0o700)
    assert f"others come to {first.address}, ports 7422" in other.does("node", "init", "--name", "other")
    third = Machine("edge-2", first.home.with_name("third"), first.net)
    third.home.mkdir(mode=0o700)
    ran = third.types("node", "init", "--insecure-local", "--address", third.address)
    assert ran.code == 4 and "--insecure-local is for this machine alone" in ran.err


@pytest.mark.parametrize(("node", "ports"), [("edge-1", {7422, 7423}), ("edge-2", set())])
def test_only_links_and_new_nodes_come_in_from_others(fleet: dict[str, Machine], node: str, ports: set[int]) -> None:
    assert fleet[node].open_ports() == ports


def test_the_commands_of_another_machine_show_and_ask_the_whole_fleet(fleet: dict[str, Machine]) -> None:
    second = fleet["edge-2"]
    assert "on the calendar" in second.does("run", NAME, "what is on my calendar tomorrow")
    assert [line.split()[:3] for line in second.does("top", NAME).splitlines()[1:]] == [
        [NAME, each, "alive"] for each in NAMES
    ]
