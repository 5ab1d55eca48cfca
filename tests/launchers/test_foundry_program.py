"""The program that is a Foundry Local of ours: what it downloads, says and how it ends. The SDK is a double; the real core runs in
tests/installed/check_foundry.py."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.errors import PlanError
from orchestrator.plugins.launchers.foundry_local import FoundryLauncher
from orchestrator.plugins.launchers.foundry_program import EXIT_UNKNOWN
from orchestrator.ports.interpreter import FOUNDRY_PYTHON
from orchestrator.ports.lifecycle import LaunchOrder
from tests.providers.foundry_double import cache_with, environment_with_sdk, row

NAME = "phi-4-mini-instruct-generic-cpu:5"


class Program:
    """The command of the launcher, run."""

    def __init__(self, place: Path, model: str, fault: str = "") -> None:
        python = environment_with_sdk(place / "venv")
        launcher = FoundryLauncher(environment={FOUNDRY_PYTHON: str(python)})
        binary = launcher.find([])
        assert binary is not None and binary.version == "2.2.1"
        made = cache_with(place, [row(NAME, "phi-4-mini", megabytes=3000)])
        self.cache = made.rename(place / "foundry-local")
        if fault:
            (self.cache / "fault").write_text(fault)
        launch = launcher.command(binary, LaunchOrder(model, "phi", port=8123, folder=str(place / "mine")))
        assert launch.serves == model and launch.folders == (str(self.cache), str(place / "mine"))
        self.process = subprocess.Popen(launch.argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def says(self, *words: str) -> None:
        """Its next lines; what the core prints is passed over."""
        assert self.process.stdout is not None
        for word in words:
            line = self.process.stdout.readline()
            while line.startswith("its core prints"):
                line = self.process.stdout.readline()
            assert line.strip() == word

    def ends(self) -> int:
        """Told to end; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def started() -> Iterator[list[Program]]:
    """None of them outlives the test."""
    programs: list[Program] = []
    yield programs
    for program in programs:
        program.process.kill()
        program.process.communicate()


@pytest.mark.parametrize("model", [NAME, NAME.partition(":")[0], "phi-4-mini"])
def test_it_downloads_what_the_cache_lacks_and_serves(started: list[Program], tmp_path: Path, model: str) -> None:
    """By the id of a variant, by its name, or by the alias; it ends in order when it is told to."""
    started.append(program := Program(tmp_path, model))
    program.says(f"{NAME} is downloaded", f"{NAME}: 40 %", f"{NAME}: 80 %")
    program.says(f"{NAME} is loaded, and served at http://127.0.0.1:8123")
    assert program.ends() == 0
    program.says("stopped", "closed")


def test_it_leaves_a_download_when_it_is_told_to_end(started: list[Program], tmp_path: Path) -> None:
    """Also while the core works."""
    started.append(program := Program(tmp_path, "phi-4-mini", "slow"))
    program.says(f"{NAME} is downloaded", f"{NAME}: 40 %")
    program.ends()
    assert (program.cache / "cancelled").exists()


def test_a_model_that_the_catalogue_lacks_ends_it_with_what_there_is(started: list[Program], tmp_path: Path) -> None:
    """The last line of its log says it."""
    started.append(program := Program(tmp_path, "phi-9"))
    program.says("the catalogue has no model phi-9; it has phi-4-mini", "closed")
    assert program.process.wait(20) == EXIT_UNKNOWN


def test_a_path_is_refused_and_no_sdk_is_no_program(tmp_path: Path) -> None:
    """It serves its catalogue; what brings the SDK is the line to install it."""
    launcher = FoundryLauncher(environment={FOUNDRY_PYTHON: str(tmp_path / "bin" / "python")})
    assert launcher.find([tmp_path]) is None
    assert launcher.install["*"] == "python -m pip install foundry-local-sdk (the extra foundry)"
    with pytest.raises(PlanError, match="not files") as caught:
        launcher.command(launcher.usual, LaunchOrder("/models/phi", "phi", folder="/state/phi"))
    assert "provider onnx" in caught.value.cure
