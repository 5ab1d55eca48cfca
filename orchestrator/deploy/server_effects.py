"""What the supervisor of servers asks for, and what it hears of a token."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.deploy.ward import WardState


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start its process."""

    name: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask it for one token. ``life`` tells this process of it from later ones."""

    name: str
    life: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask its process to end."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End its process and all that it began."""

    name: str


@dataclass(frozen=True, slots=True)
class Became:
    """It is in another state; ``why`` says what led there."""

    name: str
    state: WardState
    why: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """Nothing of it is left, and nobody wants it."""

    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking: a ``token``, or ``why`` none came; ``hopeless`` where none ever will, ``empty`` where it answers and
    has no model that could, which may still be pulled into it."""

    token: bool
    why: str = ""
    hopeless: bool = False
    empty: bool = False


Effect = Spawn | Ask | Terminate | Kill | Became | Gone
