"""What all doors around kinds of other packages share: errors are translated, and what is no value of the port is refused."""

from __future__ import annotations

import traceback
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import OrchestratorError
from orchestrator.serve.cancels import cancels

_PROGRAM: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Guard:
    """``name`` is the kind as manifests write it (``plugin:acme``). ``error`` is what its port may raise: such an error goes on as
    it is, any other becomes one, or ``other`` where that says more, so that no fault of a package reaches what it has no
    part in."""

    name: str
    error: type[OrchestratorError]
    other: type[OrchestratorError] | None = None

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """While it does ``what``. A package that ends the program (``SystemExit``), or cancels what nobody cancelled, has failed
        too."""
        before = cancels()
        try:
            yield
        except (self.error, GeneratorExit):  # a stream that is left
            raise
        except BaseException as error:
            if isinstance(error, CancelledError) and cancels() > before:
                raise
            cure = error.cure if isinstance(error, OrchestratorError) else ""
            raise self._made()(f"{self.name} failed to {what}: {said(error)}", cure=cure) from error

    def wants(self, kind: type, value: Any) -> None:
        """Refuse a value of another type than the port's."""
        if not isinstance(value, kind):
            self.refuse(f"{type(value).__name__} where its port wants {kind.__name__}")

    def refuse(self, what: str) -> None:
        """Say that it gave something that its port does not allow."""
        raise self._made()(f"{self.name} gave {what}")

    def _made(self) -> type[OrchestratorError]:
        return self.other or self.error


def said(error: BaseException) -> str:
    """An error in a line, with the place that raised it: the only one in a group stands for the group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, OrchestratorError):
        return error.message
    places = traceback.extract_tb(error.__traceback__)
    last = places[-1] if places else None
    place = f" ({Path(last.filename).name}, line {last.lineno})" if last and not _ours(last.filename) else ""
    return f"{type(error).__name__}: {error}{place}"


def _ours(file: str) -> bool:
    """Whether a place says nothing to who wrote the package: it is where we, or Python, loaded it."""
    return file.startswith(("<frozen importlib", str(_PROGRAM)))
