"""The seed's distributed manifest, verbatim, with all of its nodes on this machine: real runtimes, real servers, real links."""

from __future__ import annotations

import json
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest
from psutil import process_iter

from orchestrator.app.fleet.identity import FleetFolder
from orchestrator.app.fleet.local import LocalFleet
from orchestrator.app.fleet.records import read_record
from orchestrator.core.errors import RuntimeUnavailable
from orchestrator.core.request import Request, Result
from tests.cli.commands import ROOT, Ran, here
from tests.fleet.seed import NAME, misplaced

MANIFEST: Final = ROOT / "manifests" / "distributed-edge.yaml"
Seen = TypeVar("Seen")
PAIR: Final = """
deployment:
  type: distributed-edge
  nodes:
    - {id: edge-1, agents: [customer-service], models: [phi-4-mini]}
    - {id: edge-2, agents: [scheduling], models: [phi-4-mini]}
  coordination: {failover: automatic}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the user who applies."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def applied(home: Path) -> Iterator[Ran]:
    """The fleet, and what the command said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCHESTRATOR_HOME", str(home))
        patch.setenv("ORCHESTRATOR_SERVERS", "")
        try:
            yield here("apply", str(MANIFEST), "--local")
        finally:
            here("down", NAME)


@pytest.fixture(scope="module")
def fleet(home: Path, applied: Ran) -> LocalFleet:
    """Its nodes."""
    assert applied.code == 0, applied.err
    return LocalFleet.of(home / "state", NAME)


def test_one_command_starts_all_nodes_and_says_who_holds_what(applied: Ran, fleet: LocalFleet) -> None:
    assert applied.out.splitlines()[:5] == [
        "distributed-edge runs on its fleet, generation 1",
        "  agent.customer-service  edge-1  (the manifest names it there)",
        "  agent.documentation  edge-2  (the manifest names it there)",
        "  agent.scheduling  edge-1  (the manifest names it there)",
        "  agent.technical-support  edge-2  (the manifest names it there)",
    ]
    assert fleet.nodes == ["edge-1", "edge-2"]


def test_an_apply_says_which_node_serves_none_of_the_models_that_its_agents_need(
    applied: Ran, fleet: LocalFleet
) -> None:
    lines = applied.out.splitlines()
    assert lines[5] == "not as wanted, as a model is not served there; what cures it is typed there:"
    said = {" ".join(line.split()[:3]): line for line in lines[6:10]}
    assert said.keys() == {
        "agent.customer-service on edge-1",
        "agent.scheduling on edge-1",
        "agent.technical-support on edge-2",
        "agent.documentation on edge-2",
    }
    assert all("phi-4-mini" in line for place, line in said.items() if place.endswith("edge-1"))
    assert all("qwen2.5-coder-0.5b" in line for place, line in said.items() if place.endswith("edge-2"))
    assert all(" it would also answer in free words: " in line for line in said.values())
    status = here("status", NAME, "--node", "edge-1").out
    assert "agent.documentation on edge-2" in status and "on edge-1 " not in status
    assert said.keys() <= {" ".join(line.split()[:3]) for line in here("status").out.splitlines()}


def test_the_request_that_an_apply_proposes_is_answered(applied: Ran) -> None:
    command = next(line.split("try", 1)[1] for line in applied.out.splitlines() if line.startswith("  try "))
    typed = shlex.split(command)
    assert typed[:3] == ["orchestrator", "run", NAME]
    answered = here(*typed[1:], "--json")
    assert answered.code == 0 and json.loads(answered.out)["text"]


@pytest.mark.parametrize("node", ["edge-1", "edge-2"])
def test_through_each_node_the_right_agent_answers_on_the_right_node(fleet: LocalFleet, node: str) -> None:
    """The same 50 requests; of every result, the agent and the node are those of the manifest."""
    assert misplaced(fleet.client(node)) == []


def test_an_answer_of_another_node_is_heard_in_pieces(fleet: LocalFleet) -> None:
    heard: list[str] = []
    result = fleet.client("edge-2").run(
        NAME, Request("what is on my calendar tomorrow"), lambda event: heard.append(str(event.fields.get("text", "")))
    )
    assert result.node == "edge-1" and result.text and result.text in "".join(heard)


def test_top_shows_all_nodes_from_each_of_them(fleet: LocalFleet) -> None:
    for node in fleet.nodes:
        shown = here("top", NAME, "--node", node).out.splitlines()
        assert [line.split()[:3] for line in shown[1:]] == [[NAME, each, "alive"] for each in fleet.nodes]
        assert shown[0].split()[:3] == ["DEPLOYMENT", "NODE", "STATE"]


def test_status_and_top_without_a_name_show_it_too(fleet: LocalFleet) -> None:
    """Beside the user's own runtime, of which there is none here."""
    first, *rest = here("status").out.splitlines()
    assert first.startswith("no runtime runs beside the local fleets below")
    assert f"the nodes of {NAME} are on this machine: orchestrator status {NAME}" in rest
    assert [line.split()[:2] for line in rest if line.startswith("edge-")] == [[node, "alive"] for node in fleet.nodes]
    [told] = json.loads(here("status", "--json").out)["local_fleets"]
    assert (told["name"], told["nodes"]) == (NAME, {"edge-1": True, "edge-2": True})
    assert [line.split()[:2] for line in here("top").out.splitlines()[1:]] == [[NAME, node] for node in fleet.nodes]
    unnamed = here("status", "--node", "edge-1")
    assert unnamed.code == 64 and "needs the name of a deployment" in unnamed.err


def test_cures_are_those_of_a_node_not_of_the_users_own_runtime(fleet: LocalFleet) -> None:
    refused = here("rollback", NAME)
    assert refused.code == 4 and "cure: apply the earlier manifest to the fleet" in refused.err
    client = fleet.client("edge-2")
    client.socket = client.socket.with_name("gone.sock")
    with pytest.raises(RuntimeUnavailable, match="node edge-2 of distributed-edge, whose nodes") as away:
        client.about()
    assert away.value.cure == "orchestrator apply FILE --local starts it"


def test_logs_show_the_events_of_all_nodes_from_each_of_them(fleet: LocalFleet) -> None:
    """In the order of their times, each with its node; ``--node`` picks one, and follows it as well."""
    asked(fleet, "edge-1", "find the manual of the printer")
    for node in fleet.nodes:
        entries = list(fleet.client(node).logs(NAME, 200))
        assert {each["node"] for each in entries} == {"edge-1", "edge-2"}
        assert [each["at"] for each in entries] == sorted(each["at"] for each in entries)
    shown = here("logs", NAME, "--node", "edge-2").out.splitlines()
    assert shown and all(line.split()[2] == "edge-2" for line in shown)
    assert "run.finished" in shown[-1] + shown[-2]
    following = fleet.client("edge-1").logs(NAME, 0, follow=True)
    heard: list[str] = []

    def listen() -> None:
        heard.append(next(each["node"] for each in following if each["kind"] == "run.finished"))

    listener = threading.Thread(target=listen)
    listener.start()
    end = time.monotonic() + 20
    while listener.is_alive():
        assert time.monotonic() < end
        asked(fleet, "edge-2", "find the manual of the printer")
        time.sleep(0.3)  # it may not follow yet
    following.close()  # type: ignore[attr-defined] # a generator, as all of its answers
    assert heard == ["edge-2"]
    nowhere = here("logs", NAME, "--node", "edge-7")
    assert nowhere.code == 64 and "edge-1, edge-2" in nowhere.err


def test_each_step_of_an_apply_is_logged_once_on_each_node(fleet: LocalFleet) -> None:
    for node in fleet.nodes:
        begun = [
            (each["revision"], each["number"])
            for each in fleet.client(node).logs(NAME, 1000, node=node)
            if each["kind"] == "apply.step" and each["state"] == "started"
        ]
        assert begun and len(begun) == len(set(begun))


def test_its_name_cannot_be_applied_to_the_users_own_runtime_too(fleet: LocalFleet, tmp_path: Path) -> None:
    other = tmp_path / "one.yaml"
    other.write_text("deployment: {type: single-device, agents: [{name: desk, reflex: [{say: mine}]}]}")
    clash = here("apply", str(other), "--name", NAME)
    assert clash.code == 4 and f"error[ORC416]: {NAME} is served here already, by nodes that all are on" in clash.err
    assert f"cure: orchestrator down {NAME} ends those" in clash.err
    assert here("runtime", "status").out == "no runtime runs\n"
    assert here("plan", str(MANIFEST)).code == 0


def test_applied_again_nothing_changes_and_nobody_notices(fleet: LocalFleet) -> None:
    again = here("apply", str(MANIFEST), "--local")
    assert again.code == 0 and again.out.startswith("distributed-edge runs on its fleet, generation 1, as before")
    assert asked(fleet, "edge-2", "what is on my calendar tomorrow").node == "edge-1"


def test_a_node_that_hangs_is_out_of_routing_and_back_soon_after(fleet: LocalFleet) -> None:
    """It is stopped for longer than its servers wait for it, so that it must connect to its bus again."""
    process, manual = fleet.client("edge-2").about()["pid"], "find the manual of the printer"
    os.kill(process, signal.SIGSTOP)
    try:
        until(lambda: health(fleet, "edge-1", "edge-2"), lambda seen: seen == "suspect", 5.0)
        time.sleep(3)  # the servers are real
    finally:
        os.kill(process, signal.SIGCONT)
    back = until(lambda: asked(fleet, "edge-1", manual), lambda result: result.node == "edge-2", 5.0)
    assert back.agent == "documentation"


def test_a_node_whose_leaf_is_killed_is_back_soon_after(fleet: LocalFleet) -> None:
    folder = FleetFolder(fleet.host("edge-2").folders(make=False).state / "fleet")
    record = read_record(folder.servers, "leaf")
    assert record is not None and record.process is not None
    os.kill(record.process.pid, signal.SIGKILL)
    manual = "find the manual of the printer"
    until(lambda: asked(fleet, "edge-1", manual), lambda result: result.node == "edge-2", 8.0)


def test_a_node_that_is_killed_is_covered_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its agent is adopted by the other one, which has its model too; when it is back and stays, the agent is its again."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    manifest = tmp_path / "pair.yaml"
    manifest.write_text(PAIR)
    text = "what is on my calendar tomorrow"
    try:
        assert here("apply", str(manifest), "--local").code == 0
        fleet = LocalFleet.of(tmp_path / "home" / "state", "pair")
        assert asked(fleet, "edge-1", text, "pair").node == "edge-2"
        os.kill(fleet.client("edge-2").about()["pid"], signal.SIGKILL)
        lost = asked(fleet, "edge-1", text, "pair")
        gone = here("run", "pair", text, "--node", "edge-2")
        assert "node edge-2 of pair, " in gone.err and "cure: orchestrator apply FILE --local starts it" in gone.err
        assert "not running: edge-2; orchestrator apply FILE --local starts" in here("status").out
        adopted = until(lambda: asked(fleet, "edge-1", text, "pair"), is_of("edge-1"), 40.0)
        assert lost.status == "failed" or lost.node == "edge-1"
        assert (adopted.agent, adopted.status) == ("scheduling", "completed")
        again = here("apply", str(manifest), "--local")  # starts what is not there, and waits until it is heard
        assert again.code == 0 and "node.edge-2 is" not in again.out, again.out
        assert [health(fleet, *pair) for pair in (("edge-1", "edge-2"), ("edge-2", "edge-1"))] == ["alive", "alive"]
        until(lambda: asked(fleet, "edge-1", text, "pair"), is_of("edge-2"), 60.0)
        monkeypatch.setenv("ORCHESTRATOR_HOME", str(fleet.root / "edge-2"))
        assert here("node", "drain").code == 0  # nobody waits for it to be dead: its agent goes over while it lives
        until(lambda: asked(fleet, "edge-1", text, "pair"), is_of("edge-1"), 20.0)
        assert "edge-2  alive" in here("node", "status").out
        os.kill(fleet.client("edge-1").about()["pid"], signal.SIGKILL)
        _an_island_knows_itself(fleet)
        monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
        for verb in (["status", "pair"], ["top", "pair"], ["logs", "pair"]):
            without_hub = here(*verb)
            assert without_hub.code == 0 and "edge-2" in without_hub.out
            assert "note: edge-1, the hub's node, does not run: edge-2 is asked; " in without_hub.err
        assert "node edge-1 of pair" in here("status", "pair", "--node", "edge-1").err
        ended = here("down", "--all")
        assert (ended.code, ended.out) == (0, "pair is down; its 2 nodes have ended, and their state stays\n")
        assert [
            each.info["cmdline"] for each in process_iter(["cmdline"]) if str(tmp_path) in str(each.info["cmdline"])
        ] == []
    finally:
        monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
        here("down", "pair")


def _an_island_knows_itself(fleet: LocalFleet) -> None:
    """Without the hub's server: what each node wrote on the board cannot be read then."""
    hub = read_record(FleetFolder(fleet.host("edge-1").folders(make=False).state / "fleet").servers, "hub")
    assert hub is not None and hub.process is not None
    os.kill(hub.process.pid, signal.SIGKILL)
    island = until(lambda: fleet.client("edge-2").fleet() or {}, lambda seen: not seen["linked"], 20.0)
    own = island["deployments"][0]["nodes"]["edge-2"]
    assert (own["health"], own["generation"], own["work"]) == ("alive", 1, "draining")
    assert [each["agent"] for each in own["lacking"]] == [f"agent.{agent}" for agent in own["agents"]]
    [leader] = island["deployments"][0]["leases"]
    assert (leader["lease"], leader["node"]) == ("leader", "edge-1")
    shown = until(lambda: here("node", "status").out, lambda told: " its leases, as last heard " in told, 10.0)
    assert "    edge-1 leads: epoch " in shown


def asked(fleet: LocalFleet, node: str, text: str, name: str = NAME) -> Result:
    """Every request ends in one way, whatever happens."""
    result = fleet.client(node).run(name, Request(text, timeout=10.0), None)
    assert result.status in ("completed", "unsure", "failed")
    return result


def is_of(node: str) -> Callable[[Result], bool]:
    """Whether it was answered there."""
    return lambda result: result.node == node and result.status == "completed"


def health(fleet: LocalFleet, node: str, other: str) -> str:
    """How a node sees another one."""
    [deployment] = (fleet.client(node).fleet() or {})["deployments"]
    return str(deployment["nodes"][other]["health"])


def until(ask: Callable[[], Seen], good: Callable[[Seen], bool], seconds: float) -> Seen:
    """The first good answer of several. It waits for real processes."""
    end = time.monotonic() + seconds
    while True:
        result = ask()
        if good(result):
            return result
        assert time.monotonic() < end, result
        time.sleep(0.5)  # real processes find out about each other in real time
