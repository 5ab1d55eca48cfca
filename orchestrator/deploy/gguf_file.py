"""What a GGUF file says of itself: which build it is, where its name does not tell; and whether it is all there."""

from __future__ import annotations

import functools
import stat
import struct
from pathlib import Path
from typing import BinaryIO, Final

from orchestrator.core.gguf_builds import FILE_TYPE, build_of_number
from orchestrator.core.quantity import format_size

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
        return _read(path, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else ""
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


_TYPES: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
    12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98),
    19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4),
    27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Weights of a block and its bytes, by the type of a tensor (``ggml.h``)."""
_ALIGNMENT: Final = b"general.alignment"
_MOST_TENSORS: Final = 100_000
_MOST_SIDES: Final = 8


def fault_of_file(path: str) -> str:
    """Why no server can load it, without its name; empty where nothing is known to be wrong. No weight is read."""
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):  # to open a pipe waits until somebody writes to it
            return "is no regular file"
        return _fault(path, found.st_size, found.st_mtime_ns)
    except (OSError, ValueError):
        return ""


@functools.lru_cache(maxsize=64)
def _fault(path: str, size: int, _time: int) -> str:
    with Path(path).open("rb") as file:
        if file.read(4) != _MAGIC:
            return "is no GGUF file"
        try:
            whole = _whole(file)
        except struct.error:  # it ends before what it tells of its tensors does
            return f"is cut: only {format_size(size)} of it are there"
    return f"is cut: {format_size(size)} of {format_size(whole)} are there" if size < whole else ""


def _whole(file: BinaryIO) -> int:
    """The bytes that its tensors need, as far as their types are known; 0 where it is of a version that is not."""
    if _number(file) not in (2, 3):
        return 0
    tensors, keys = _length(file), _length(file)
    if keys > _MOST_KEYS or tensors > _MOST_TENSORS:
        return 0
    alignment = 32
    for _ in range(keys):
        key, kind = _text(file), _number(file)
        if key == _ALIGNMENT and kind == _NUMBER:
            alignment = max(1, _number(file))
        else:
            _pass_over(file, kind)
    ends = [_tensor_end(file) for _ in range(tensors)]
    begin = -(-file.tell() // alignment) * alignment
    return begin + max(ends) if ends else 0


def _tensor_end(file: BinaryIO) -> int:
    """Where it ends, from the begin of all."""
    _text(file)
    sides = _number(file)
    if sides > _MOST_SIDES:
        raise _Broken
    weights = 1
    for _ in range(sides):
        weights *= _length(file)
    kind, offset = _number(file), _length(file)
    block, size = _TYPES.get(kind, (1, 0))
    return offset + weights // block * size


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
