"""The port of tools: named groups of functions that agents may call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from orchestrator.core.marks import NO_ORIGINS
from orchestrator.core.message import FunctionSchema
from orchestrator.ports.code import Stamp

Effect = Literal["read", "write", "external"]


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Who calls, in which run: for stores that keep who did what, and for idempotency. ``call_id`` is the same where one call of
    one run is tried again, and for nothing else: ``run`` is the request's id, which a caller may give to several requests.
    ``epoch`` is that of the lease of an exclusive agent, and 0 for others: what lies outside may refuse one that is below the
    highest that it has seen. ``fields`` are those whose values may not leave the device: under other names they are to be told in
    ``ToolOutcome.origins``."""

    run: str = ""
    session: str = ""
    agent: str = ""
    call_id: str = ""
    text: str = ""
    epoch: int = 0
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a call gave: a plain JSON-able ``value``, and ``text`` for a model (made from the value where empty). The engine
    makes it plain where it is not quite (``serve/steps/plain.py``), and refuses what has no form in JSON. ``show`` makes the
    text of the value: with it, it is known where in the text each field of the value stands (``core/marks.py``). ``origins``: names
    in the value that do not say whose values stand under them, each with the field that does."""

    value: Any
    text: str = ""
    show: Callable[[Any], str] | None = field(default=None, compare=False, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def shown(cls, value: Any, show: Callable[[Any], str], origins: Mapping[str, str] = NO_ORIGINS) -> ToolOutcome:
        """An outcome whose text is made of its value."""
        return cls(value, show(value), show, origins)


RunFunction = Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolOutcome]]


@dataclass(frozen=True, slots=True)
class ToolFunction:
    """One function: ``name`` is ``<tool>.<function>`` (a model sees ``<tool>_<function>``), ``parameters`` a JSON Schema.

    ``effect`` says whether it only reads, writes local state, or reaches outside; ``idempotent`` whether a repeat is safe.
    ``run`` gets arguments that fit ``parameters`` and raises ``ToolFailed`` with a message that a user may read.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: Effect
    run: RunFunction
    idempotent: bool = False

    @property
    def schema(self) -> FunctionSchema:
        """As a model sees it."""
        return FunctionSchema(self.name.replace(".", "_"), self.description, self.parameters)


class Tool(Protocol):
    """A live tool of a deployment."""

    @property
    def functions(self) -> tuple[ToolFunction, ...]:
        """What it offers; fixed for its life."""
        ...

    async def aclose(self) -> None:
        """Release what it holds."""
        ...


@runtime_checkable
class Fillable(Protocol):
    """A live tool that looks up what its operator puts there."""

    @property
    def filled_by(self) -> str:
        """What to do so that it finds more, as a command to a person; empty where that says nothing."""
        ...


@runtime_checkable
class MadeOfCode(Protocol):
    """A live tool that was made from files of the operator: they are looked at by each apply."""

    @property
    def code(self) -> Mapping[str, Stamp]:
        """The files that were read, by their absolute paths, as they were then."""
        ...


@dataclass(frozen=True, slots=True)
class ToolPlace:
    """Where a tool lives: its own folder below the state folder (mode 0700, exists), the manifest's folder, the roots
    that code may be loaded from, and the environment's secret resolver."""

    state: Path
    folder: Path
    roots: tuple[Path, ...] = ()
    reveal: Callable[[str], str] = field(default=lambda reference: reference)


OpenTool = Callable[[str, Mapping[str, Any], ToolPlace], Tool]
"""What the table of tools holds for each kind: ``open(name, options, place)``. Raises ``DeployError`` if it cannot."""
