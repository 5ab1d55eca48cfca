"""HTTP over the runtime's socket file, which tells an answer that takes long from a runtime that hangs: where an answer stands
still, somebody asks beside it whether the runtime lives."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from math import inf
from pathlib import Path
from typing import Any, Final

QUIET_SECONDS: Final = 2.0
"""How long an answer stands still until the runtime is asked whether it lives; its signs of life come more often."""
HANGS_SECONDS: Final = 3.0
"""How long it then may take to say so, before it has begun to answer."""
HANGS_WORKING_SECONDS: Final = 8.0
"""The same once it works for us: what it does for a moment without a breath must not be lost."""

Lives = Callable[[float], bool]


class Hangs(TimeoutError):
    """The runtime gives no sign of life."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that an answer may stand still while the runtime lives, and that the whole of it may take (``None``: as long as
    it moves). ``lives`` asks for a sign of life within some seconds; without it, nobody asks."""

    silence: float
    limit: float | None = None
    lives: Lives | None = None


class SocketConnection(HTTPConnection):
    """HTTP over a socket file. The host is a name that every listener accepts; it is looked up nowhere."""

    def __init__(self, path: Path, patience: Patience) -> None:
        super().__init__("localhost")
        self._path = path
        self._patience = patience
        self._socket: _PatientSocket | None = None

    def connect(self) -> None:
        self._socket = self.sock = _PatientSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.begin(self._patience)
        self._socket.connect(str(self._path))

    def answering(self) -> None:
        """It works for us from now on."""
        if self._socket is not None:
            self._socket.hangs = HANGS_WORKING_SECONDS


class _PatientSocket(socket.socket):
    """A socket whose limit counts for the whole answer, not for each read: an answer in many lines must end in time too."""

    hangs = HANGS_SECONDS
    _patience = Patience(inf)
    _ends = inf

    def begin(self, patience: Patience) -> None:
        """The time counts from now."""
        self.hangs = HANGS_SECONDS
        self._patience = patience
        self._ends = inf if patience.limit is None else time.monotonic() + patience.limit
        self.settimeout(min(patience.silence, patience.limit or inf, QUIET_SECONDS + HANGS_SECONDS))

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        take = super().recv_into
        return self._patiently(lambda: take(*arguments, **options))

    def sendall(self, data: Any, flags: int = 0) -> None:
        give, left = super().send, memoryview(data).cast("B")
        while left:
            left = left[self._patiently(lambda rest=left: give(rest, flags)) :]  # type: ignore[misc] # bound now

    def _patiently(self, move: Callable[[], int]) -> int:
        """One move of the answer. Raises ``TimeoutError``, and :class:`Hangs` where the runtime does not live."""
        still = min(time.monotonic() + self._patience.silence, self._ends)
        while True:
            left = still - time.monotonic()
            asks = self._patience.lives is not None and left > QUIET_SECONDS
            self.settimeout(max(0.001, QUIET_SECONDS if asks else left))
            try:
                return move()
            except TimeoutError:
                left = still - time.monotonic()
                if not asks or left <= 0.0:
                    raise
                if self._patience.lives is not None and not self._patience.lives(min(self.hangs, left)):
                    raise Hangs from None
