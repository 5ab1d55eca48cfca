"""The systemd user unit: its text, its environment, and how the runtime that runs hands over to it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.app.settings import NAMES
from orchestrator.app.unit import install, uninstall, unit_environment, unit_path, unit_text
from orchestrator.core.errors import DeployError, UsageError
from orchestrator.plugins.hosts.local import LocalHost
from orchestrator.ports.host import Folders
from tests.cli.commands import ROOT, Ran, command
from tests.runtime.living import Home, eventually, free_port

SHOP = "metadata: {name: shop}\ndeployment: {type: single-device, agents: [{name: a, reflex: [{say: hello}]}]}\n"


def _folders(path: Path) -> Folders:
    return Folders(path / "state", path / "config", path / "state" / "run")


def test_the_unit_is_what_systemd_accepts(tmp_path: Path) -> None:
    """Checked by systemd itself, where it is there."""
    path = tmp_path / "orchestrator.service"
    given = {
        "ORCHESTRATOR_HOME": str(tmp_path / "with space"),
        "ORCHESTRATOR_SERVERS": "",
        "PATH": '/a b:/50%:/c"d\\e:/$x',
    }
    path.write_text(unit_text(_folders(tmp_path), unit_environment(given)))
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd is not on this machine")
    # Where nobody is logged in, a user's manager has no folder of its own to look into.
    own = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run([verify, "--user", "verify", str(path)], env=own, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_starts_this_interpreter_and_may_write_only_its_own_folders(tmp_path: Path) -> None:
    """A percent sign of a path is no specifier."""
    folders = _folders(tmp_path / "50%")
    text = unit_text(folders, {}, python="/opt/my python/bin/python")
    assert 'ExecStart="/opt/my python/bin/python" -P -m orchestrator.app.runtime --foreground' in text
    assert f"ReadWritePaths={tmp_path}/50%%/state {tmp_path}/50%%/config\n" in text
    assert "ProtectSystem=strict" in text and "NoNewPrivileges=yes" in text


def test_the_unit_names_no_folder_that_a_reboot_takes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd starts no unit whose paths are missing. The runtime makes the short folder for its socket anew, private."""
    home = tmp_path / ("long" * 30)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(home))
    folders = LocalHost().folders()
    folders.runtime.rmdir()
    text = unit_text(folders, {})
    assert f"ReadWritePaths={home}/state {home}/config /tmp\n" in text and "PrivateTmp=no\n" in text
    again = LocalHost().folders().runtime
    assert again == folders.runtime and stat.S_IMODE(again.stat().st_mode) == 0o700
    again.rmdir()


def test_the_unit_has_the_settings_of_the_shell_and_nothing_of_its_login() -> None:
    """A background runtime of this shell would have the same; no secret goes with it."""
    given = {
        "XDG_STATE_HOME": "/x/state",
        "XDG_CONFIG_HOME": "/x/config",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "XDG_SESSION_ID": "3",
        "ORCHESTRATOR_PORT": "8000",
        "ORCHESTRATOR_SERVERS": "",
        "ORCHESTRATOR_FAIL_AT": "run.began",
        "ORCHESTRATOR_API_KEY": "secret",
        "OLLAMA_HOST": "http://gpu:11434",
        "OPENAI_API_KEY": "secret",
        "PATH": "/usr/bin",
        "TMPDIR": "/tmp/of-this-login",
    }
    kept = ("OLLAMA_HOST", "ORCHESTRATOR_PORT", "ORCHESTRATOR_SERVERS", "PATH", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
    assert unit_environment(given) == {name: given[name] for name in kept}
    relative = unit_environment({"ORCHESTRATOR_HOME": "here"})
    assert relative == {"ORCHESTRATOR_HOME": str(Path("here").absolute())}
    with pytest.raises(UsageError, match=r"ORCHESTRATOR_SERVERS is .* which a systemd unit cannot hold"):
        unit_environment({"ORCHESTRATOR_SERVERS": "http://a\nExecStartPre=/bin/x"})


def test_the_settings_of_a_unit_are_those_of_the_page() -> None:
    """But for the one that is for tests."""
    table = (ROOT / "docs" / "settings.md").read_text().partition("## The runtime")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == {*NAMES, "ORCHESTRATOR_FAIL_AT"}


def test_installing_writes_the_unit_and_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without systemctl the lines to type are given, and the runtime that runs is left alone."""
    monkeypatch.setenv("PATH", str(tmp_path))
    path, ended = unit_path(tmp_path), list[str]()
    left = install(path, "text", lambda: ended.append("the runtime"))
    assert path.read_text() == "text" and path.parts[-3:] == ("systemd", "user", "orchestrator.service")
    assert left == [
        "systemctl --user daemon-reload",
        "orchestrator runtime stop",
        "systemctl --user enable --now orchestrator.service",
    ]
    assert ended == []
    assert uninstall(path) == ["systemctl --user disable --now orchestrator.service"]
    with pytest.raises(DeployError, match="no unit is installed"):
        uninstall(path)


class Shell:
    """A user's shell, and a service manager that starts the unit's command with the unit's environment and nothing else."""

    def __init__(self, tmp_path: Path, **settings: str) -> None:
        self.bin, self.said = tmp_path / "bin", tmp_path / "systemctl.said"
        self.bin.mkdir()
        (tmp_path / "home").mkdir()
        (tmp_path / "shop.yaml").write_text(SHOP)
        self.environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "ORCHESTRATOR_SERVERS": "",
            "ORCHESTRATOR_PORT": str(free_port()),
            **settings,
        }
        self.folder = tmp_path
        self.processes: list[subprocess.Popen[bytes]] = []

    def types(self, *argv: str) -> Ran:
        """A command of the program."""
        line = command(*argv)
        done = subprocess.run(
            line, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def has_systemctl(self, socket: Path, enabling: int = 0) -> None:
        """One that notes how it was called, and whether a runtime's socket was there; ``enabling`` is its exit code."""
        script = self.bin / "systemctl"
        script.write_text(
            f'#!/bin/sh\n[ -S "{socket}" ] && runs=yes || runs=no\necho "$*; runs: $runs" >> "{self.said}"\n'
            f'[ "$2" = enable ] && exit {enabling}\nexit 0\n'
        )
        script.chmod(0o755)

    def starts(self, unit: str) -> None:
        """As systemd does."""
        lines = [line.partition("=")[::2] for line in unit.splitlines()]
        words = [shlex.split(value)[0].replace("%%", "%") for name, value in lines if name == "Environment"]
        environment: Mapping[str, str] = dict(word.split("=", 1) for word in words)
        [start] = [shlex.split(value) for name, value in lines if name == "ExecStart"]
        self.processes.append(subprocess.Popen(start, env=environment, cwd="/", stderr=subprocess.DEVNULL))

    def ends(self) -> None:
        """Whatever runs."""
        stopped = self.types("runtime", "stop")
        for process in self.processes:
            process.kill()
            process.wait()
        assert stopped.code == 0, stopped.err


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """With folders of its own by XDG's variables."""
    made = Shell(tmp_path, XDG_STATE_HOME=str(tmp_path / "x s"), XDG_CONFIG_HOME=str(tmp_path / "x%c"))
    yield made
    made.ends()


def test_what_is_applied_comes_back_in_the_unit(shell: Shell) -> None:
    """With exactly the unit's environment, as after a reboot: the same folders, the same port."""
    assert shell.types("apply", "shop.yaml").code == 0
    printed = shell.types("runtime", "install", "--print")
    assert printed.code == 0 and "state    ready" in shell.types("runtime", "status").out, "--print stops nothing"
    folder, address = re.findall(r"^(?:address|folder) .*$", shell.types("runtime", "status").out, re.MULTILINE)
    assert shell.types("runtime", "stop").code == 0
    shell.starts(printed.out)
    eventually(lambda: "state    ready" in shell.types("runtime", "status").out)
    assert {folder, address} <= set(shell.types("runtime", "status").out.splitlines())
    assert shell.types("run", "shop", "hi").out == "hello\n"


def test_installing_hands_over_from_the_runtime_that_runs(home: Home, tmp_path: Path) -> None:
    """It is stopped right before the unit is started, and told."""
    shell = Shell(tmp_path, ORCHESTRATOR_HOME=str(home.path), XDG_CONFIG_HOME=str(tmp_path / "config"))
    shell.has_systemctl(home.folders.runtime / "orchestrator.sock")
    assert shell.types("apply", "shop.yaml").code == 0
    pid = home.client.about()["pid"]
    ran = shell.types("runtime", "install")
    assert ran.code == 0 and not home.client.answers()
    assert f"the runtime that runs (process {pid}) hands over: requests in work finish first" in ran.err
    assert "the unit is started: it serves what is applied" in ran.out and "enable-linger" in ran.out
    assert shell.said.read_text().splitlines() == [
        "--user daemon-reload; runs: yes",
        "--user enable --now orchestrator.service; runs: no",
    ]
    shell.starts(unit_path(tmp_path / "config").read_text())
    eventually(lambda: home.client.state() == "ready")
    assert [each["name"] for each in home.client.status()["deployments"]] == ["shop"]
    shell.ends()


def test_a_unit_that_does_not_start_leaves_the_deployments_served(home: Home, tmp_path: Path) -> None:
    """The background runtime is back, and what is to be done by hand is told."""
    shell = Shell(tmp_path, ORCHESTRATOR_HOME=str(home.path), XDG_CONFIG_HOME=str(tmp_path / "config"))
    shell.has_systemctl(home.folders.runtime / "orchestrator.sock", enabling=1)
    assert shell.types("apply", "shop.yaml").code == 0
    ran = shell.types("runtime", "install")
    assert "the unit did not start: a runtime in the background serves again" in ran.err
    assert "systemctl --user enable --now orchestrator.service   (it failed)" in ran.out
    assert shell.types("run", "shop", "hi").out == "hello\n"
    shell.ends()
