"""Commands with what they print, as pages show them: run, and compared line by line.

Shown lines are looked for in what was printed, in order. ``…`` in a line stands for any text, a line that is only ``…`` for any
lines. Times, ids and the like are left out of the comparison.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT

PROGRAM = Path(sys.executable).with_name("orchestrator")
MOST_SECONDS: Final = 60
_PASSING: Final = (
    (r"\d+(\.\d+)? (ms|s|min|h)\b", "TIME"),
    (r"run_[0-9a-f]+", "RUN"),
    (r"apv_[0-9a-f]+", "APPROVAL"),
    (r"process \d+", "process N"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"Q-[0-9A-F]{6}", "QUOTE"),
    (r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", "DATE"),
    (r"\s+", " "),
)


def surroundings(home: Path) -> dict[str, str]:
    """An environment with a state folder of its own and no model server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    own = {"ORCHESTRATOR_HOME": str(home), "ORCHESTRATOR_SERVERS": "", "DESK_STATE": str(home / "desk")}
    return kept | own | {"COLUMNS": "200", "PYTHONWARNINGS": "error"}


@dataclass(frozen=True, slots=True)
class Turn:
    """A command and the lines that a page shows below it."""

    command: str
    shown: tuple[str, ...]


def turns(text: str) -> Iterator[Turn]:
    """The commands of a session."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.rstrip("\n").splitlines()
        yield Turn(command, tuple(shown))


def run(command: str, home: Path, folder: Path = ROOT) -> tuple[int, str]:
    """The exit code and what a terminal would show: both streams as they come."""
    program, *words = shlex.split(command)
    assert program == "orchestrator"
    ended = subprocess.run(
        [PROGRAM, *words],
        cwd=folder,
        env=surroundings(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    return ended.returncode, ended.stdout


def missing(shown: tuple[str, ...], printed: str) -> str:
    """The first shown line that was not printed where it should be; empty where all were."""
    lines = [plain(line) for line in printed.splitlines()]
    at, skipping = 0, False
    for line in shown:
        if line.strip() == "…":
            skipping = True
            continue
        rest = range(at, len(lines)) if skipping else range(at, min(at + 1, len(lines)))
        found = next((number for number in rest if fits(line, lines[number])), None)
        if found is None:
            return line
        at, skipping = found + 1, False
    return "" if skipping or at == len(lines) else f"(the end, before {lines[at]!r})"


def fits(shown: str, printed: str) -> bool:
    """Whether a printed line (see :func:`plain`) is the shown one."""
    parts = [re.escape(plain(part)) for part in shown.split("…")]
    return re.fullmatch(r".*".join(parts), printed) is not None


def plain(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, word in _PASSING:
        line = re.sub(pattern, word, line)
    return line.strip()
