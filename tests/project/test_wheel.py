"""What a user installs is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.project.tree import ROOT, package_files


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment that holds nothing but our wheel. Made without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    alone = ["--no-index", "--no-deps", "--quiet", "--disable-pip-version-check"]
    _pip("wheel", *alone, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    environment = folder / "venv"
    venv.create(environment, with_pip=False)
    _pip("--python", str(environment / "bin" / "python"), "install", *alone, str(wheel))
    return environment


def _pip(*arguments: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def _execute(installed: Path, *command: str) -> str:
    # Our libraries are lent by path, which leaves out the checkout: what is imported comes from the wheel.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONDONTWRITEBYTECODE": "1"}
    program = [str(installed / "bin" / command[0]), *command[1:]]
    ended = subprocess.run(program, cwd=installed, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_holds_every_file_of_the_package(installed: Path) -> None:
    """Catalogue, templates and schemas are installed with the code, byte for byte."""
    (site,) = installed.glob("lib/python*/site-packages")
    missing = [name for name in package_files() if not (site / name).is_file()]
    differing = [name for name in package_files() if (site / name).read_bytes() != (ROOT / name).read_bytes()]
    assert (missing, differing) == ([], [])


def test_the_installed_package_is_the_one_that_is_imported(installed: Path) -> None:
    """Nothing is read from the checkout once it is installed."""
    where = _execute(installed, "python", "-c", "import orchestrator; print(orchestrator.__file__)")
    assert Path(where.strip()).is_relative_to(installed)


def test_the_installed_program_starts(installed: Path) -> None:
    """The wheel brings the command that the README names."""
    assert "validate" in _execute(installed, "orchestrator", "--help")
