"""What the control API answers, back as the words of the core: events, results, errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core import errors
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.event import Event
from orchestrator.core.request import Result


def read_event(value: Mapping[str, Any]) -> Event:
    """An event; the ``Result`` in it is one again."""
    fields = dict(value["fields"])
    if isinstance(fields.get("result"), Mapping):
        fields["result"] = read_result(fields["result"])
    return Event(value["kind"], value["at"], value["deployment"], value["revision"], value["run"], fields)


def read_result(value: Mapping[str, Any]) -> Result:
    """A result."""
    return Result.from_json(value)


def read_error(value: Mapping[str, Any]) -> OrchestratorError:
    """The error that the runtime raised, of the same class where this version has it."""
    kind = _KINDS.get(str(value.get("kind")), errors.DeployError)
    message, cure = str(value.get("message", "the runtime refused")), str(value.get("cure") or "")
    return kind(message, cure=cure)


def _all_of(kind: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _all_of(inner)


_KINDS = {kind.__name__: kind for kind in _all_of(OrchestratorError) if kind is not errors.ManifestError}
