"""A command of another Python than the runtime's: what it may apply, and what it is told."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from orchestrator.app.interpreter import interpreter, is_same
from tests.cli.commands import ROOT, Ran, apart
from tests.runtime.living import Home

TOOL = "import only_there\n\n\ndef hello() -> str:\n    '''Say it.'''\n    return only_there.WORD\n"
WITH = """\
metadata: {name: shop}
deployment:
  type: single-device
  tools: [{name: own, python: "own:hello"}]
  agents: [{name: a, tools: [own], reflex: [{call: own.hello, say: "{{ result }}"}]}]
"""
WITHOUT = """\
metadata: {name: shop}
deployment: {type: single-device, agents: [{name: a, reflex: [{say: hello}]}]}
"""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The Python of a second virtual environment, which finds the program and one module that the first has not."""
    folder = tmp_path / "other"
    venv.create(folder, with_pip=False, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "ours.pth").write_text("\n".join([str(ROOT), *ours]))
    (packages / "only_there.py").write_text("WORD = 'from there'\n")
    return folder / "bin" / "python"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """With a Python tool."""
    (tmp_path / "own.py").write_text(TOOL)
    path = tmp_path / "shop.yaml"
    path.write_text(WITH)
    return path


def _by(python: Path, home: Home, *argv: str) -> Ran:
    line = [str(python), "-m", "orchestrator.cli.main", *argv]
    done = subprocess.run(line, env=home.environment(), capture_output=True, text=True, check=False, timeout=60)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("verb", ["apply", "plan"])
def test_python_tools_are_not_applied_from_another_python(home: Home, other: Path, manifest: Path, verb: str) -> None:
    """Nothing is done; both paths and the cure are told."""
    client = home.start()
    ran = _by(other, home, verb, str(manifest))
    assert ran.code == 4 and "error[ORC414]: tool.own is Python code; the runtime runs in Python " in ran.err
    assert f"({sys.executable}), this command in Python" in ran.err and f"({other})" in ran.err
    assert "cure: orchestrator runtime stop, then apply again" in ran.err
    assert client.status()["deployments"] == []


def test_the_cure_brings_the_runtime_to_the_python_of_the_command(home: Home, other: Path, manifest: Path) -> None:
    """What was applied comes back, and the tool finds what only that Python has."""
    plain = manifest.with_name("plain.yaml")
    plain.write_text(WITHOUT.replace("shop", "plain"))
    home.start()
    assert _by(other, home, "apply", str(plain)).code == 0, "no Python tools: applied from anywhere"
    assert _by(other, home, "runtime", "stop").code == 0
    applied = _by(other, home, "apply", str(manifest))
    assert applied.code == 0, applied.err
    assert home.client.about()["interpreter"]["path"] == str(other)
    assert _by(other, home, "run", "shop", "hi").out == "from there\n"
    assert _by(other, home, "run", "plain", "hi").out == "hello\n"


def test_two_pythons_are_seen_where_one_looks(home: Home, other: Path) -> None:
    """In status, doctor and `runtime status`; a command of the runtime's own Python says nothing of it."""
    home.start()
    told = f"{interpreter()['version']} ({sys.executable})"
    assert f"it runs in another Python than this command: {told}" in _by(other, home, "status").out
    assert f"Python {told}, another one than this command's" in _by(other, home, "doctor").out
    assert f"python   {told}" in _by(other, home, "runtime", "status").out
    own = apart("status", environment=home.environment())
    assert own.code == 0 and "another Python" not in own.out


def test_one_environment_by_two_paths_is_one(home: Home, other: Path, manifest: Path, tmp_path: Path) -> None:
    """A link to the folder of a virtual environment is that environment."""
    link = tmp_path / "link"
    link.symlink_to(other.parent.parent)
    assert _by(other, home, "runtime", "start").code == 0
    ran = _by(link / "bin" / "python", home, "apply", str(manifest))
    assert ran.code == 0, ran.err


def test_the_cure_of_a_runtime_of_systemd_is_to_install_it_anew(
    home: Home, other: Path, manifest: Path, tmp_path: Path
) -> None:
    """Its Python stands in the unit."""
    home.start("--foreground", NOTIFY_SOCKET=str(tmp_path / "nobody"))
    ran = _by(other, home, "apply", str(manifest))
    assert ran.code == 4 and "cure: orchestrator runtime install puts the systemd unit on this Python" in ran.err


def test_several_versions_of_one_prefix_are_several() -> None:
    """As a system's own Pythons below /usr; a newer patch of one is the same."""
    one = {"path": "/usr/bin/python3.11", "prefix": "/usr", "version": "3.11.4"}
    assert is_same(one, one | {"path": "/usr/bin/python3", "version": "3.11.9"})
    assert not is_same(one, one | {"path": "/usr/bin/python3.12", "version": "3.12.1"})
