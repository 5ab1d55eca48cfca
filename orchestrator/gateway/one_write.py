"""A transport whose writes of one turn of the event loop go out as one.

uvicorn writes an answer's head and its body by themselves. Each write is a system call and a packet; together they take
more than everything that the front door does for a request.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

MOST_HELD: Final = 65_536
"""Bytes that are held back at most: the transport's own flow control must see what is more."""


class OneWrite(asyncio.Transport):
    """Holds writes back until the turn of the loop is over; everything else goes to the transport behind it."""

    def __init__(self, behind: asyncio.Transport) -> None:
        super().__init__()
        self._behind = behind
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send it at the end of this turn, or at once where much is held."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(bytes(data))
        self._size += len(data)
        if self._size > MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._size = 0
            self._behind.write(data)

    def close(self) -> None:
        """Close when everything is sent."""
        self.flush()
        self._behind.close()

    def abort(self) -> None:
        """Close at once."""
        self._held.clear()
        self._behind.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or closes."""
        return self._behind.is_closing()

    def pause_reading(self) -> None:
        """Take nothing for a while."""
        self._behind.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes."""
        self._behind.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows of its socket."""
        return self._behind.get_extra_info(name, default)
