"""Which build a GGUF file is, by what it says of itself: for a file whose name does not tell."""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import BinaryIO, Final

from orchestrator.core.gguf_builds import FILE_TYPE, build_of_number

_MAGIC: Final = b"GGUF"
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by its type; 8 is a text and 9 a list."""
_TEXT: Final = 8
_LIST: Final = 9
_NUMBER: Final = 4
_MOST_KEYS: Final = 10_000
_LONGEST: Final = 2**20
"""Bytes of a key or a text, beyond which the file is none that we read."""
_MOST_TEXTS: Final = 4_000_000
"""Of one list: a vocabulary has some hundred thousand."""


class _Broken(ValueError):
    """It is no such file, or is cut off."""


def build_of_file(path: str) -> str:
    """As it tells it; empty where it says nothing, cannot be read, or is no GGUF file."""
    try:
        found = Path(path).stat()
        return _read(path, found.st_size, found.st_mtime_ns)
    except (OSError, ValueError, struct.error):
        return ""


@functools.lru_cache(maxsize=64)
def _read(path: str, _size: int, _time: int) -> str:
    """Read anew when the file changes."""
    with Path(path).open("rb") as file:
        if file.read(4) != _MAGIC:
            return ""
        version, _, keys = struct.unpack("<IQQ", file.read(20))
        if version < 2 or keys > _MOST_KEYS:  # the first version counted in 32 bits; nobody has it
            return ""
        for _ in range(keys):
            key, kind = _text(file), _number(file)
            if key == FILE_TYPE.encode() and kind == _NUMBER:
                return build_of_number(_number(file))
            _pass_over(file, kind)
    return ""


def _number(file: BinaryIO) -> int:
    return int(struct.unpack("<I", file.read(4))[0])


def _length(file: BinaryIO) -> int:
    return int(struct.unpack("<Q", file.read(8))[0])


def _text(file: BinaryIO) -> bytes:
    length = _length(file)
    if length > _LONGEST:
        raise _Broken
    return file.read(length)


def _pass_over(file: BinaryIO, kind: int) -> None:
    """A value that is not looked for: a vocabulary may stand before what is."""
    if kind == _TEXT:
        file.seek(_length(file), 1)
    elif kind == _LIST:
        kind, count = _number(file), _length(file)
        if kind in _SIZES:
            file.seek(count * _SIZES[kind], 1)
            return
        if count > _MOST_TEXTS:
            raise _Broken
        for _ in range(count):
            _pass_over(file, kind)
    elif kind in _SIZES:
        file.seek(_SIZES[kind], 1)
    else:
        raise _Broken
