"""By what a node knows that its earlier process is gone: that decides whether it may take its own lease at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.app.fleet.keeping import sole_life

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell when it was switched on")
_PROCESS = """
import sys
from pathlib import Path
from orchestrator.app.fleet.keeping import sole_life
from orchestrator.app.lock import RuntimeLock
state = Path(sys.argv[1])
RuntimeLock(state / "run").take()
with sole_life(state / "fleet") as life:
    print(life, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def process(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has a runtime's lock and the fleet's folder of that state, and the life that it found."""
    argv = [sys.executable, "-c", _PROCESS, str(state)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout is not None
        try:
            yield made, made.stdout.readline().strip()
        finally:
            made.kill()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for name in ("fleet", "run"):
        (tmp_path / "one" / name).mkdir(parents=True)
    return tmp_path / "one"


def test_a_process_that_was_killed_is_known_to_be_gone(state: Path) -> None:
    """By the next one, which has the same life."""
    with process(state) as (first, life):
        first.kill()
        first.wait()
        with process(state) as (_, again):
            assert life and again == life


def test_a_former_process_that_lives_still_is_not_taken_for_gone(state: Path) -> None:
    """Where the folder of its lock was removed, or is another one in a container, two runtimes live: the second one waits for a
    lease as any other node would."""
    with process(state) as (first, life):
        shutil.rmtree(state / "run")
        (state / "run").mkdir()
        with process(state) as (_, other):
            assert first.poll() is None and life and other == ""


def test_a_copy_of_the_folder_is_another_life(state: Path, tmp_path: Path) -> None:
    shutil.copytree(state, tmp_path / "two")
    with (
        sole_life(state / "fleet") as one,
        sole_life(tmp_path / "two" / "fleet") as two,
        sole_life(state / "no") as none,
    ):
        assert one and two and one != two and none == ""
    with sole_life(state / "fleet") as again:
        assert again == one
