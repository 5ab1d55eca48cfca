"""Files that somebody appends lines to, and that must not grow without a bound."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LEFT: Final = 1_000_000
"""Bytes, the newest, that are left of a file that is cut."""
_CUT: Final = b"(what came before is cut off: the file grew larger than %d bytes)\n"


def cut(path: Path, largest: int, left: int = LEFT) -> None:
    """Keep only the newest lines of a file that has grown larger than ``largest`` bytes. Its writers go on in the same file: they
    append, as another process's output does, and what they write in this very moment may be lost. Raises ``OSError``."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return
    with os.fdopen(handle, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size <= largest:
            return
        file.seek(size - left)
        newest = file.read(left) or b""
        file.truncate(0)
        write_whole(file.fileno(), _CUT % largest + newest[newest.find(b"\n") + 1 :])


def write_whole(handle: int, content: bytes) -> None:
    """Append all of it or nothing: a disk that is nearly full may take only a part; then the rest fails, and no half line stays.
    Raises ``OSError``."""
    before = os.fstat(handle).st_size
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(handle, left) :]
    except OSError:
        os.ftruncate(handle, before)
        raise
