"""The terminal that a verb talks to: what it asked for goes to stdout, everything about it to stderr."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TextIO

from orchestrator.core.in_line import visible

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "1;31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}
_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys and does not show: C0 and C1 but for newline and tab; and what turns the order of letters round."""
_PAINTED: Final = re.compile(f"(\x1b\\[(?:0|{'|'.join(_CODES.values())})m)")


def harmless(text: str) -> str:
    """A text of somebody else, for a terminal: what it would obey is shown instead (``\x1b`` as ``␛``)."""
    return _OBEYED.sub(visible, text)


class Terminal:
    """The three streams, and whether to colour: never where it is no terminal, with ``NO_COLOR``, or ``--no-color``."""

    def __init__(
        self, streams: tuple[TextIO, TextIO, TextIO], environment: Mapping[str, str], *, plain: bool = False
    ) -> None:
        self.stdin, self.stdout, self.stderr = streams
        self.environment = environment
        self.plain = plain or bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"

    @property
    def interactive(self) -> bool:
        """Whether a person sits at both ends."""
        return _is_terminal(self.stdin) and _is_terminal(self.stdout)

    @property
    def live(self) -> bool:
        """Whether progress may redraw lines of stderr."""
        return not self.plain and _is_terminal(self.stderr)

    def say(self, text: str = "") -> None:
        """A line of what was asked for."""
        self.stdout.write(_but_for_paint(f"{text}\n", self.stdout))

    def write(self, text: str) -> None:
        """Text of a model, a tool or a user, as it comes: a terminal shows its control characters and obeys none."""
        self.stdout.write(self.foreign(text))

    def foreign(self, text: str, *, on: TextIO | None = None) -> str:
        """Such a text as it may be written to a stream (stdout): unchanged where that is no terminal."""
        return harmless(text) if _is_terminal(on or self.stdout) else text

    def tell(self, text: str = "") -> None:
        """A line about it, for people."""
        self.stdout.flush()
        self.stderr.write(_but_for_paint(f"{text}\n", self.stderr))
        self.stderr.flush()

    def paint(self, style: str, text: str, *, on: TextIO | None = None) -> str:
        """``text`` in a style, where the stream (stdout) shows colours."""
        stream = on or self.stdout
        if self.plain or not _is_terminal(stream) or not text:
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def _but_for_paint(text: str, stream: TextIO) -> str:
    """The same for a line of our own, whose colours are meant; what is quoted in it can do no more than colour."""
    if not _is_terminal(stream):
        return text
    return "".join(part if _PAINTED.fullmatch(part) else harmless(part) for part in _PAINTED.split(text))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False  # it is closed
