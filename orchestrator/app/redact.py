"""Keeps secrets out of every log and out of the history: by the key they stand under, and by their value once it is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from orchestrator.core.redaction import without_secrets
from orchestrator.plugins.secrets import reveal
from orchestrator.ports.provider import Secret

HIDDEN: Final = "***"
_TELLING: Final = re.compile(r"(?i)(api[_-]?key|passw|secret|token$|authorization|cookie)")
_SHORTEST: Final = 6
"""Characters of a value that is hidden wherever it appears; shorter ones would hide ordinary words."""


class Redactor:
    """Resolves secrets and remembers their values, so that they never reach a log."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()  # replaced and never changed: other threads read it

    def reveal(self, reference: str, folder: Path) -> Secret:
        """The secret of a reference, known to the redactor from now on."""
        secret = reveal(reference, folder)
        if len(secret.reveal()) >= _SHORTEST:
            # Longest first, as one may begin another.
            self._values = tuple(sorted({*self._values, secret.reveal()}, key=len, reverse=True))
        return secret

    def text(self, text: str) -> str:
        """The text without any known secret."""
        for value in self._values:
            if value in text:
                text = text.replace(value, HIDDEN)
        return text

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """As a processor of structlog."""
        del logger, method
        return {key: self._value(key, value) for key, value in event.items()}

    def _value(self, key: str, value: Any) -> Any:
        if _TELLING.search(key) and value is not None:
            return HIDDEN
        if isinstance(value, Mapping):
            return {self.text(str(inner)): self._value(str(inner), each) for inner, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._value("", each) for each in value]
        return without_secrets(value, self.text)
