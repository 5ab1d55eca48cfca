"""A new manifest goes over two real runtimes that are asked all the while, and one that a node cannot serve is taken back."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.app.fleet.local import LocalFleet
from orchestrator.core.request import Request, Result
from tests.cli.commands import here

PAIR = """
deployment:
  type: distributed-edge
  nodes:
    - {{id: edge-1, agents: [{first}], models: [phi-4-mini]}}
    - {{id: edge-2, agents: [{second}], models: [phi-4-mini]}}
  coordination: {{failover: automatic, health_gate: 2s}}
"""
TEXTS = ("what is on my calendar tomorrow", "open a ticket: my screen is broken")


@dataclass
class Asking:
    """Requests through both nodes, one after the other, until it is stopped; and how they ended."""

    fleet: LocalFleet
    results: list[Result] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, node: str) -> None:
        client = self.fleet.client(node)
        while not self.stop.is_set():
            for text in TEXTS:
                self.results.append(client.run("pair", Request(text, timeout=20.0), None))

    @property
    def failed(self) -> list[tuple[str, str, str]]:
        return [(one.agent, one.node, str(one.error)) for one in self.results if one.status == "failed"]


@contextmanager
def asking(fleet: LocalFleet) -> Iterator[Asking]:
    found = Asking(fleet)
    threads = [threading.Thread(target=found.ask, args=(node,)) for node in fleet.nodes]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.stop.set()
        for thread in threads:
            thread.join(60)
    assert len(found.results) > 50


def test_requests_go_on_while_a_manifest_goes_over_the_nodes_and_while_one_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    manifest = tmp_path / "pair.yaml"
    manifest.write_text(PAIR.format(first="customer-service", second="scheduling"))
    try:
        assert here("apply", str(manifest), "--local").code == 0
        fleet = LocalFleet.of(tmp_path / "home" / "state", "pair")
        again = here("apply", str(manifest), "--local")
        assert (again.code, again.out.splitlines()[0]) == (0, "pair runs on its fleet, generation 1, as before")
        with asking(fleet) as asked:
            time.sleep(1)  # real requests, in real time
            _moves(manifest)
            time.sleep(1)  # what was in work has ended
            moved = [(one.agent, one.node) for one in asked.results[-4:]]
            _is_taken_back(manifest, fleet)
        assert asked.failed == []
        assert {("scheduling", "edge-1"), ("customer-service", "edge-2")} >= set(moved)
    finally:
        monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
        here("down", "pair")


def _moves(manifest: Path) -> None:
    """Both agents go to the other node."""
    manifest.write_text(PAIR.format(first="scheduling", second="customer-service"))
    ran = here("apply", str(manifest), "--local")
    assert ran.code == 0, ran.err
    assert re.findall(r"generation 2: (edge-\d)", ran.err) == ["edge-1", "edge-2"]
    assert ran.out.splitlines()[:3] == [
        "pair runs on its fleet, generation 2",
        "  agent.customer-service  edge-2  (the manifest names it there)",
        "  agent.scheduling  edge-1  (the manifest names it there)",
    ]


def _is_taken_back(manifest: Path, fleet: LocalFleet) -> None:
    """The second node cannot listen where the first one does already: they are on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    good = manifest.read_text()
    manifest.write_text(good.rstrip() + f"\n  serve: {{port: {port}}}\n")
    ran = here("apply", str(manifest), "--local")
    assert ran.code == 4 and "error[ORC463]" in ran.err, (ran.code, ran.err)
    assert "generation 3 was taken back" in ran.err and "node.edge-2: it cannot serve it" in ran.err
    for node in fleet.nodes:
        shown = here("status", "pair", "--node", node)
        assert shown.code == 0 and "generation 3 was taken back: node.edge-2" in here("node", "status").out + _seen(
            fleet, node
        )
    manifest.write_text(good)
    same = here("apply", str(manifest), "--local")
    assert (same.code, same.out.splitlines()[0]) == (0, "pair runs on its fleet, generation 4, as before")


def _seen(fleet: LocalFleet, node: str) -> str:
    """What that node says of its fleet."""
    found = fleet.client(node).fleet()
    assert found is not None
    [deployment] = found["deployments"]
    assert {each["generation"] for each in deployment["nodes"].values()} == {4}
    return f"generation {deployment['taken_back']['generation']} was taken back: {deployment['taken_back']['why']}"
