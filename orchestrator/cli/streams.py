"""The three standard streams, also where whoever started the program closed some of them (``<&-``, ``>&-``, some daemons)."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Final, NoReturn, TextIO, cast

from orchestrator.core.errors import UsageError

STAND_IN: Final = "orchestrator.stand-in"
"""What a stream does with a character that its encoding lacks (a name as of :func:`codecs.register_error`)."""
_ALIKE: Final = str.maketrans(
    {**dict.fromkeys("├└┌┐┘┤┬┴┼", "+"), "─": "-", "│": "|", "█": "#", "▶": ">", "◀": "<", "▲": "^", "▼": "v", "·": "-"}
    | {"…": "...", "→": "->", "←": "<-", "↷": "~", "✓": "+", "✗": "x"}
    | {"\u2013": "-", "\u2014": "-", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
)
"""What we draw with, and what people write so in other encodings."""


class ClosedInput(io.TextIOBase):
    """Standard input that was closed: whoever wants to read it is told so. No terminal."""

    def read(self, _size: int | None = -1, /) -> NoReturn:
        """Raises ``UsageError``."""
        raise UsageError("standard input is closed", cure="give what is to be read, like `< FILE`")

    def readline(self, _size: int = -1, /) -> NoReturn:  # type: ignore[override]  # it never comes back
        """Raises ``UsageError``."""
        self.read()


def standard_streams() -> tuple[TextIO, TextIO, TextIO]:
    """Input, output and errors. A number of a closed one would be taken by the next file that is opened, and what is written to
    the stream would land there; so it is taken here. Output that was closed can be written no more than before: it is told
    like a full disk. What the encoding of the locale lacks is written in a stand-in: it is no reason to fail."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        _take(number, mode)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - no path, stays open
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    codecs.register_error(STAND_IN, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "surrogateescape":
            stream.reconfigure(errors=STAND_IN)
    return sys.stdin or cast(TextIO, ClosedInput()), sys.stdout, sys.stderr


def in_utf8(stream: TextIO) -> None:
    """From now on this stream is UTF-8 whatever the locale: a program reads it."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors=stream.errors)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacks = error.object[error.start : error.end]
    return lacks.translate(_ALIKE).encode("ascii", "backslashreplace").decode(), error.end


def _take(number: int, mode: int) -> None:
    """Open nothing as this number, where it is free; the lower ones are not."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, mode)
