"""Files of lines that do not grow without a bound, so that a device's disk never fills with logs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from orchestrator.ports.host import make_private
from orchestrator.ports.log_file import write_whole

LARGEST: Final = 5_000_000
"""Bytes of one file."""
KEPT: Final = 2
"""Older files beside the newest."""


class RotatingFile:
    """Appends lines to ``path``; what is older is at ``path.1``, ``path.2``. One writer at a time."""

    def __init__(self, path: Path, largest: int = LARGEST, kept: int = KEPT) -> None:
        self.path = path
        self._largest = largest
        self._kept = kept

    def append(self, lines: Iterable[bytes]) -> None:
        """Append lines, each with its end. Raises ``OSError``."""
        make_private(self.path.parent)
        content = b"".join(lines)
        if self.size() + len(content) > self._largest:
            self._rotate()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            write_whole(handle, content)
        finally:
            os.close(handle)

    def size(self) -> int:
        """Bytes of the newest file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def last(self, count: int) -> list[bytes]:
        """The newest ``count`` lines."""
        lines = _read(self.path).splitlines(keepends=True)
        number = 1
        while len(lines) < count and number <= self._kept and self._older(number).exists():
            lines = _read(self._older(number)).splitlines(keepends=True) + lines
            number += 1
        return lines[-count:] if count else []

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _rotate(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            if self._older(number).exists():
                self._older(number).replace(self._older(number + 1))
        if self.path.exists():
            self.path.replace(self._older(1))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
