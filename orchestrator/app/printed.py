"""What runtimes print, one life after the other in one file, and the same beside the runtime's own log in the order of time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import Final

_BEGUN: Final = "-- what the runtime printed that was started at "
Timed = tuple[str, str]
"""A moment as the log writes it (ISO 8601, UTC, so that texts sort as times do), and a line."""


def begin(printed: Path) -> None:
    """Note in the file that a life begins, so that its words can be told from those of earlier ones. Raises ``OSError``."""
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    handle = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{_BEGUN}{moment}\n")


def in_order(printed: Path, log: Path, count: int) -> list[str]:
    """The newest ``count`` lines of both: each life's words stand where it began, under a line that says so. A life that
    printed nothing is left out."""
    lines = [line for _, line in merge(_of_lives(_lines(printed)), _of_log(_lines(log)), key=lambda each: each[0])]
    return lines[-count:] if count > 0 else []


def last_words(printed: Path) -> str:
    """The last line that the newest life printed; empty where it printed nothing, or only blank lines."""
    said = ""
    for line in _lines(printed):
        said = "" if line.startswith(_BEGUN) else line.strip() or said
    return said


def _of_lives(lines: Iterable[str]) -> Iterator[Timed]:
    moment = head = ""
    for line in lines:
        if line.startswith(_BEGUN):
            moment, head = line.removeprefix(_BEGUN), line
            continue
        if head:
            yield moment, head
            head = ""
        yield moment, line


def _of_log(lines: Iterable[str]) -> Iterator[Timed]:
    """A line that tells no moment belongs to the one before it."""
    moment = ""
    for line in lines:
        moment = max(moment, _moment(line))  # a clock that was set back must not mix them up
        yield moment, line


def _moment(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return str(entry.get("timestamp", "")) if isinstance(entry, dict) else ""


def _lines(file: Path) -> Iterator[str]:
    if not file.exists():
        return
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield line.rstrip("\n")
