"""ORC2xx: names that point at other parts, secrets, files and what this version cannot do yet."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes.code import Code

CODES: Final[tuple[Code, ...]] = ()
