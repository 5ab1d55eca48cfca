"""The words that fields of a request may be, in one place: a command's help needs them and nothing else of a request."""

from __future__ import annotations

from typing import Final, Literal, get_args

PriorityClass = Literal["system", "interactive", "default", "bulk"]
DataClass = Literal["public", "internal", "restricted"]
Complexity = Literal["", "simple", "moderate", "complex"]

PRIORITIES: Final[tuple[PriorityClass, ...]] = get_args(PriorityClass)
CALLERS: Final[tuple[PriorityClass, ...]] = ("interactive", "default", "bulk")
"""The priorities that a caller of a command or of the front door may ask for."""
DATA_CLASSES: Final[tuple[DataClass, ...]] = get_args(DataClass)
COMPLEXITIES: Final[tuple[Complexity, ...]] = tuple(each for each in get_args(Complexity) if each)
"""Those that can be said; nothing said is the empty one."""
