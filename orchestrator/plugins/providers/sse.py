"""Server-sent events, parsed as the bytes come. Pure: bytes in, payloads out; any slicing gives the same payloads.

It follows the "event stream interpretation" of the WHATWG HTML standard, with two kindnesses that real servers need: an
event that the end of the stream cuts off before its empty line still counts, and so does a bare line of JSON (some
servers write an error that way in the middle of a stream).
"""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes that one line may have before the stream counts as broken."""

_BOM: Final = b"\xef\xbb\xbf"


class LineTooLong(ValueError):
    """A line of a stream is longer than ``MAX_LINE``."""


class EventStream:
    """Feed it pieces as they arrive; it hands back the payloads (``data`` of whole events) that they complete."""

    __slots__ = ("_after_cr", "_data", "_limit", "_line", "_line_size", "_started", "comment")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # pieces of the line that is not finished
        self._line_size = 0
        self._data: list[bytes] = []  # data lines of the event that is not finished
        self._after_cr = False
        self._started = False
        self.comment = b""
        """The last line that is no event, but a remark to whoever reads the stream."""

    def feed(self, piece: bytes) -> list[bytes]:
        """The payloads that this piece completes. Raises ``LineTooLong``."""
        if self._after_cr or b"\r" in piece:
            piece = self._with_line_feeds(piece)
        head, found, rest = piece.rpartition(b"\n")
        if not found:
            self._keep(rest)
            return []
        lines = (b"".join((*self._line, head)) if self._line else head).split(b"\n")
        self._line.clear()
        self._line_size = 0
        self._keep(rest)
        return self._payloads(lines)

    def end(self) -> list[bytes]:
        """The stream has ended: what was cut off before its empty line."""
        lines = [b"".join(self._line), b""]
        self._line.clear()
        return self._payloads(lines)

    def _keep(self, rest: bytes) -> None:
        if not rest:
            return
        self._line.append(rest)
        self._line_size += len(rest)
        if self._line_size > self._limit:
            raise LineTooLong(f"a line of more than {self._limit} bytes")

    def _with_line_feeds(self, piece: bytes) -> bytes:
        """CR LF and lone CR become LF, also where a piece ends between CR and LF."""
        if not piece:
            return piece
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _payloads(self, lines: list[bytes]) -> list[bytes]:
        out: list[bytes] = []
        if not self._started:
            self._started = True
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                self._dispatch(out)
            elif line.startswith(b":"):
                self.comment = line
            elif line.startswith(b"{"):
                self._dispatch(out)
                out.append(line)
        return out

    def _dispatch(self, out: list[bytes]) -> None:
        if self._data:
            out.append(b"\n".join(self._data))
            self._data.clear()
