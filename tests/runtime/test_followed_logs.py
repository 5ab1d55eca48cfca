"""``logs NAME -f`` over the lives of the runtime: it goes on until Ctrl-C, as its help says."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from tests.cli.commands import command
from tests.runtime.living import Home, eventually

SHOP = "deployment: {type: single-device, agents: [{name: a, reflex: [{say: hello}]}]}\n"


class Follower:
    """A command that follows the events of a deployment."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            argv = command("logs", "shop", "-f")
            self.process = subprocess.Popen(argv, env=home.environment(), stdout=out, stderr=err)

    def answered(self) -> int:
        """How many runs it has told the end of."""
        return self.out.read_text().count("run.finished")


@pytest.fixture
def follower(home: Home, tmp_path: Path) -> Iterator[Follower]:
    """Of a deployment that runs."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    home.start().apply(Wanted(compile_files([str(file)], environment={}).blueprint, origin=str(file)))
    follower = Follower(home, tmp_path)
    yield follower
    follower.process.kill()
    follower.process.wait()


@pytest.mark.parametrize("ends", [Home.stop, Home.kill], ids=["stop", "kill"])
def test_it_goes_on_with_the_next_runtime(home: Home, follower: Follower, ends: Callable[[Home], object]) -> None:
    """Each event is told once, also those that came before it was there again; Ctrl-C ends it."""
    home.client.run("shop", Request("hi"))
    eventually(lambda: follower.answered() == 1)
    ends(home)
    eventually(lambda: "the runtime has ended: waiting for the next one" in follower.err.read_text())
    assert follower.process.poll() is None
    client = home.start()
    for _ in range(3):
        client.run("shop", Request("hi"))
    eventually(lambda: follower.answered() == 4)
    lines = follower.out.read_text().splitlines()
    assert len(lines) == len(set(lines))
    follower.process.send_signal(signal.SIGINT)
    assert follower.process.wait(10) == 130
    assert home.stop() == 0
    assert "Exception" not in (home.folders.state / "logs" / "runtime.log").read_text()
