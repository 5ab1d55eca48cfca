"""A person at a terminal: a program on a pseudo-terminal, what it shows, and the keys that are pressed."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

CTRL_C = "\x03"
CTRL_D = "\x04"
UP = "\x1b[A"
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>]|\][^\x07]*\x07)")


class Keyboard:
    """A program that runs on a terminal of its own."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.shown = ""
        self._screen, terminal = pty.openpty()
        self._process = subprocess.Popen(
            argv,
            env={**environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
            preexec_fn=lambda: os.login_tty(terminal),  # noqa: PLW1509 - the terminal must control it, or Ctrl-C is a letter
            close_fds=True,
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        if self._screen >= 0:
            os.close(self._screen)

    @property
    def text(self) -> str:
        """What was shown so far, without colours and cursor moves."""
        return _ESCAPES.sub("", self.shown).replace("\r", "")

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._screen, keys.encode())

    def see(self, wanted: str, patience: float = 30.0) -> None:
        """Wait until a text is shown after what was seen before."""
        start = getattr(self, "_seen", 0)
        end = time.monotonic() + patience
        while wanted not in self.text[start:]:
            assert time.monotonic() < end, f"{wanted!r} was never shown in {self.text[start:]!r}"
            self._read(0.1)
        self._seen = self.text.index(wanted, start) + len(wanted)

    def end(self, patience: float = 30.0) -> int:
        """Wait until the program ends; its exit code."""
        end = time.monotonic() + patience
        while self._process.poll() is None:
            assert time.monotonic() < end, f"it never ended: {self.text[-500:]!r}"
            self._read(0.1)
        self._read(0.1)
        return self._process.returncode

    def hang_up(self, patience: float = 30.0) -> int:
        """Close the terminal, and wait until the program ends; its exit code."""
        os.close(self._screen)
        self._screen = -1
        return self._process.wait(patience)

    def _read(self, patience: float) -> None:
        ready, _, _ = select.select([self._screen], [], [], patience)
        if ready:
            try:
                self.shown += os.read(self._screen, 65536).decode(errors="replace")
            except OSError:  # the program has closed its side
                time.sleep(0.01)
