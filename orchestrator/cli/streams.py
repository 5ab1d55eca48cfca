"""The three standard streams, also where whoever started the program closed some of them (``<&-``, ``>&-``, some daemons)."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn, TextIO, cast

from orchestrator.core.errors import UsageError


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
    like a full disk."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        _take(number, mode)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - no path, stays open
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    return sys.stdin or cast(TextIO, ClosedInput()), sys.stdout, sys.stderr


def _take(number: int, mode: int) -> None:
    """Open nothing as this number, where it is free; the lower ones are not."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, mode)
