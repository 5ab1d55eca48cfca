"""A real runtime whose cloud is away: killed at every point of what waits for it, nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import orchestrator.plugins.stores.sqlite
import orchestrator.serve.forward  # noqa: F401 - both declare failpoints
from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import RuntimeUnavailable
from orchestrator.core.failpoint import FAILPOINTS
from orchestrator.core.request import Request, Result
from orchestrator.deploy.wanted import Wanted
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.fault import parse_fault
from orchestrator.testing.script import Rule, Script
from tests.cli.serving import Switch, switched
from tests.runtime.living import Home, eventually

SHOP = """\
metadata: {{name: shop}}
deployment:
  type: single-device
  models: [{{alias: far, provider: openai, model: m, endpoint: '{url}/v1', api_key: env:FAR_KEY, zone: cloud}}]
  escalation: {{store_and_forward: {kept}}}
  agents:
    - name: front
      reflex: [{{when: {{keywords: [hello]}}, say: Hello.}}, {{say: Wait., call: agent.escalate}}]
      escalate_to: expert
    - {{name: expert, role: escalation, instructions: You explain., model: far, max_tokens: 50}}
"""


@dataclass
class Cloud:
    """A model in the cloud that can be switched off."""

    endpoint: SimulatedEndpoint
    switch: Switch

    def done(self) -> list[str]:
        """What it really did: answers that it gave again because of their key are left out."""
        return [each.asked.text for each in self.endpoint.records if each.outcome == "finished" and not each.repeats]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Off at first."""
    endpoint = simulated(["m"], Script([Rule("explain (.*)", say=r"It is \1.")]))
    with switched(endpoint, "openai") as switch:
        switch.off()
        yield Cloud(endpoint, switch)


def shop(folder: Path, cloud: Cloud, kept: str = "true") -> Blueprint:
    """A front desk, and an expert in the cloud."""
    (folder / "shop.yaml").write_text(SHOP.format(url=cloud.switch.url, kept=kept))
    return compile_files([str(folder / "shop.yaml")], environment={"FAR_KEY": "k"}).blueprint


def start(home: Home, **environment: str) -> RuntimeClient:
    """A runtime with the cloud's key."""
    return home.start(FAR_KEY="k", **environment)


def ask(client: RuntimeClient, number: int = 1) -> Result:
    """The same request again has the same id."""
    return client.run("shop", Request(f"explain {number}", session=f"s{number}", id=f"run_{number}", agent="expert"))


POINTS = sorted(point for point in FAILPOINTS if point.startswith("outbox."))


@pytest.mark.parametrize("point", POINTS)
def test_killed_there_nothing_that_waits_is_lost_or_done_twice(
    home: Home, tmp_path: Path, cloud: Cloud, point: str
) -> None:
    """What was acknowledged holds after the next start; it is answered once, in its history and in its session."""
    client, told = start(home, ORCHESTRATOR_FAIL_AT=point), None
    client.apply(Wanted(shop(tmp_path, cloud)))
    with suppress(RuntimeUnavailable):
        told = ask(client)
        client.retry_deliveries()
        eventually(lambda: bool(client.delivery(told.approval)["error"]), 20)  # type: ignore[union-attr] # it is there, or this test fails
        cloud.switch.on()
        client.retry_deliveries()
        client.wait("run_1", 20)
    assert home.processes[-1].wait(10) == -signal.SIGKILL, f"{point} was never passed"
    client = start(home)
    waiting = {each["run"]: each for each in client.deliveries(closed=True)}
    assert told is None or (told.status == "waiting" and waiting["run_1"]["id"] == told.approval)
    if "run_1" not in waiting:
        told = ask(client)
    with suppress(OSError):
        cloud.switch.on()
    client.retry_deliveries()
    ended = client.wait("run_1", 30)
    assert (ended["status"], ended["text"]) == ("completed", "It is 1.")
    assert cloud.done() == ["explain 1"]
    (delivery,) = client.deliveries(closed=True)
    audit = [each["what"] for each in client.delivery(delivery["id"])["audit"]]
    assert (delivery["state"], audit[0], audit[-1]) == ("delivered", "deferred", "delivered")
    assert audit[1:-1] == ["tried"] * delivery["tries"]
    assert turns(home, "s1") == ["explain 1", delivery_text(client, delivery), "It is 1."]
    assert home.stop() == 0
    assert home.left_over() == []


def delivery_text(client: RuntimeClient, delivery: dict[str, Any]) -> str:
    """What the user was told at once."""
    del client
    return (
        f"This cannot be answered right now. Your request is kept ({delivery['id']}) and answered as soon as possible."
    )


def turns(home: Home, session: str) -> list[str]:
    """What was said in a session, as it is on the disk."""
    with closing(sqlite3.connect(home.folders.state / "state.db")) as connection:
        sql = "SELECT t.message FROM turn t JOIN session s ON s.id = t.session WHERE s.name = ? ORDER BY t.seq"
        return [json.loads(row[0])["content"] for row in connection.execute(sql, (session,))]


def test_a_cloud_that_comes_back_with_5xx_answers_what_was_kept_once(home: Home, tmp_path: Path, cloud: Cloud) -> None:
    """As a gateway says while what is behind it starts: three times 503, then the answer, over real HTTP."""
    cloud.endpoint.faults = [parse_fault("unavailable@1-3")]
    client = start(home)
    client.apply(Wanted(shop(tmp_path, cloud)))
    told = ask(client)
    assert told.status == "waiting"
    cloud.switch.on()
    client.retry_deliveries()
    eventually(lambda: "HTTP 503" in client.delivery(told.approval)["error"], 30)
    client.retry_deliveries()
    ended = client.wait("run_1", 30)
    assert (ended["status"], ended["text"]) == ("completed", "It is 1.")
    assert cloud.done() == ["explain 1"] and len(cloud.endpoint.records) == 4
    audit = [each["what"] for each in client.delivery(told.approval)["audit"]]
    assert (audit[0], set(audit[1:-1]), audit[-1]) == ("deferred", {"tried"}, "delivered")


@pytest.mark.parametrize("fault", ["unavailable", "rate-limit-bare", "html-error"])
def test_a_cloud_that_is_there_and_answers_nothing_is_away(
    home: Home, tmp_path: Path, cloud: Cloud, fault: str
) -> None:
    """Its caller hears within seconds that the request is kept, and not when its two minutes are over."""
    cloud.endpoint.faults = [parse_fault(f"{fault}@1-12")]
    cloud.switch.on()
    client = start(home)
    client.apply(Wanted(shop(tmp_path, cloud)))
    began = time.monotonic()
    told = ask(client)
    assert (told.status, time.monotonic() - began < 15) == ("waiting", True)
    cloud.endpoint.faults = []
    client.retry_deliveries()
    assert client.wait("run_1", 60)["status"] == "completed" and cloud.done() == ["explain 1"]


@pytest.mark.parametrize("fault", ["unauthorized", "forbidden", "model-missing"])
def test_one_refusal_of_the_cloud_ends_nothing_that_waits(home: Home, tmp_path: Path, cloud: Cloud, fault: str) -> None:
    """A key that is revoked for a minute, or a model that is loaded anew: three wait, one is refused, and all are answered."""
    cloud.endpoint.faults = [parse_fault(f"{fault}@1")]
    client = start(home)
    client.apply(Wanted(shop(tmp_path, cloud)))
    waiting = [ask(client, number) for number in (1, 2, 3)]
    cloud.switch.on()
    client.retry_deliveries()
    eventually(lambda: len(cloud.endpoint.records) == 1, 20)
    assert ask(client, 4).status == "waiting", "it comes while the cloud is left alone"
    client.retry_deliveries()
    ended = [client.wait(f"run_{number}", 60) for number in (1, 2, 3, 4)]
    assert [each["text"] for each in ended] == [f"It is {number}." for number in (1, 2, 3, 4)]
    assert {each.status for each in waiting} == {"waiting"} and len(cloud.done()) == 4


def test_a_retry_by_name_is_sent_though_the_cloud_asked_for_two_hours(home: Home, tmp_path: Path, cloud: Cloud) -> None:
    """Until then the list says for how long the cloud is left alone, and which of them is tried first."""
    cloud.endpoint.faults = [parse_fault("rate-limit:7200s@1")]
    client = start(home)
    client.apply(Wanted(shop(tmp_path, cloud)))
    first, second = ask(client, 1), ask(client, 2)
    cloud.switch.on()
    client.retry_deliveries()
    eventually(lambda: bool(client.delivery(first.approval)["error"]), 20)
    eventually(lambda: client.delivery(first.approval)["again"] > time.time() + 60, 20)
    told = [client.delivery(each.approval) for each in (first, second)]
    assert [each["behind"] for each in told] == ["", first.approval]
    assert all(200 < each["again"] - time.time() <= 300 for each in told)
    assert client.retry_deliveries(second.approval) == 1
    assert client.wait("run_2", 20)["text"] == "It is 2." and client.wait("run_1", 20)["text"] == "It is 1."
