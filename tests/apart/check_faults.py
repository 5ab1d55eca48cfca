"""A fleet of three machines, asked all the while, in which everything breaks once. Its figures are printed at the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Final

import pytest

from tests.apart.load import Flow
from tests.apart.machine import Machine, founded, machines
from tests.apart.trial import Figures, Trial, fleet_folder, kill_runtime, kill_server, table_of, trial
from tests.cli.commands import command

NAMES: Final = ("edge-1", "edge-2", "edge-3")
MANIFEST: Final = Path(__file__).with_name("works.yaml")
MODEL: Final = ("--port", "9100", "--model", "light", "--model", "heavy", "--ttft", "300ms", "--tps", "30", "--slots", "16")
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
SHORT, LONG = 5.0, 16.0
OUT_OF_ROUTING: Final = 2.5
ROUTED_AGAIN: Final = 2.0
ADOPTED_BACK: Final = 14.0
"""The hysteresis of 10 s, and until it is seen and carried out."""

Fleet = dict[str, Machine]


@pytest.fixture(scope="module")
def table(pytestconfig: pytest.Config) -> Iterator[list[Figures]]:
    """The figures of all faults, printed in the end."""
    rows: list[Figures] = []
    yield rows
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        print("\n" + table_of(rows))


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
        time.sleep(SHORT)
        it.heals(lambda: victim.does("runtime", "start"))
        it.figures.back = it.until_routed("own", "edge-2")
    check(it, "edge-2")


def test_a_node_that_hangs(fleet: Fleet, table: list[Figures]) -> None:
    victim = fleet["edge-2"]
    process = int(victim.client().about()["pid"])
    with trial(fleet, "SIGSTOP of a node, 5 s", OTHERS, table) as it:
        it.breaks(lambda: kill_runtime(victim, signal.SIGSTOP))
        time.sleep(SHORT)
        it.heals(lambda: _thaw(process))
        it.figures.back = it.until_routed("own", "edge-2")
    check(it, "edge-2")


def _thaw(process: int) -> None:
    import os

    os.kill(process, signal.SIGCONT)


def check(it: Trial, victim: str = "") -> None:
    """Nothing is lost, delivered twice or done on both sides, and times are kept."""
    wrong = it.read(victim)
    assert wrong == [], "\n".join(wrong)
    assert it.figures.out is None or it.figures.out <= OUT_OF_ROUTING, it.figures
    assert it.figures.back is None or it.figures.back <= ROUTED_AGAIN, it.figures
    assert it.figures.adopted_back is None or it.figures.adopted_back <= ADOPTED_BACK, it.figures
