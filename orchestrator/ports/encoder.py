"""The port of encoders in this process: a text becomes a vector, and texts of like meaning are near each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, runtime_checkable

MINILM: Final = "minilm"
"""all-MiniLM-L6-v2 (Apache-2.0), English; 384 numbers a text: the encoder in this process that is known by name."""


class Encoder(Protocol):
    """An encoder that is loaded. Its vectors have the length 1."""

    @property
    def name(self) -> str:
        """As the manifest names it."""
        ...

    def encode(self, text: str) -> Sequence[float]:
        """The vector of a text, at once: a millisecond or two. Only what fits into its window is read."""
        ...

    def read_of(self, text: str) -> int:
        """How many characters of the text are read, from its beginning."""
        ...

    def known_share(self, texts: Sequence[str]) -> float:
        """Which share (0..1) of the words it knows whole: low where the texts are of a language that it never learned."""
        ...


@runtime_checkable
class DistantEncoder(Protocol):
    """An encoder behind a model server. While a router learns it is asked from a thread; for a request the engine asks it."""

    @property
    def name(self) -> str:
        """As the manifest names it."""
        ...

    def encode_all(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector a text. Waits, so that it is for threads only. Raises ``ModelError`` or ``NoModel``."""
        ...


OpenEncoder = Callable[[str], Encoder | DistantEncoder]
"""Opens the encoder that a manifest names. Raises ``DeployError`` with what is missing."""
