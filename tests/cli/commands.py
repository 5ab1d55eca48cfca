"""Running the command line in tests: in this process for what only prints, as a process of its own for everything else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cli.main import execute
from orchestrator.cli.view.terminal import Terminal

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Ran:
    """What a command gave."""

    code: int
    out: str
    err: str


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, text: str = "", *, terminal: bool = False) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        """As it was told."""
        return self._terminal


def here(*argv: str, stdin: str = "", terminal: bool = False, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command in this process."""
    streams = Screen(stdin, terminal=terminal), Screen(terminal=terminal), Screen(terminal=terminal)
    code = execute(argv, Terminal(streams, {} if environment is None else environment))
    return Ran(code, streams[1].getvalue(), streams[2].getvalue())


def command(*argv: str) -> list[str]:
    """The program as a process: the module, so that it is this checkout's."""
    return [sys.executable, "-m", "orchestrator.cli.entry", *argv]


def apart(*argv: str, stdin: str = "", folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command as a process of its own."""
    ended = subprocess.run(
        command(*argv),
        input=stdin,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def golden(name: str, text: str) -> str:
    """The text that is expected; ``ORCHESTRATOR_GOLDEN=write`` writes it anew, for a person to compare."""
    path = GOLDEN / name
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path.read_text()
