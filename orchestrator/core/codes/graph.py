"""ORC3xx: properties of the whole graph."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes.code import Code

CODES: Final[tuple[Code, ...]] = ()
