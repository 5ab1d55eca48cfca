"""A request whose target is on a node that is away waits on the disk of the node that it came to, over real runtimes that die."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.fleet.local import LocalFleet
from orchestrator.app.start import ensure_runtime
from orchestrator.core.request import Request, Result
from tests.cli.commands import here

SHOP = """
deployment:
  type: distributed-edge
  nodes:
    - {id: edge-1, agents: [desk]}
    - {id: edge-2, agents: [expert], pin: true}
  tools: [{name: tickets, use: tickets}]
  escalation: {to: expert}
  agents:
    - name: desk
      description: Answers simple questions.
      reflex: [{when: {keywords: [opening hours]}, say: Nine to six.}]
      escalate_when: [low_confidence]
    - name: expert
      role: escalation
      description: Takes what the desk cannot answer.
      tools: [tickets]
      store_and_forward: {expires: 1h}
      reflex: [{when: {}, call: tickets.create, arguments: {subject: "{{ text }}"}, say: "ticket {{ result.number }}"}]
"""


@dataclass
class Shop:
    """Two runtimes."""

    fleet: LocalFleet

    def ask(self, text: str, **more: Any) -> Result:
        return self.fleet.client("edge-1").run("shop", Request(text, timeout=8.0, **more), None)

    def kill(self, node: str) -> None:
        os.kill(self.fleet.client(node).about()["pid"], signal.SIGKILL)

    def start(self, node: str, **environment: str) -> None:
        home = {"ORCHESTRATOR_HOME": str(self.fleet.root / node), **environment}
        ensure_runtime(self.fleet.host(node), {**os.environ, **home})

    def waiting(self) -> list[dict[str, Any]]:
        return self.fleet.client("edge-1").deliveries("shop")

    def answer(self, delivery: str, seconds: float = 60.0) -> dict[str, Any]:
        """What became of it, once it is over."""
        until = time.monotonic() + seconds
        while True:
            found = self.fleet.client("edge-1").delivery(delivery)
            if found["state"] != "waiting":
                return found
            assert time.monotonic() < until, found
            time.sleep(0.2)  # real processes, in real time

    def text_of(self, run: str) -> str:
        return str(self.fleet.client("edge-1").find_run(run)["text"])

    def tickets(self) -> list[str]:
        """What the target has done."""
        found = list((self.fleet.root / "edge-2" / "state").rglob("tickets*.db"))
        titles: list[str] = []
        for file in found:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                titles += [row[0] for row in connection.execute("SELECT subject FROM ticket ORDER BY 1")]
        return titles


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(SHOP)
    try:
        applied = here("apply", str(manifest), "--local")
        assert applied.code == 0, applied.err
        yield Shop(LocalFleet.of(tmp_path / "home" / "state", "shop"))
    finally:
        here("down", "shop")


def test_it_waits_for_the_node_and_outlives_its_own_runtime(shop: Shop) -> None:
    """The target is killed, then the node that keeps the request; both come back, and the answer arrives. Restricted data waits for
    nobody."""
    first = shop.ask("my drill smokes")
    assert first.text == "ticket T-1001", first
    shop.kill("edge-2")
    time.sleep(2.5)  # it is out of routing
    kept = shop.ask("my saw sings")
    assert (kept.status, kept.approval[:4]) == ("waiting", "dlv_")
    secret = shop.ask("my patient is ill", data_class="restricted")
    assert secret.error is not None and (secret.error["code"], secret.error["kind"]) == ("ORC575", "StaysHere")
    assert [each["request"] for each in shop.waiting()] == ["my saw sings"]
    shop.kill("edge-1")
    shop.start("edge-1")
    assert [each["id"] for each in shop.waiting()] == [kept.approval]
    shop.start("edge-2")
    assert shop.answer(kept.approval)["state"] == "delivered"
    assert shop.text_of(kept.id) == "ticket T-1002"
    assert shop.tickets() == ["my drill smokes", "my saw sings"]


def test_what_the_target_has_answered_is_not_done_again_though_it_was_killed_before_it_could_say_so(shop: Shop) -> None:
    """Its answer is on its disk before it is told."""
    shop.kill("edge-2")
    shop.start("edge-2", ORCHESTRATOR_FAIL_AT="effects.answered")
    time.sleep(4)  # linked, and heard
    kept = shop.ask("my saw sings")
    assert kept.status == "waiting", kept
    assert shop.tickets() == ["my saw sings"]  # done, written down, and not told
    shop.start("edge-2")
    assert shop.answer(kept.approval)["state"] == "delivered"
    assert (shop.text_of(kept.id), shop.tickets()) == ("ticket T-1001", ["my saw sings"])
