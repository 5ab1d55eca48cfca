"""ORC1xx: the text itself: reading, YAML, structure, values."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes.code import Code

CODES: Final[tuple[Code, ...]] = ()
