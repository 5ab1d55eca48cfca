"""Every code of the project by its name; ``orchestrator explain code`` and the reference page read it."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes import acting, graph, mesh, references, syntax
from orchestrator.core.codes.code import Code

FAMILIES: Final[tuple[tuple[Code, ...], ...]] = (syntax.CODES, references.CODES, graph.CODES, acting.CODES, mesh.CODES)
CODES: Final[dict[str, Code]] = {code.code: code for family in FAMILIES for code in family}
