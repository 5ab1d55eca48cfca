"""The terminal that a verb talks to: what it asked for goes to stdout, everything about it to stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TextIO

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "1;31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}


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
        self.stdout.write(f"{text}\n")

    def tell(self, text: str = "") -> None:
        """A line about it, for people."""
        self.stdout.flush()
        self.stderr.write(f"{text}\n")
        self.stderr.flush()

    def paint(self, style: str, text: str, *, on: TextIO | None = None) -> str:
        """``text`` in a style, where the stream (stdout) shows colours."""
        stream = on or self.stdout
        if self.plain or not _is_terminal(stream) or not text:
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False  # it is closed
