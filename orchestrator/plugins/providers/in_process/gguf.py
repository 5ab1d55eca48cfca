"""What the head of a GGUF file tells of its model. The form: ggml's docs/gguf.md, versions 2 and 3 (little-endian)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_KEY: Final = b".context_length"
_MOST_KEYS: Final = 1_000
_LONGEST_TEXT: Final = 65_535
"""Bytes of a key, by the form's own rule."""
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of each type of number; 8 is a text, 9 an array."""
_WHOLE: Final = {4: "<I", 10: "<Q"}
_TEXT: Final = 8
_ARRAY: Final = 9


def context_of(path: Path) -> int | None:
    """The tokens that the model may hold; ``None`` where the file does not tell, or is none of this form."""
    try:
        with path.open("rb") as file:
            return _context(file)
    except (OSError, struct.error, KeyError):
        return None


def _context(file: BinaryIO) -> int | None:
    magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != _MAGIC or version not in _VERSIONS:
        return None
    for _ in range(min(count, _MOST_KEYS)):
        key = _text(file)
        (kind,) = struct.unpack("<I", file.read(4))
        if key.endswith(_KEY) and kind in _WHOLE:
            return int(struct.unpack(_WHOLE[kind], file.read(_SIZES[kind]))[0])
        if kind == _ARRAY and key.startswith(b"tokenizer."):
            return None  # the words of the model: what is told of its shape stands before them
        _pass_over(file, kind)
    return None


def _text(file: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST_TEXT:
        raise KeyError(length)
    return file.read(length)


def _pass_over(file: BinaryIO, kind: int) -> None:
    if kind == _TEXT:
        (length,) = struct.unpack("<Q", file.read(8))
        file.seek(length, 1)
    elif kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        for _ in range(count if inner in (_TEXT, _ARRAY) else 0):
            _pass_over(file, inner)
        file.seek(count * _SIZES.get(inner, 0), 1)
    else:
        file.seek(_SIZES[kind], 1)
