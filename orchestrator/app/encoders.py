"""The encoders of this process, each opened once, when a router first needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orchestrator.ports.encoder import Encoder

FOLDER: Final = "encoders"
"""Below the state folder: what encoders were written as. Safe to lose."""


class Encoders:
    """Fits ``OpenEncoder``. ``state`` is the state folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._open: dict[str, Encoder] = {}

    def __call__(self, name: str) -> Encoder:
        """The encoder of this name or folder. Raises ``DeployError`` with what is missing."""
        if name not in self._open:
            from orchestrator.plugins.encoders.local import open_local

            self._open[name] = open_local(name, self._folder)
        return self._open[name]
