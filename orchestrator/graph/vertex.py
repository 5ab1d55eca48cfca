"""Elements of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

VertexKind = Literal["router", "specialist", "escalation", "model", "tool", "knowledge", "node"]


@dataclass(frozen=True, slots=True)
class Vertex:
    """One element: its address, what it is, a line about it, and the manifest's part that it came from (``part``)."""

    address: str
    kind: VertexKind
    about: str = ""
    part: Any = field(default=None, compare=False, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name without the kind."""
        return self.address.partition(".")[2]
