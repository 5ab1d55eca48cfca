"""The end of a log file, and what is added to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

EVERY: Final = 0.25
"""Seconds between two looks at a file that is followed."""


def last_lines(file: Path, count: int) -> list[str]:
    """The last lines of a file; none where it does not exist."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", errors="replace") as lines:
        return [line.rstrip("\n") for line in deque(lines, max(0, count))]


def follow(file: Path) -> Iterator[str]:
    """Lines that are added from now on, until the caller leaves; a file that is replaced is begun anew."""
    place = file.stat().st_size if file.exists() else 0
    while True:
        size = file.stat().st_size if file.exists() else 0
        if size < place:
            place = 0
        if size > place:
            with file.open("rb") as opened:
                opened.seek(place)
                added = opened.read()
            whole = added[: added.rfind(b"\n") + 1]
            place += len(whole)
            yield from whole.decode(errors="replace").splitlines()
        time.sleep(EVERY)
