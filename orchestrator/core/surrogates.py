"""Halves of surrogate pairs: what keeps a text from being sent or stored, and how it is made whole.

JSON may write a character beyond U+FFFF as two escapes (RFC 8259, section 7), and nothing keeps a server from sending
one of them alone; Python itself stands lone halves for the bytes of a file's name that are no UTF-8 (PEP 383). Such a
text is no Unicode, so that encoding it fails far away from where it came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_whole(text: str) -> bool:
    """Whether it can be encoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole(text: str) -> str:
    """Two halves that belong together become their character, a lone one U+FFFD; any other text is given back itself."""
    return text if is_whole(text) else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def whole_value(value: Any) -> Any:
    """A plain value with every text in it made whole, keys too."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, Mapping):
        return {whole_value(key): whole_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole_value(each) for each in value]
    return value


def utf8(text: str) -> bytes:
    """As it is sent and stored, made whole where it must be."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return whole(text).encode()


class Joined:
    """Makes a text whole that comes in pieces: some servers cut a character between two of them."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """What may be passed on: a first half at the end waits for what follows."""
        if not piece or (piece.isascii() and not self._half):
            return piece
        text, self._half = self._half + piece, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole(text)

    def end(self) -> str:
        """There are no more pieces: what waits is alone."""
        half, self._half = self._half, ""
        return whole(half)
