"""Finding and reading the texts of a manifest: files and standard input. The only file of this package that reads the disk."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from orchestrator.core.diagnostic import Place
from orchestrator.manifest.faults import Refused, fault, refused

LARGEST_FILE: Final = 16_000_000
"""Bytes of one file."""
STDIN: Final = "-"
STDIN_NAME: Final = "<stdin>"
"""How standard input is called in places."""

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_WIDE_MARKS: Final = {
    b"\xff\xfe\0\0": "UTF-32",  # first, since the mark of UTF-16 begins it
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One text. ``name`` is what the user called it; ``folder`` is what its includes count from."""

    name: str
    text: str
    folder: Path


def read_source(name: str, stdin: TextIO | None = None) -> Source:
    """Read one file or standard input. Raises ``Refused``."""
    if name == STDIN:
        return Source(STDIN_NAME, _read_stdin(stdin), Path.cwd())
    path = Path(name)
    return Source(name, read_text(path, name), path.absolute().parent)


def read_text(path: Path, name: str) -> str:
    """The text of a regular UTF-8 file of bounded size. Raises ``Refused``; ``name`` is the file's name in the diagnostic."""
    place = Place(name, 1, 1)
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise refused("ORC102", f"{name} is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}", place)
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise refused("ORC101", f"there is no file {name}", place) from error
    except IsADirectoryError as error:
        raise refused("ORC102", f"{name} is a folder", place) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise refused("ORC103", f"{name} cannot be read: {reason}", place) from error
    return decode(content, name)


def _open_without_waiting(path: str, flags: int) -> int:
    """A pipe without a writer would block the open for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_stdin(stdin: TextIO | None) -> str:
    place = Place(STDIN_NAME, 1, 1)
    if stdin is None:
        raise refused("ORC103", "standard input cannot be read here", place)
    try:
        binary = getattr(stdin, "buffer", None)
        content = binary.read(LARGEST_FILE + 1) if binary is not None else stdin.read(LARGEST_FILE + 1).encode()
    except (OSError, ValueError) as error:
        raise refused("ORC103", f"standard input cannot be read: {error}", place) from error
    return decode(content, STDIN_NAME)


def decode(content: bytes, name: str) -> str:
    """UTF-8 without a byte-order mark. Raises ``Refused`` with the line and column of the first wrong byte."""
    if len(content) > LARGEST_FILE:
        raise refused("ORC104", f"{name} is larger than {LARGEST_FILE // 1_000_000} MB", Place(name, 1, 1))
    wide = next((encoding for mark, encoding in _WIDE_MARKS.items() if content.startswith(mark)), "")
    if wide:
        raise refused("ORC105", f"{name} is {wide}", Place(name, 1, 1))
    if content.startswith(b"\xef\xbb\xbf"):
        raise Refused(fault("ORC106", "a byte-order mark", Place(name, 1, 1), cure="save it as UTF-8 without one"))
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        lines = lines_of(before)
        place = Place(name, len(lines), len(lines[-1]) + 1)
        raise refused("ORC105", f"the byte 0x{content[error.start]:02X} is not UTF-8", place) from error


def lines_of(text: str, most: int = 0) -> list[str]:
    """Its lines, with the line breaks of YAML, so that line numbers agree with the parser's. ``most``: only so many, if not 0."""
    if any(mark in text for mark in "\r\x85\u2028\u2029"):
        return _BREAK.split(text, most)[: most or None]
    return text.split("\n", most or -1)[: most or None]
