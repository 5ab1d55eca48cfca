"""``simulate`` where more is asked than can be done: that is told first, and a fault is blamed for what it cost, no more."""

from __future__ import annotations

import json
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.simulation import calm
from tests.cli.commands import golden, here

FLEET = """\
metadata: {name: fleet}
deployment:
  type: distributed-edge
  models: [{alias: phi-4-mini}, {alias: qwen2.5-0.5b, max_concurrent: 2}]
  nodes:
    - {id: edge-1, hub: true, agents: [billing], models: [phi-4-mini]}
    - {id: edge-2, agents: [documentation], models: [qwen2.5-0.5b]}
    - {id: edge-3, models: [phi-4-mini]}
  coordination: {load_balancing: true, failover: automatic}
"""
LONG = ("--duration", "60s", "--service", "500ms")


@pytest.fixture(autouse=True)
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One manifest, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("fleet.yaml").write_text(FLEET)


def told(*words: str) -> dict[str, Any]:
    """What it says, as JSON."""
    ran = here("simulate", "fleet.yaml", *words, "--json")
    assert ran.code in (0, 5), ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_what_is_full_is_told_first_and_the_hub_is_not_blamed_for_it() -> None:
    """Far too much is asked: what fails as the hub is away would have been refused else."""
    ran = here("simulate", "fleet.yaml", "--rps", "40", *LONG, "--fail", "hub@30s+15s")
    assert ran.out == golden("simulate/overload.txt", ran.out)
    first, second = (line for line in ran.out.partition("what breaks")[2].splitlines() if " s  " in line[:12])
    assert "phi-4-mini on edge-1 is full" in first and "qwen2.5-0.5b on edge-2 is full" in second
    assert "where nothing fails: " in ran.out and "the fleet can do 6, even while nothing fails" in ran.out
    assert ran.out.endswith("were not answered: all as too much is asked\n")


def test_a_node_that_dies_in_an_overload_cost_what_it_could_have_done_no_more() -> None:
    """documentation alone can do 4 a second: 30 s without it are some 120 answers fewer, and so are the 64 that wait at the end, of
    1,200 requests that come then."""
    found = told("--rps", "40", "--share", "billing=0", *LONG, "--fail", "edge-2@30s")
    first, *faults = found["breaks"]
    assert (first["kind"], first["address"]) == ("overload", "model.qwen2.5-0.5b")
    assert {each["kind"] for each in faults} == {"fault"}
    missing = found["otherwise"]["answered"] - found["counts"]["answered"]
    assert 160 <= missing <= 210
    [only] = [each["what"] for each in faults if each["address"] == "agent.documentation"]
    assert "edge-2 is the only holder of documentation" in only
    blamed = int(only.partition(" that came to edge-1 and edge-3 ")[2].split()[0])
    assert blamed <= missing * 1.2 < found["counts"]["failed"] / 2
    [door] = [each["what"] for each in faults if each["address"] == "node.edge-2"]
    assert "of all these would be answered if it did not fail" in door


def test_a_node_that_is_back_in_time_cost_no_answer_in_an_overload() -> None:
    """Who waits for it is answered after the others have gone; else they would have been refused."""
    found = told("--rps", "40", "--share", "billing=0", *LONG, "--fail", "edge-2@30s+20s")
    assert found["counts"]["answered"] >= found["otherwise"]["answered"]
    [only] = [each for each in found["breaks"] if each["address"] == "agent.documentation"]
    assert "1 s late or more" in only["what"] and " fail (" not in only["what"] and not only["lost"]


def test_a_queue_that_fills_slowly_is_not_laid_upon_the_fault_that_comes_before_it_is_full() -> None:
    """A tenth too much: nothing is refused until the fault, and some would be so after it without it too."""
    words = ("--rps", "4.6", "--duration", "200s", "--service", "500ms", "--share", "billing=0")
    calm_one, found = told(*words), told(*words, "--fail", "edge-1-edge-3@60s+5s")
    assert calm_one["counts"]["refused"] > 5 and not calm_one["fail_overs"]
    assert found["otherwise"] == calm_one["counts"]
    assert [each["kind"] for each in found["breaks"]] == ["overload"]


def test_with_room_nothing_is_played_twice() -> None:
    """Then all that is lost is lost by the fault."""
    found = told("--rps", "2", *LONG, "--fail", "edge-2@30s+20s")
    assert found["otherwise"] is None and found["fail_overs"][0]["otherwise"] is None
    assert found["can_do"] == pytest.approx(2)
    assert found["counts"]["failed"] and {each["kind"] for each in found["breaks"]} == {"fault"}


def test_what_is_full_only_once_a_node_has_failed_is_told_with_that_node() -> None:
    """edge-3 stands in for edge-1, and then does both their work."""
    both = FLEET.replace("hub: true, ", "").replace("edge-2, ", "edge-2, hub: true, ")
    both = both.replace("{id: edge-3, ", "{id: edge-3, agents: [support], ")
    Path("fleet.yaml").write_text(both)
    found = told("--rps", "3.6", "--share", "documentation=0", *LONG, "--duration", "150s", "--fail", "edge-1@20s")
    [full] = [each for each in found["breaks"] if each["kind"] == "overload"]
    assert full["at"] == 20 and full["what"].startswith("phi-4-mini on edge-3 is full once edge-1 failed: 2.4 requests")
    assert "(for billing, support)" in full["what"]
    assert not any("though nothing is full" in each["what"] for each in found["breaks"])


def test_the_other_process_gives_what_this_one_gives_and_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--rps", "20", "--duration", "30s", "--service", "500ms", "--fail", "hub@10s+5s")
    here_played = told(*words)
    monkeypatch.setattr(calm, "FEW", 0)
    assert told(*words) == here_played and here_played["otherwise"]
    assert not active_children()


def test_a_simulation_that_is_broken_off_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calm, "FEW", 0)
    # Ctrl-C at one certain moment, while the other process plays: a signal would come now before it, now after.
    monkeypatch.setattr("orchestrator.app.simulation.order.play", broken_off)
    ran = here(
        "simulate", "fleet.yaml", "--rps", "20", "--duration", "30s", "--service", "500ms", "--fail", "hub@10s+5s"
    )
    assert ran.code == 130 and not active_children()
