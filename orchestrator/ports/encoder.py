"""The port of encoders in this process: a text becomes a vector, and texts of like meaning are near each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Encoder(Protocol):
    """An encoder that is loaded. Its vectors have the length 1."""

    @property
    def name(self) -> str:
        """As the manifest names it."""
        ...

    def encode(self, text: str) -> Sequence[float]:
        """The vector of a text, at once: a millisecond or two. Only what fits into its window is read."""
        ...

    def known_share(self, texts: Sequence[str]) -> float:
        """Which share (0..1) of the words it knows whole: low where the texts are of a language that it never learned."""
        ...


OpenEncoder = Callable[[str], Encoder]
"""Opens the encoder that a manifest names. Raises ``DeployError`` with what is missing."""
