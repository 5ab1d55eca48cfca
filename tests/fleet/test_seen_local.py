"""What verbs see of a fleet whose nodes all are on this machine: the runs, approvals, deliveries and labels of all of its nodes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from psutil import Process

from orchestrator.app.fleet.local import LocalFleet
from orchestrator.core.errors import NoSuchApproval
from orchestrator.core.request import Request
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.stated import StatedModel
from tests.cli.commands import Ran, apart, here
from tests.cli.serving import answering

SHOP: Final = """
metadata: {name: shop}
deployment:
  type: distributed-edge
  nodes:
    - {id: edge-1, agents: [desk, keeper]}
    - {id: edge-2, agents: [clerk, buyer, far], models: [small, gone], pin: true}
  models:
    - {alias: small, provider: llama-cpp, model: small, endpoint: "SMALL"}
    - {alias: gone, provider: llama-cpp, model: gone, endpoint: "http://127.0.0.1:9"}
  tools: [{name: tickets, use: tickets, approval: writes}]
  agents:
    - {name: desk, description: Says when it is open., reflex: [{say: Nine to six.}]}
    - {name: keeper, description: Keeps the key., exclusive: true, reflex: [{say: I have it.}]}
    - {name: clerk, description: Knows the prices., model: small, escalate_when: [low_confidence], escalate_to: desk}
    - name: buyer
      description: Opens tickets.
      tools: [tickets]
      reflex: [{call: tickets.create, arguments: {subject: '{{ text }}'}, say: 'Ticket {{ result.number }}.'}]
    - {name: far, description: Is away., model: gone, store_and_forward: {expires: 1h}}
"""
OFFICE: Final = """
metadata: {name: office}
deployment:
  type: single-device
  tools: [{name: tickets, approval: writes}]
  agents:
    - name: buyer
      description: Opens tickets.
      tools: [tickets]
      reflex: [{call: tickets.create, arguments: {subject: '{{ text }}'}, say: 'Ticket {{ result.number }}.'}]
"""
ANSWERS: Final = {f"price {number}": f"{number} euro" for number in range(9)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFleet]:
    """Two nodes, and a user who has no other runtime."""
    folder = tmp_path_factory.mktemp("seen")
    small = SimulatedEndpoint(("small",), StatedModel(answers=ANSWERS, accuracy=1.0))
    with answering(small, "llama-cpp") as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCHESTRATOR_HOME", str(folder / "home"))
        patch.setenv("ORCHESTRATOR_SERVERS", "")
        manifest = folder / "shop.yaml"
        manifest.write_text(SHOP.replace("SMALL", url))
        try:
            applied = here("apply", str(manifest), "--local")
            assert applied.code == 0, applied.err
            yield LocalFleet.of(folder / "home" / "state", "shop")
        finally:
            here("down", "shop")


def told(*words: str) -> Any:
    """What a verb tells programs."""
    ran = here(*words, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def asked(text: str, agent: str, node: str) -> dict[str, Any]:
    """The run of a request that comes to a node."""
    ran = here("run", "shop", text, "--agent", agent, "--node", node, "--json")
    found: dict[str, Any] = json.loads(ran.out)
    return found


def told_when(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """The first good answer of several. It waits for real processes."""
    end = time.monotonic() + 20
    while not good(found := ask()):
        assert time.monotonic() < end, found
        time.sleep(0.1)  # another process answers; it gives no sign that could be waited for
    return found


def columns_of(ran: Ran, *heads: str) -> list[tuple[str, ...]]:
    """Some columns of a table without spaces in its cells up to them."""
    first, *rest = ran.out.splitlines()
    places = [first.split().index(head) for head in heads]
    return [tuple(line.split()[place] for place in places) for line in rest]


def test_a_run_is_explained_wherever_it_came_in_and_counts_once(fleet: LocalFleet) -> None:
    before = told("report", "shop")["runs"]
    near, passed_on = asked("open?", "desk", "edge-1"), asked("open?", "desk", "edge-2")
    assert passed_on["node"] == "edge-1"
    report = told("report", "shop")
    assert report["runs"] == before + 2 and sum(report["nodes"].values()) == report["runs"]
    assert report["tiers"]["rule"]["count"] >= 2 and report["away"] == []
    assert told("report", "shop", "--last", "1")["nodes"] == {"edge-1": 0, "edge-2": 1}
    head = here("report", "shop").out.splitlines()[1]
    assert head == f"  came in on edge-1 ({report['nodes']['edge-1']}), edge-2 ({report['nodes']['edge-2']})"
    for run, node in ((near, "edge-1"), (passed_on, "edge-2")):
        assert told("explain", "run", run["id"][:12])["kept_on"] == node
        assert f"kept on     node {node}" in here("explain", "run", run["id"]).out
    last = told("explain", "run")
    assert (last["id"], last["kept_on"]) == (passed_on["id"], "edge-2")
    [there] = {step["detail"]["run"] for step in last["steps"]}
    part = told("explain", "run", there)
    assert (part["id"], part["kept_on"]) == (there, "edge-1") and there.startswith(f"{last['id']}.")


def test_what_no_node_has_and_what_several_have_is_told(fleet: LocalFleet) -> None:
    asked("open?", "desk", "edge-1"), asked("open?", "desk", "edge-2")
    for words, code, why in (
        (("explain", "run", "run_none"), 64, 'no run begins with "run_none"'),
        (("explain", "run", "run_"), 64, 'several runs begin with "run_"'),
        (("label", "run_none", "right"), 64, 'no run begins with "run_none"'),
        (("approvals", "show", "apv_none"), 4, "error[ORC440]"),
        (("approvals", "deny", "apv_none"), 4, "error[ORC440]"),
        (("outbox", "show", "dlv_none"), 4, "error[ORC442]"),
        (("outbox", "cancel", "dlv_none"), 4, "error[ORC442]"),
        (("outbox", "retry", "dlv_none"), 4, "error[ORC442]"),
    ):
        ran = here(*words)
        assert ran.code == code and why in ran.err, (words, ran.err)
    for node in fleet.nodes:  # a program names its requests as it likes
        fleet.client(node).run("shop", Request("open?", agent="desk", id="order"))
    twice = here("explain", "run", "order")
    assert twice.code == 64 and "order is there more than once: edge-1, edge-2" in twice.err


def test_what_waits_for_a_person_on_any_node_is_listed_and_decided(fleet: LocalFleet) -> None:
    first, second = asked("it burns", "buyer", "edge-1"), asked("it floods", "buyer", "edge-2")
    assert first["status"] == second["status"] == "waiting"
    for words in ((), ("shop",)):
        listed = columns_of(here("approvals", "list", *words), "APPROVAL", "DEPLOYMENT", "NODE")
        assert listed == [(each["approval"], "shop", "edge-2") for each in (second, first)]
    assert "node        edge-2" in here("approvals", "show", first["approval"]).out
    agreed = here("approvals", "approve", first["approval"], "--yes")
    assert agreed.code == 0 and f"{first['approval']} is approved" in agreed.out
    denied = told("approvals", "deny", second["approval"][:14], "--by", "lea")
    assert (denied["state"], denied["node"]) == ("denied", "edge-2")
    assert here("approvals", "list").out == "nothing waits for a person\n"
    assert {each["state"] for each in told("approvals", "list", "shop", "--all")} == {"approved", "denied"}


def test_a_run_that_waits_for_a_person_on_another_node_is_known_on_its_own(fleet: LocalFleet) -> None:
    """Its part there ends; who explains, reports or waits is told how."""
    waiting = told("report", "shop")["tiers"]["waiting"]["count"]
    run = asked("it burns", "buyer", "edge-1")
    found = told("explain", "run", run["id"])
    assert (found["id"], found["status"], found["kept_on"]) == (run["id"], "waiting", "edge-1")
    assert found["goes_on"]["node"] == "edge-2" and found["goes_on"]["status"] == "waiting"
    assert told("report", "shop")["tiers"]["waiting"]["count"] == waiting + 1
    shown = here("explain", "run", run["id"]).out
    assert f"a person on node edge-2: there orchestrator approvals show {run['approval']}" in shown
    with pytest.raises(NoSuchApproval, match=f"here: {run['id']} waits for a person on node edge-2"):
        fleet.client("edge-1").approval(run["approval"])
    assert here("approvals", "approve", run["approval"], "--yes").code == 0
    ended = fleet.client("edge-1").wait(run["id"], 20.0)
    assert (ended["status"], ended["node"]) == ("completed", "edge-2") and ended["text"].startswith("Ticket T-")
    found = told("explain", "run", run["id"])
    assert (found["id"], found["status"], found["kept_on"]) == (run["id"], "completed", "edge-1")
    assert "goes_on" not in found and found["text"] == ended["text"]
    assert told("report", "shop")["tiers"]["waiting"]["count"] == waiting

    def allow() -> None:
        [each] = told_when(lambda: told("approvals", "list", "shop"), lambda listed: len(listed) == 1)
        here("approvals", "approve", each["id"], "--yes")

    person = threading.Thread(target=allow)
    person.start()
    waited = here("run", "shop", "it floods", "--agent", "buyer", "--wait", "--timeout", "20s")
    person.join()
    assert waited.code == 0 and "Ticket T-" in waited.out.splitlines()[-1], waited


def test_what_waits_for_its_target_is_found_on_the_node_that_it_came_to(fleet: LocalFleet) -> None:
    kept = {node: asked(f"from {node}", "far", node) for node in ("edge-1", "edge-2")}
    assert {each["status"] for each in kept.values()} == {"waiting"}
    for words in ((), ("shop",)):
        listed = columns_of(here("outbox", "list", *words), "DELIVERY", "NODE")
        assert sorted(listed) == sorted((each["approval"], node) for node, each in kept.items())
    shown = told("outbox", "show", kept["edge-1"]["approval"])
    assert (shown["request"], shown["node"]) == ("from edge-1", "edge-1")
    assert here("outbox", "retry").out == "2 are tried now\n"
    assert here("outbox", "retry", kept["edge-2"]["approval"]).out == "1 is tried now\n"
    for node, each in kept.items():
        ended = told("outbox", "cancel", each["approval"])
        assert (ended["state"], ended["node"]) == ("cancelled", node)
    assert here("outbox", "list").out == "nothing waits for its target\n"


def test_a_label_is_noted_where_the_answer_was_made_and_each_node_fits_its_own(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    passed_on, near = asked("price 1", "clerk", "edge-1"), asked("price 2", "clerk", "edge-2")
    ran = here("label", passed_on["id"], "right")
    assert ran.code == 0 and f"{passed_on['id']}." in ran.out and " on edge-2: the answer of clerk was right" in ran.out
    assert told("label", near["id"], "wrong")["node"] == "edge-2"
    found = told("calibrate", "shop")
    assert [(each["node"], each["labelled"], each["right"], each["serves"]) for each in found["scales"]] == [
        ("edge-2", 2, 1, True)
    ]
    assert (found["nodes"], found["away"]) == (["edge-1", "edge-2"], [])
    cases = tmp_path / "cases.jsonl"
    cases.write_text(json.dumps({"text": "price 3", "answer": "3 euro", "agent": "clerk"}))
    shown = here("calibrate", "shop", "--cases", str(cases))
    assert "1 labels noted, 1 of them right" in shown.err and "each node fits what was labelled of its own" in shown.err
    assert "shop on edge-1: nothing is labelled yet" in shown.out
    assert "clerk, llama-cpp/small, low_confidence:margin:0.1 on edge-2: 3 labelled answers" in shown.out


def test_the_users_own_runtime_is_asked_beside_the_fleet(fleet: LocalFleet, tmp_path: Path) -> None:
    """What is named is found in either; what is not named is shown of both. It does not run in the other tests."""
    manifest = tmp_path / "office.yaml"
    manifest.write_text(OFFICE)
    there, waits = asked("open?", "desk", "edge-1"), asked("it burns", "buyer", "edge-2")
    try:
        assert apart("apply", str(manifest)).code == 0  # with this environment: a runtime is started in its home
        own = told("run", "office", "it rains")
        assert own["status"] == "waiting"
        listed = columns_of(here("approvals", "list"), "APPROVAL", "DEPLOYMENT", "NODE")
        assert listed == [(own["approval"], "office", "-"), (waits["approval"], "shop", "edge-2")]
        assert [each["id"] for each in told("approvals", "list", "office")] == [own["approval"]]
        assert "NODE" not in here("approvals", "list", "office").out
        assert "kept_on" not in told("explain", "run", own["id"]) and told("explain", "run")["id"] == own["id"]
        assert told("explain", "run", there["id"])["kept_on"] == "edge-1"
        ambiguous = here("approvals", "deny", "apv_")
        assert ambiguous.code == 64 and 'several approvals begin with "apv_"' in ambiguous.err
        for approval in (own, waits):
            assert told("approvals", "deny", approval["approval"])["state"] == "denied"
        assert "nodes" not in told("report", "office")
    finally:
        here("runtime", "stop")


def test_a_conversation_goes_to_the_fleet(fleet: LocalFleet) -> None:
    talk = here("chat", "shop", "--agent", "desk", stdin="are you open?\n/why\n")
    assert talk.code == 0 and "Nine to six." in talk.out


def test_who_holds_which_lease_is_seen_from_each_node(fleet: LocalFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for node in fleet.nodes:
        assert (
            "agent.keeper is exclusive, and edge-1 has its lease: epoch " in here("status", "shop", "--node", node).out
        )
        with monkeypatch.context() as patch:
            patch.setenv("ORCHESTRATOR_HOME", str(fleet.root / node))
            assert "  edge-1 leads: epoch " in here("node", "status").out
            [deployment] = told("node", "status")["sees"]["deployments"]
        leader, keeper = deployment["leases"]
        assert (leader["lease"], leader["node"]) == ("leader", "edge-1") and leader["epoch"] > 0
        assert (keeper["lease"], keeper["node"]) == ("agent.keeper", "edge-1") and keeper["epoch"] > 0
        assert keeper["held_seconds"] >= 0 and keeper["heard_seconds_ago"] < 1


def test_a_node_that_does_not_answer_is_named_and_the_rest_is_shown(fleet: LocalFleet) -> None:
    """One of its nodes is killed for it; the tests after it need none."""
    waits, kept = asked("it burns", "buyer", "edge-2"), asked("from edge-1", "far", "edge-1")
    process = Process(fleet.client("edge-2").about()["pid"])
    process.kill()
    process.wait(10)
    away = "node edge-2 of shop, whose nodes all are on this machine, does not run"
    row = {"id": "", "state": "away", "deployment": "shop", "node": "edge-2", "why": away}
    for words in (("outbox", "list"), ("outbox", "list", "shop")):
        shown = here(*words)
        assert shown.code == 0 and f"not heard: {away}; orchestrator apply FILE --local starts it\n" == shown.err
        assert columns_of(shown, "DELIVERY", "NODE") == [(kept["approval"], "edge-1")]
        assert [each["id"] for each in told(*words)] == [kept["approval"], ""] and told(*words)[-1] == row
    assert told("report", "shop")["away"] == [{"deployment": "shop", "node": "edge-2", "why": away}]
    gone = here("approvals", "show", waits["approval"])
    assert gone.code == 4 and "error[ORC440]" in gone.err and away in gone.err
    assert "not heard" not in here("outbox", "show", kept["approval"]).err


def test_a_name_that_the_users_own_runtime_serves_by_now_is_that_runtimes(fleet: LocalFleet, tmp_path: Path) -> None:
    """The fleet has ended; its homes are kept, and nobody answers there."""
    assert here("down", "shop").code == 0
    gone = here("report", "shop")
    assert gone.code == 4 and "of shop, whose nodes all are on this machine, does not run" in gone.err
    manifest = tmp_path / "office.yaml"
    manifest.write_text(OFFICE)
    try:
        assert apart("apply", str(manifest), "--name", "shop").code == 0
        waits = told("run", "shop", "it rains")
        assert [each["id"] for each in told("approvals", "list", "shop")] == [waits["approval"]]
        assert told("report", "shop")["runs"] == 1
    finally:
        here("runtime", "stop")
