"""What an export says is run for real: its command with its environment, as a process, until it says that it is ready."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from orchestrator.app.exporting.folder import write_folder
from orchestrator.app.exporting.pages import exported
from tests.cli.commands import ROOT, Ran
from tests.export.exports import CASES, SHOP, case, gathered
from tests.runtime.living import eventually, free_port

BIN = Path(sys.executable).parent
STATE, FILES = "/state", "/etc/orchestrator/manifest"


class Container:
    """A folder in place of a container: what the engine would mount lies below it, and nothing else of this shell is there."""

    def __init__(self, folder: Path, command: Sequence[str], environment: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {name: self._own(value) for name, value in environment.items()}
        self.environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "ORCHESTRATOR_SERVERS": ""}
        if "ORCHESTRATOR_PORT" in environment:
            self.environment["ORCHESTRATOR_PORT"] = str(self.port)
        self.process = self._popen(command)

    def _own(self, text: str) -> str:
        """A path of the container as one of this machine."""
        below = {STATE: str(self.folder / "state"), FILES: str(self.folder / "manifest"), "7411": str(self.port)}
        return re.sub("|".join(map(re.escape, below)), lambda found: below[found[0]], text)

    def _popen(self, command: Sequence[str]) -> subprocess.Popen[str]:
        words = [self._own(word) for word in command]
        program = shutil.which(words[0], path=self.environment["PATH"])
        assert program is not None
        return subprocess.Popen(
            [program, *words[1:]],
            env=self.environment,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def runs(self, command: Sequence[str]) -> Ran:
        """Another command in it, as ``exec`` does."""
        process = self._popen(command)
        out, _ = process.communicate(timeout=60)
        return Ran(process.returncode, out, "")

    def until_ready(self, healthy: Sequence[str]) -> None:
        """Wait until the engine would call it ready."""
        eventually(lambda: self.process.poll() is not None or self.runs(healthy).code == 0, 60)
        assert self.process.poll() is None, self.process.communicate()[0]

    def until_answered(self, request: str, answer: str) -> None:
        """Wait until the shop is served, and compare what it says."""
        words = ["orchestrator", "run", "Corner.Shop", request]
        eventually(lambda: self.process.poll() is not None or self.runs(words).code == 0, 60)
        assert self.process.poll() is None, self.process.communicate()[0]
        assert self.runs(words).out.startswith(answer)

    def stop(self) -> tuple[int, str]:
        """As an engine stops it."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def started() -> Iterator[list[Container]]:
    """Those of a test; whatever still runs is killed."""
    made: list[Container] = []
    yield made
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def _compose(folder: Path, name: str) -> dict[str, dict[str, object]]:
    """The services of a case, with the files beside it as the export writes them."""
    write_folder(folder, case("compose", name).pages, force=False)
    services: dict[str, dict[str, object]] = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    return services


def _unescaped(words: object) -> list[str]:
    assert isinstance(words, list)
    return [str(word).replace("$$", "$") for word in words]


def _service(folder: Path, service: dict[str, object]) -> tuple[Container, list[str]]:
    """A container of a service, and its health check."""
    environment, check = service["environment"], service["healthcheck"]
    assert isinstance(environment, dict) and isinstance(check, dict)
    given = {str(name): str(value) for name, value in environment.items() if value is not None}
    _volume(folder)
    container = Container(folder, _unescaped(service["entrypoint"]), given)
    assert check["test"][0] == "CMD"
    return container, _unescaped(check["test"][1:])


def _volume(folder: Path) -> None:
    """As Kubernetes hands one to a group: entered and written by it, and so is what is made in it."""
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state").chmod(0o2775)


def test_the_command_of_a_compose_file_serves_what_is_carried_along(tmp_path: Path, started: list[Container]) -> None:
    """The whole manifest with its parts, its data and the code of its tool; a stop ends it well, and its state comes back."""
    [service] = _compose(tmp_path, "shop").values()
    for _ in range(2):
        container, healthy = _service(tmp_path, service)
        started.append(container)
        container.until_ready(healthy)
        container.until_answered("a quote for one hammer", "12 euro.")
        code, said = container.stop()
        assert code == 0 and "Corner.Shop runs, revision 1" in said, said
    assert (tmp_path / "state" / "state" / "state.db").exists()


def test_each_node_of_a_fleet_comes_up_and_waits(tmp_path: Path, started: list[Container]) -> None:
    """In a state of its own; what the fleet wants of it comes later."""
    checks: list[list[str]] = []
    for name, service in _compose(tmp_path, "fleet").items():
        folder = tmp_path / name
        folder.mkdir()
        container, healthy = _service(folder, service)
        started.append(container)
        checks.append(healthy)
    for container, healthy in zip(started, checks, strict=True):
        container.until_ready(healthy)
    assert len({each.environment["ORCHESTRATOR_HOME"] for each in started}) == 3
    assert [each.stop()[0] for each in started] == [0, 0, 0]


def test_a_health_check_fails_where_nothing_is_served(tmp_path: Path, started: list[Container]) -> None:
    """So that an engine starts it again."""
    service = next(iter(_compose(tmp_path, "fleet").values()))
    container, healthy = _service(tmp_path, service)
    started.append(container)
    container.until_ready(healthy)
    container.stop()
    assert container.runs(healthy).code != 0


def test_the_command_of_a_unit_serves_its_manifest(tmp_path: Path, started: list[Container]) -> None:
    """With exactly its environment, and a home that systemd has made."""
    made = exported("systemd", gathered(CASES / "shop.yaml", include=SHOP))
    lines = [line.partition("=")[::2] for line in made.printed.splitlines()]
    values = [shlex.split(value)[0] for name, value in lines if name == "Environment"]
    environment = dict(value.replace("%S", str(tmp_path)).split("=", 1) for value in values)
    home = Path(environment["ORCHESTRATOR_HOME"])
    assert home == tmp_path / dict(lines)["StateDirectory"]
    home.mkdir(mode=int(dict(lines)["StateDirectoryMode"], 8))
    container = Container(tmp_path, shlex.split(dict(lines)["ExecStart"]), {**environment, "ORCHESTRATOR_PORT": ""})
    started.append(container)
    container.until_answered("a quote for one nail", "1 euro.")
    assert container.stop()[0] == 0


@pytest.mark.parametrize("engine", ["kubernetes", "compose"])
def test_the_image_of_the_containerfile_fits_what_is_exported(engine: str) -> None:
    """The same user, the same state folder, and programs on its PATH."""
    text = (ROOT / "Containerfile").read_text()
    printed = case(engine, "fleet").printed
    assert "--uid 10001" in text and "10001" in printed
    assert f"ORCHESTRATOR_HOME={STATE}" in text and STATE in printed
