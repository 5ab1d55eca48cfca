"""Records that a request makes by the dozen: frozen for whoever reads the code, free of charge at run time.

A frozen dataclass sets each of its fields through ``object.__setattr__``: 1.05 us for fourteen fields where 0.25 is enough.
A third of the engine's time went there. So the type checker keeps these from being changed (``frozen_default``), and nothing
is paid for it while a request waits. Everything else is ``@dataclass(frozen=True, slots=True)``, which holds for all code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

Made = TypeVar("Made")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[Made]) -> type[Made]:
    """A dataclass with slots that is compared by its fields, and hashed by them where they can be. Nobody changes one: make
    another. Plug-ins of other packages hold to that too: what they are given, others are given beside them."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
