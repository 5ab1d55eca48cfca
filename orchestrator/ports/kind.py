"""A named sort of plug-in, found by its place in the code so that nothing is imported before it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from orchestrator.core.extras import install_line


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of a table of kinds: its name, what it is in a line, and ``where`` it lives (``package.module:attribute``).

    ``extra`` names the optional extra that it needs, for the error when its library is missing.
    """

    name: str
    summary: str
    where: str
    extra: str = ""

    def load(self) -> Any:
        """Import it now. Raises ``ImportError`` that names the extra where a library is missing."""
        module, _, attribute = self.where.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if not self.extra:
                raise
            raise ImportError(f'"{self.name}" needs a library: {install_line(self.extra)}') from error
