"""What is added to a log file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

EVERY: Final = 0.25
"""Seconds between two looks at a file that is followed."""


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
