"""``simulate``: what it prints, that it repeats, what it draws, and what it says of wrong words."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.commands import ROOT, apart, golden, here

FLEET = """\
metadata: {name: fleet}
deployment:
  type: distributed-edge
  models:
    - {alias: phi-4-mini, max_concurrent: 4}
    - {alias: qwen2.5-0.5b, max_concurrent: 4}
  nodes:
    - {id: edge-1, hub: true, agents: [billing, {name: support, alternatives: [qwen2.5-0.5b]}], models: [phi-4-mini]}
    - {id: edge-2, agents: [documentation, {name: scheduling, exclusive: true}], models: [qwen2.5-0.5b, phi-4-mini]}
    - {id: edge-3, agents: [{name: triage, replicas: 2}], models: [qwen2.5-0.5b]}
  coordination: {load_balancing: true, failover: automatic}
"""
ONE = """\
metadata: {name: one}
deployment:
  type: single-device
  models: [{alias: qwen2.5-0.5b, max_concurrent: 2}]
  agents: [{name: desk, model: qwen2.5-0.5b}, {name: porter, model: qwen2.5-0.5b}]
"""


@pytest.fixture(autouse=True)
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two manifests, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("fleet.yaml").write_text(FLEET)
    Path("one.yaml").write_text(ONE)


FAILS = ("--rps", "20", "--service", "50ms", "--fail", "edge-2@9s+20s", "--fail", "edge-3-hub@34s+24s")


def test_it_says_who_waited_what_breaks_and_how_to_mend_it() -> None:
    """Two faults that the fleet mends by itself, the second one after some requests were lost."""
    ran = here("simulate", "fleet.yaml", "--duration", "60s", *FAILS)
    assert ran.out == golden("simulate/fleet.txt", ran.out)
    assert (ran.code, ran.err) == (5, "")
    assert "documentation taken over by edge-1" in ran.out and "write replicas: 2" in ran.out


def test_an_agent_that_only_the_dead_node_can_hold_is_told_with_its_place_and_cure() -> None:
    """The hub's node is such a one, and takes the hub with it: the others go on."""
    ran = here(
        "simulate", "fleet.yaml", "--duration", "40s", "--rps", "10", "--service", "20ms", "--fail", "edge-1@10s"
    )
    assert ran.code == 5
    assert "edge-1 fails at 10 s and stays away" in ran.out
    assert "billing taken over by edge-2" in ran.out  # it has phi-4-mini too
    alone = FLEET.replace("models: [qwen2.5-0.5b, phi-4-mini]", "models: [qwen2.5-0.5b]")
    Path("fleet.yaml").write_text(alone)
    told = here("simulate", "fleet.yaml", "--duration", "40s", "--service", "20ms", "--fail", "edge-1@10s").out
    assert "edge-1 is the only holder of billing, and it fails: no node that is alive has phi-4-mini" in told
    assert "--> fleet.yaml:8:40 in agent.billing" in told
    assert "cure: add phi-4-mini to the models of edge-2, or name qwen2.5-0.5b in its alternatives" in told
    assert "support taken over by edge-" in told


def test_a_fleet_that_fails_as_a_whole_answers_nobody_and_says_so() -> None:
    """No living node took any of these requests on, so that none is lost; and nobody would call that well. No door is named as a
    cure, as there is none."""
    failing = [word for node in (1, 2, 3) for word in ("--fail", f"edge-{node}@10s")]
    ran = here("simulate", "fleet.yaml", "--duration", "40s", "--rps", "10", "--service", "20ms", *failing)
    assert ran.code == 5 and "changes nothing" not in ran.out
    unheard = int(
        re.findall(r"lost: none .*; (\d+) found no connection, or lost it, and no node that lived", ran.out)[0]
    )
    told = json.loads(here("simulate", "fleet.yaml", "--duration", "40s", "--rps", "10", *failing, "--json").out)
    assert told["lost"] == 0 and told["unheard"] == told["counts"]["away"] + told["counts"]["gone"]
    assert unheard > 250
    assert "give the fleet a node more that has qwen2.5-0.5b, which does not fail with the others" in ran.out
    assert "let callers ask another node" not in ran.out
    assert re.search(
        r"only holder of documentation, and it fails: no other node is alive; \d+ find no connection", ran.out
    )


def test_restricted_data_waits_for_its_own_node_each_time_that_this_fails() -> None:
    """It is asked for at that node's door alone: all that come meanwhile find no connection."""
    Path("fleet.yaml").write_text(MESHED)
    words = ("--rps", "20", "--service", "1ms", "--duration", "60s", "--share", "vault=4")
    faults = ("--fail", "edge-3@10s+10s", "--fail", "edge-3@35s+10s")
    ran = here("simulate", "fleet.yaml", *words, *faults)
    told = re.findall(
        r"only holder of vault, and it fails: restricted data stays there; (\d+) find no connection", ran.out
    )
    assert ran.code == 5 and len(told) == 2 and all(int(count) > 20 for count in told)
    counts = json.loads(here("simulate", "fleet.yaml", *words, *faults, "--json").out)
    [vault] = [each["counts"] for each in counts["agents"] if each["agent"] == "vault"]
    assert sum(map(int, told)) == vault["away"] + vault["gone"]
    assert "for vault, no other node would: mend what is said of that" in ran.out


MESHED = """\
metadata: {name: meshed}
deployment:
  type: distributed-edge
  nodes:
    - {id: edge-1, agents: [porter], models: [phi-4-mini]}
    - {id: edge-2, hub: true, agents: [desk, clerk], models: [phi-4-mini, qwen2.5-0.5b]}
    - {id: edge-3, agents: [archive, vault], models: [qwen2.5-0.5b]}
  coordination: {load_balancing: true, failover: automatic}
  agents:
    - {name: porter, model: phi-4-mini}
    - {name: desk, model: phi-4-mini}
    - {name: clerk, model: phi-4-mini, exclusive: true}
    - {name: archive, model: qwen2.5-0.5b}
    - {name: vault, model: qwen2.5-0.5b, compliance: [GDPR]}
"""
CURED = (
    MESHED.replace(
        "edge-1, agents: [porter], models: [phi-4-mini]", "edge-1, agents: [porter], models: [phi-4-mini, qwen2.5-0.5b]"
    )
    .replace("vault], models: [qwen2.5-0.5b]", "vault], models: [qwen2.5-0.5b, phi-4-mini]")
    .replace("{name: porter, model: phi-4-mini}", "{name: porter, model: phi-4-mini, replicas: 3}")
    .replace("{name: desk, model: phi-4-mini}", "{name: desk, model: phi-4-mini, replicas: 3}")
    .replace("{name: archive, model: qwen2.5-0.5b}", "{name: archive, model: qwen2.5-0.5b, replicas: 3}")
    .replace("exclusive: true", "exclusive: true, store_and_forward: true")
)
GAPS = {
    "hub@10s+15s": ("clerk", "the hub is away, and nothing goes from node to node"),
    "edge-1-hub@10s+15s": ("clerk", "edge-1 has no link to the hub, and reaches no other node"),
    "edge-1-edge-3@10s+15s": ("archive", "nothing goes between edge-1 and edge-3"),
    "edge-2@10s+5s": ("clerk", "the hub, which edge-2 carries, is away"),
}


@pytest.mark.parametrize("fault", GAPS)
def test_each_kind_of_fault_is_told_with_whom_it_cost_what_and_the_cure_it_names_helps(fault: str) -> None:
    """Replicas where the callers are, and keeping requests where one node at most may answer: then nothing is lost or late."""
    words = ("--rps", "60", "--service", "1ms", "--duration", "40s", "--fail", fault, "--json")
    Path("fleet.yaml").write_text(MESHED)
    told = json.loads(here("simulate", "fleet.yaml", *words).out)
    agent, gap = GAPS[fault]
    broken = {each["address"]: each for each in told["breaks"]}
    assert any(gap in each["what"] for each in told["breaks"]) and f"agent.{agent}" in broken
    assert "agent.vault" not in broken  # restricted data is asked for where it is
    assert all(re.fullmatch(r"fleet\.yaml:\d+:\d+", each["place"]) for each in told["breaks"])
    assert told["lost"] or all("come 1 s late" in one["what"] for name, one in broken.items() if name != "node.edge-2")
    Path("fleet.yaml").write_text(CURED)
    cured = json.loads(here("simulate", "fleet.yaml", *words).out)
    assert cured["lost"] == 0
    assert {each["address"] for each in cured["breaks"]} <= {"agent.clerk", "node.edge-2"}


def test_who_lost_what_to_the_hub_is_told_with_place_and_cure() -> None:
    Path("fleet.yaml").write_text(MESHED)
    ran = here(
        "simulate", "fleet.yaml", "--rps", "60", "--service", "1ms", "--duration", "40s", "--fail", "hub@10s+25s"
    )
    assert ran.out == golden("simulate/hub.txt", ran.out)
    assert "add qwen2.5-0.5b to the models of edge-1, and write replicas: 3" in ran.out
    assert "one node at a time holds it, as it is exclusive: write store_and_forward: true" in ran.out


def test_a_deployment_of_one_device_is_simulated_without_a_mesh() -> None:
    """What it cannot do is refused, which is no loss."""
    ran = here("simulate", "one.yaml", "--rps", "3", "--duration", "60s")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == golden("simulate/one.txt", ran.out)
    assert (
        "qwen2.5-0.5b is full: 3 requests a second come for it (for desk, porter), and its 2 slots can do 1.34"
        in ran.out
    )
    assert "--> one.yaml:4:12 in model.qwen2.5-0.5b" in ran.out


@pytest.mark.parametrize("seed", ["0", "17"])
def test_the_same_seed_gives_the_same_bytes_in_every_process(seed: str) -> None:
    """Whatever Python makes of the hashes of words."""
    words = ("simulate", "fleet.yaml", "--duration", "60s", *FAILS, "--seed", seed, "--plot", "plot.svg", "--json")
    found = set()
    for hashes in ("1", "2"):
        ran = apart(*words, folder=Path.cwd(), environment={"PYTHONHASHSEED": hashes})
        assert ran.code in (0, 5), ran.err
        found.add((ran.out, Path("plot.svg").read_text()))
    assert len(found) == 1


def test_another_seed_gives_other_requests_and_a_longer_run_begins_as_a_shorter_one() -> None:
    """The same doors and agents, in the same order."""
    first, other = (here("simulate", "fleet.yaml", "--seed", seed, "--duration", "9s").out for seed in ("1", "2"))
    assert first.partition("seed")[2][2:] != other.partition("seed")[2][2:]


def test_json_holds_all_figures() -> None:
    ran = here("simulate", "fleet.yaml", "--duration", "60s", *FAILS, "--json")
    told = json.loads(ran.out)
    counts = told["counts"]
    assert counts["asked"] == sum(counts[name] for name in ("answered", "refused", "failed", "gone", "away", "kept"))
    assert told["lost"] == counts["failed"] > 0 and told["settled"]
    assert [each["fault"]["written"] for each in told["fail_overs"]] == ["edge-2@9s+20s", "edge-3-hub@34s+24s"]
    assert 1.5 < told["fail_overs"][0]["noticed"] < 2.5
    assert {each["address"] for each in told["breaks"]} >= {"agent.documentation", "node.edge-2"}
    assert all(re.fullmatch(r"fleet\.yaml:\d+:\d+", each["place"]) for each in told["breaks"])


def test_the_plot_shows_four_fields_with_the_faults_in_each_and_nothing_outside_of_the_page() -> None:
    ran = here("simulate", "fleet.yaml", "--duration", "60s", *FAILS, "--plot", "plot.svg")
    assert ran.err == "wrote plot.svg\n"
    root = ET.fromstring(Path("plot.svg").read_text())  # noqa: S314 - our own
    kinds = [each.get("class", "") for each in root.iter()]
    assert (kinds.count("box"), kinds.count("fault"), kinds.count("away")) == (4, 2, 2)
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"edge-2 fails", "the link between edge-3 and hub fails", "answered", "failed", "p95"} <= set(texts)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
        for x, y in (map(float, point.split(",")) for point in line.get("points", "").split()):
            assert 0 <= x <= width and 0 <= y <= height


def test_a_curve_has_a_gap_where_nothing_was_seen_and_a_node_that_is_down_has_no_queue() -> None:
    """No line is drawn through what did not happen; what became of a request is named as in the tables."""
    words = ("--rps", "5", "--service", "50ms", "--duration", "60s", "--fail", "edge-2@20s+20s")
    here("simulate", "fleet.yaml", *words, "--plot", "plot.svg")
    root = ET.fromstring(Path("plot.svg").read_text())  # noqa: S314 - our own
    named = [
        (each[0].text, each.get("points", "").split()) for each in root.iter("{http://www.w3.org/2000/svg}polyline")
    ]
    queues = [points for name, points in named if name == "edge-2"]
    before, after = (sorted(float(one.partition(",")[0]) for one in points) for points in queues)
    assert before[-1] < 72 + 760 * 21 / 60 and after[0] > 72 + 760 * 39 / 60
    assert len([name for name, _ in named if name == "edge-1"]) == 1
    assert "node down" in {name for name, _ in named}


WRONG = {
    "an unknown node": (("--fail", "edge-4@3s"), 'there is no node "edge-4"', 'did you mean "edge-3" or "edge-2"?'),
    "an unknown link": (("--fail", "edge-1-edge-9@3s"), 'there is no node "edge-1-edge-9"', "edge-1"),
    "no moment": (("--fail", "edge-1"), "--fail edge-1 says not what fails when", "write it like edge-1@60s"),
    "a moment without a unit": (("--fail", "edge-1@60"), "'60' is no duration", "write it like edge-1@60s"),
    "a moment after the end": (
        ("--fail", "edge-1@600s"),
        "comes after the end, which is at 120 s",
        "--duration longer",
    ),
    "back at once": (("--fail", "edge-1@3s+0s"), "is back at once", "write it like edge-1@60s"),
    "a link to itself": (("--fail", "hub-hub@3s"), "nor a link of that name between two of them", 'did you mean "hub"'),
    "a node that is down": (
        ("--fail", "edge-1@9s", "--fail", "edge-1@3s+20s"),
        "--fail edge-1@9s comes while edge-1 is down by --fail edge-1@3s+20s",
        "after the first is over",
    ),
    "a link that is down, from its other end": (
        ("--fail", "edge-1-edge-2@3s", "--fail", "edge-2-edge-1@9s+1s"),
        "comes while the link between edge-1 and edge-2 is down",
        "after the first is over",
    ),
    "a picture where no folder is": (
        ("--plot", "none/fleet.svg"),
        "there is no folder none",
        "name another file with --plot",
    ),
    "a picture that is none": (("--plot", "fleet.png"), "--plot fleet.png: what is drawn is SVG", "with .svg"),
    "no requests": (("--rps", "0"), "--rps 0 is no rate of requests", "--rps 20"),
    "a rate that is no number": (("--rps", "many"), "'many' is no rate", "orchestrator simulate --help"),
    "nan": (("--rps", "nan"), "--rps nan is no rate of requests", "--rps 20"),
    "too many": (("--rps", "1e6"), "more than 1,000,000 are not simulated", "make --duration shorter"),
    "no time": (("--duration", "0s"), "--duration 0s is no time", "make it longer"),
    "a wrong time": (("--duration", "soon"), "'soon' is no duration", "--duration 120s"),
    "an unknown agent": (("--service", "biling=1s"), 'there is no agent "biling"', 'did you mean "billing"?'),
    "a wrong service": (("--service", "billing=fast"), "'fast' is no duration", "--service 120s"),
    "an unknown share": (("--share", "suport=2"), 'there is no agent "suport"', 'did you mean "support"'),
    "a wrong weight": (("--share", "support=-2"), "--share support=-2 is no weight", "--share billing=3"),
    "unknown hardware": (("--hardware", "gpuu"), "--hardware gpuu is not known", 'did you mean "gpu"'),
    "hardware of nobody": (("--hardware", "edge-7=gpu"), 'there is no node "edge-7"', 'did you mean "edge-'),
    "wrong tokens": (("--tokens", "many"), "--tokens many are no tokens", "--tokens 300+120"),
    "no slots": (("--slots", "0"), "--slots 0 answers nothing", "write 1 or more"),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_was_written_wrong_is_told_with_its_cure(words: str) -> None:
    options, message, cure = WRONG[words]
    ran = here("simulate", "fleet.yaml", *options)
    assert (ran.code, ran.out) == (64, "")
    assert message in ran.err and cure in ran.err


def test_a_manifest_that_is_not_there_or_has_no_nodes_that_fail_is_told() -> None:
    missing = here("simulate", "none.yaml")
    assert missing.code == 2 and "there is no file none.yaml" in missing.err
    alone = here("simulate", "one.yaml", "--fail", "edge-1@3s")
    assert alone.code == 64 and "a deployment of one device has no nodes that could fail" in alone.err


def test_the_picture_of_the_page_is_what_the_command_draws() -> None:
    """Byte for byte: it has no other chance than its seed's."""
    picture = ROOT / "docs/pictures/simulated.svg"
    manifest = str(ROOT / "manifests/distributed-edge.yaml")
    here("simulate", manifest, "--rps", "20", "--service", "40ms", "--fail", "edge-2@60s+30s", "--plot", "plot.svg")
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        picture.write_text(Path("plot.svg").read_text())
    assert Path("plot.svg").read_text() == picture.read_text()
