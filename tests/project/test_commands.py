"""The commands that a newcomer types do what the README says, and say clearly what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT

EXECUTABLE = 0o755


def _steps(target: str) -> list[str]:
    make = shutil.which("make")
    assert make is not None
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    dry = subprocess.run([make, "-n", target], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    return dry.stdout.splitlines()


def test_pytest_prints_the_last_lines_of_make_test() -> None:
    """The summary of the tests is what a person and a robot read at the end."""
    last = _steps("test")[-1]
    assert last.startswith(".venv/bin/python -m pytest ") and last.endswith(" tests tests/installed/check_foundry.py")
    assert not set(last) & set(";&|")


def test_make_test_does_all_that_make_check_does() -> None:
    """A green test run means green checks."""
    assert set(_steps("check")) < set(_steps("test"))


def test_make_demo_needs_no_development_dependency() -> None:
    """The demo runs in what a user installs."""
    assert not [step for step in _steps("demo") if "dev" in step]


def test_continuous_integration_runs_what_a_contributor_runs() -> None:
    """CI has no steps of its own."""
    last = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert last.endswith(" make test")


def test_the_container_is_made_by_the_steps_of_the_demo() -> None:
    """Every RUN line after the user is made is a step of `make demo`, with what a fleet needs; the rest is the entry point."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    ours = [line.removeprefix("RUN ") for line in lines[lines.index("USER orchestrator") :] if line.startswith("RUN ")]
    set_up = [re.sub(r"^PYTHON='' ", "", step) for step in _steps("demo") if "demo.py" not in step]
    assert ours == [step.replace(" runtime", " mesh") for step in set_up] != set_up
    assert 'ENTRYPOINT ["orchestrator", "apply", "--foreground"]' in lines


def test_without_a_compiler_the_line_to_install_one_is_printed(tmp_path: Path) -> None:
    """The real model server is never skipped in silence."""
    environment = {"PATH": str(tmp_path), "ORCHESTRATOR_TEST_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    script = ROOT / "scripts" / "build_llama_server.py"
    ended = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "sudo apt-get install g++" in ended.stderr


@pytest.mark.parametrize("variable", ["CXX", "CC"])
def test_a_compiler_that_is_named_and_not_there_is_told_in_the_same_words(tmp_path: Path, variable: str) -> None:
    """CMake would take it although another one is there, and say so at length."""
    environment = {**os.environ, "ORCHESTRATOR_TEST_CACHE": str(tmp_path / "cache"), variable: "/nonexistent -m64"}
    script = ROOT / "scripts" / "build_llama_server.py"
    ended = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "sudo apt-get install g++" in ended.stderr and f"({variable} is /nonexistent -m64, " in ended.stderr


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Path:
    """A checkout's script on a machine that has the usual small tools in `bin`, and no Python."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "scripts" / "environment.sh", tmp_path / "scripts")
    for tool in ("dirname", "cat", "cksum", "rm"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def _set_up(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(checkout / "scripts" / "environment.sh"), "runtime"]
    path = {"PATH": str(checkout / "bin"), **environment}
    return subprocess.run(command, env=path, capture_output=True, text=True, check=False)


def _add_program(checkout: Path, name: str, script: str) -> None:
    program = checkout / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(EXECUTABLE)


def test_without_a_python_the_versions_that_fit_are_named(bare_checkout: Path) -> None:
    """A machine without Python gets the line to type."""
    ended = _set_up(bare_checkout)
    assert ended.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in ended.stderr


def test_a_python_that_is_too_old_is_passed_over(bare_checkout: Path) -> None:
    """An old `python3` does not hide a newer `python3.12`."""
    _add_program(bare_checkout, "python3", "exit 1")
    _add_program(bare_checkout, "python3.12", 'case $1 in -c) exit 0 ;; *) echo "chosen" >&2; exit 1 ;; esac')
    ended = _set_up(bare_checkout)
    assert ended.stderr.startswith("chosen")


def test_a_python_without_venv_gets_the_line_to_install_it(bare_checkout: Path) -> None:
    """Debian ships Python without venv; the message says what to install, and nothing half-made is left."""
    _add_program(bare_checkout, "python3", "case $1 in -c) exit 0 ;; *) exit 1 ;; esac")
    ended = _set_up(bare_checkout)
    assert ended.returncode == 1
    assert "sudo apt-get install python3-venv" in ended.stderr
    assert not (bare_checkout / ".venv").exists()
