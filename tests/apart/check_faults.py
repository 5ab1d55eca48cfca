"""A fleet of three machines, asked all the while, in which everything breaks once. Its figures are printed at the end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Final

import pytest

from tests.apart.load import Flow
from tests.apart.machine import Machine, founded, machines
from tests.apart.trial import QUIET, Figures, Trial, fleet_folder, kill_runtime, kill_server, lasts, table_of, trial
from tests.cli.commands import command

NAMES: Final = ("edge-1", "edge-2", "edge-3")
MANIFEST: Final = Path(__file__).with_name("works.yaml")
MODEL: Final = (
    "--port",
    "9100",
    "--model",
    "light",
    "--model",
    "heavy",
    "--ttft",
    "300ms",
    "--tps",
    "30",
    "--slots",
    "16",
)
"""A model that takes a third of a second, so that there is always something in work."""
OTHERS: Final = (
    Flow("edge-1", "shared", 8.0),
    Flow("edge-3", "shared"),
    Flow("edge-1", "sole", 1.0),
    Flow("edge-3", "sole", 1.0),
)
"""Requests through the machines to which nothing happens."""
INSIDE: Final = (Flow("edge-2", "shared"), Flow("edge-2", "sole", 1.0))
"""Requests through the one to which it does."""
HELD: Final = (Flow("edge-2", "sole", 2.0),)
OWN: Final = (Flow("edge-1", "own", 2.0, 40.0), Flow("edge-3", "own", 2.0, 40.0))
"""Requests for an agent that one machine holds, with the time to wait for whoever stands in."""
SHORT, LONG, ADOPTED = 5.0, 16.0, 20.0
OUT_OF_ROUTING: Final = 2.5
ROUTED_AGAIN: Final = 2.0
DIALLED_AGAIN: Final = 3.0
"""A leaf whose first packet is lost notices it after a second, or gives up after two: nats-server has no setting for that."""
HUB_GAP: Final = 5.0
"""How long requests between machines may take for as long as the hub is away."""
NOT_HOME_BEFORE: Final = 10.0
HOME_AGAIN: Final = 14.0
"""The hysteresis, and that with the time until it is seen and carried out."""

Fleet = dict[str, Machine]


@pytest.fixture(scope="module")
def table(pytestconfig: pytest.Config) -> Iterator[list[Figures]]:
    """The figures of all faults, printed in the end."""
    rows: list[Figures] = []
    yield rows
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        sys.stdout.write(f"\n{table_of(rows)}\n")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The machines, with a model server each, joined and applied."""
    with machines(tmp_path_factory.mktemp("machines"), NAMES) as found:
        servers = [_model_server(each) for each in found.values()]
        try:
            founded(found)
            found["edge-1"].does("apply", str(MANIFEST))
            yield found
        finally:
            for server in servers:
                server.terminate()
                server.wait()


def _model_server(machine: Machine) -> Popen[bytes]:
    argv = command("simulate-endpoint", *MODEL, "--log", str(machine.home / "model.log"))
    with (machine.home / "model.out").open("wb") as out:
        return Popen(machine.net.inside(machine.name, argv), stdout=out)


def test_kill_9_of_a_node(fleet: Fleet, table: list[Figures]) -> None:
    victim = fleet["edge-2"]
    with trial(fleet, "kill -9 of a node, 5 s", OTHERS, table) as it:
        it.breaks(lambda: kill_runtime(victim))
        lasts(SHORT)
        it.heals(lambda: victim.does("runtime", "start"))
        it.figures.back = it.until_routed("own", "edge-2")
    check(it, "edge-2")


def test_kill_9_of_an_only_holder(fleet: Fleet, table: list[Figures]) -> None:
    """Nobody holds its agent until it counts as dead and another one stands in: each request that comes meanwhile waits for that
    one, and is answered by it."""
    victim = fleet["edge-2"]
    with trial(fleet, "kill -9 of an only holder, 20 s", (*OTHERS, *OWN), table) as it:
        it.breaks(lambda: kill_runtime(victim))
        lasts(ADOPTED)
        it.heals(lambda: victim.does("runtime", "start"))
    it.figures.home = it.home("own", "edge-2")
    check(it, "edge-2")
    gap = [one for one in it.load.asked if one.request.agent == "own" and it.broke < one.at < it.broke + 10.0]
    assert len(gap) > 30 and {one.result.node for one in gap if one.result and one.answered} == {"edge-3"}


def test_a_node_that_hangs(fleet: Fleet, table: list[Figures]) -> None:
    victim = fleet["edge-2"]
    process = int(victim.client().about()["pid"])
    with trial(fleet, "SIGSTOP of a node, 5 s", OTHERS, table) as it:
        it.breaks(lambda: kill_runtime(victim, signal.SIGSTOP))
        lasts(SHORT)
        it.heals(lambda: os.kill(process, signal.SIGCONT))
        it.figures.back = it.until_routed("own", "edge-2")
    check(it, "edge-2")


def test_a_node_that_hangs_for_long(fleet: Fleet, table: list[Figures]) -> None:
    """Others stand in for it. When it goes on, it finds that its lease is over, and gets its agents back once it has stayed."""
    victim = fleet["edge-2"]
    process = int(victim.client().about()["pid"])
    with trial(fleet, "SIGSTOP of a node, 16 s", (*OTHERS, *HELD), table) as it:
        it.breaks(lambda: kill_runtime(victim, signal.SIGSTOP))
        it.load.left_out.add("edge-2")
        it.stopped.add("edge-2")
        lasts(LONG)
        it.heals(lambda: os.kill(process, signal.SIGCONT))
        it.load.left_out.clear()
    it.figures.home = it.home("own", "edge-2")
    check(it, "edge-2")


@pytest.mark.parametrize("seconds", [SHORT, LONG])
def test_a_cable_is_pulled_out(fleet: Fleet, table: list[Figures], seconds: float) -> None:
    """Both sides go on: what edge-2 holds it answers for, and others take its place for the rest."""
    victim = fleet["edge-2"]
    with trial(fleet, f"partition, {seconds:.0f} s", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: victim.net.cable(victim.name, plugged=False))
        lasts(seconds)
        it.heals(victim.net.heal)
        if seconds == SHORT:
            it.figures.back = it.until_routed("own", "edge-2")
    if seconds == LONG:
        it.figures.home = it.home("own", "edge-2")
    check(it, "edge-2")


@pytest.mark.parametrize(("way", "come", "go"), [("to", 1.0, 0.0), ("from", 0.0, 1.0)])
def test_one_way_loss(fleet: Fleet, table: list[Figures], way: str, come: float, go: float) -> None:
    victim = fleet["edge-2"]
    with trial(fleet, f"nothing goes {way} a node, 5 s", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: victim.net.lose(victim.name, come=come, go=go))
        lasts(SHORT)
        it.heals(victim.net.heal)
        it.figures.back = it.until_routed("own", "edge-2")
    check(it, "edge-2", DIALLED_AGAIN)


def test_a_fifth_of_all_packets_is_lost(fleet: Fleet, table: list[Figures]) -> None:
    victim = fleet["edge-2"]
    with trial(fleet, "20 % loss, both ways, 16 s", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: victim.net.lose(victim.name, come=0.2, go=0.2))
        lasts(LONG)
        it.heals(victim.net.heal)
        it.figures.back = it.until_routed("own", "edge-2")
    check(it)


def test_a_link_that_comes_and_goes(fleet: Fleet, table: list[Figures]) -> None:
    """Agents are not moved to and fro with it."""
    victim = fleet["edge-2"]
    with trial(fleet, "flapping link, 1 s and 1 s, 20 s", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: victim.net.cable(victim.name, plugged=False))
        for number in range(20):
            lasts(1.0)
            victim.net.cable(victim.name, plugged=number % 2 == 0)
        it.heals(victim.net.heal)
        it.figures.back = it.until_routed("own", "edge-2")
    check(it)
    assert len(it.journals().of("mesh.assigned")) <= 2


def test_kill_9_of_a_leaf(fleet: Fleet, table: list[Figures]) -> None:
    with trial(fleet, "kill -9 of a leaf server", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: kill_server(fleet["edge-2"], "leaf"))
        it.healed = it.broke
        it.figures.back = it.until_routed("own", "edge-2")
        lasts(QUIET)
    check(it, again=HUB_GAP)


def test_kill_9_of_the_hub(fleet: Fleet, table: list[Figures]) -> None:
    with trial(fleet, "kill -9 of the hub server", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: kill_server(fleet["edge-1"], "hub"))
        it.healed = it.broke
        it.figures.back = it.until_routed("own", "edge-2")
        lasts(QUIET)
    check(it, again=HUB_GAP)


def test_the_store_of_the_hub_is_deleted(fleet: Fleet, table: list[Figures]) -> None:
    """All that stood there is there again: a node has kept it."""
    hub = fleet["edge-1"]
    with trial(fleet, "kill -9 of the hub, its store deleted", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: kill_server(hub, "hub", partial(shutil.rmtree, fleet_folder(hub).store)))
        it.healed = it.broke
        it.figures.back = it.until_routed("own", "edge-2")
        lasts(QUIET)
    check(it, again=HUB_GAP)


@pytest.mark.parametrize("bucket", ["desired", "lease", "observed"])
def test_a_bit_of_the_hubs_store_flips(fleet: Fleet, table: list[Figures], bucket: str) -> None:
    hub = fleet["edge-1"]
    with trial(fleet, f"kill -9 of the hub, a bit of `{bucket}` flipped", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: kill_server(hub, "hub", partial(flip_a_bit, hub, bucket)))
        it.healed = it.broke
        it.figures.back = it.until_routed("own", "edge-2")
        lasts(QUIET)
    check(it, again=HUB_GAP)


@pytest.mark.parametrize("name", ["edge-3", "edge-2", "edge-1"])
def test_a_node_is_stopped_and_started(fleet: Fleet, table: list[Figures], name: str) -> None:
    """It drains: what it works on ends, and nobody asks it for more."""
    victim = fleet[name]
    with trial(fleet, f"{name} is stopped, drained, and started", (*OTHERS, *INSIDE), table) as it:
        it.load.left_out.add(name)
        lasts(QUIET)
        it.breaks(lambda: victim.does("runtime", "stop"))
        it.heals(lambda: victim.does("runtime", "start"))
        it.load.left_out.clear()
        it.until_routed("own", "edge-2")
        lasts(QUIET)
    check(it)


def test_a_rolling_update(fleet: Fleet, table: list[Figures], tmp_path: Path) -> None:
    """Another manifest goes over the machines, one after the other, while all are asked, also for the exclusive agent. The last of
    these checks, as its manifest stays."""
    text = MANIFEST.read_text(encoding="utf-8").replace("instructions: Answer.", "instructions: Answer briefly.")
    changed = tmp_path / "works.yaml"
    changed.write_text(text.replace("failover: automatic", f"failover: automatic, health_gate: {QUIET:g}s"))
    with trial(fleet, "rolling update of all three nodes", (*OTHERS, *INSIDE), table) as it:
        it.breaks(lambda: fleet["edge-1"].does("apply", str(changed)))
        it.healed = time.time()
        lasts(QUIET)
    check(it)
    steps = [one.fields for one in it.journals().of("mesh.rollout")]
    assert [step["node"] for step in steps] == [*NAMES, ""] and steps[-1]["state"] == "done"
    assert it.figures.cut_off == 0, it.figures


def flip_a_bit(hub: Machine, bucket: str) -> None:
    """In the middle of the newest block of a bucket; the index is gone too, so that the server reads the block anew."""
    streams = list(fleet_folder(hub).store.rglob(f"KV_{bucket.upper()}/msgs"))
    assert len(streams) == 1, streams
    block = max(streams[0].glob("*.blk"))
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 0x10
    block.write_bytes(content)
    (streams[0] / "index.db").unlink(missing_ok=True)


def check(it: Trial, victim: str = "", again: float = ROUTED_AGAIN) -> None:
    """Nothing is lost, delivered twice or done on both sides, and times are kept."""
    wrong = it.read(victim)
    assert wrong == [], "\n".join(wrong)
    assert it.figures.out is None or it.figures.out <= OUT_OF_ROUTING, it.figures
    assert it.figures.back is None or it.figures.back <= again, it.figures
    assert it.figures.home is None or NOT_HOME_BEFORE <= it.figures.home <= HOME_AGAIN, it.figures
