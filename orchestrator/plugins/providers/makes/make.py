"""What a make of model server is to us: a row of facts and three small functions."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.core.errors import ModelError, Unreachable
from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.failures import failure_of
from orchestrator.ports.provider import TOO_OLD, Capability, Identity, ServedModel, Support


@dataclass(frozen=True, slots=True)
class Look:
    """What a server answered to one ``GET``: ``value`` is its JSON, or ``None`` where it is none."""

    status: int
    headers: Mapping[str, str]
    text: str
    value: Any = None

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of an answer of status 200; empty for anything else."""
        return self.value if self.status == 200 and isinstance(self.value, dict) else {}

    @property
    def rows(self) -> list[Any]:
        """The JSON array of an answer of status 200; empty for anything else."""
        return self.value if self.status == 200 and isinstance(self.value, list) else []


LOADING: Final = "loading its model"
"""A note of an identity: it tells more of itself once that is done."""
PLAIN: Final = Dialect()
"""The protocol as OpenAI has it."""

_SERVER_ERROR: Final = 500

NOTHING: Final = Look(0, {}, "")
"""Stands for a path that did not answer at all."""


class Looks(dict[str, Look]):
    """Answers by path."""

    def __missing__(self, path: str) -> Look:
        return NOTHING

    def need(self, *paths: str) -> None:
        """Raise what the first of ``paths`` said, where none of them answered with a document."""
        if not any(self[path].status == 200 for path in paths):
            raise _failure(next((self[path] for path in paths if path in self), NOTHING))

    def need_each(self, *paths: str) -> None:
        """Raise where one of ``paths`` was not answered, or the server was not ready to: half of what it tells would pass for
        all of it, and a server that starts or ends just now would seem to be another one."""
        for path in paths:
            if self[path] is NOTHING:
                raise Unreachable(f"it did not answer GET {path}, though it answered others")
            if self[path].status >= _SERVER_ERROR:
                raise _failure(self[path])


def _failure(look: Look) -> ModelError:
    return failure_of(look.status, look.headers, look.text.encode(), time.time())


LookAt = Callable[[tuple[str, ...]], Awaitable[Looks]]
"""Asks a server for several paths at once. Raises ``Unreachable`` and the like where none of them answers."""


@dataclass(frozen=True, slots=True)
class Since:
    """What a make can do since ``version`` was otherwise ``before`` it."""

    version: str
    before: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Make:
    """One row of the table of makes.

    ``looks_at`` are the paths that tell this make from others; ``recognise`` judges their answers (pure, never by the
    port); ``served`` lists the models. ``assumed_slots`` is how many calls such a server answers at once where it does
    not tell. ``keeps_streams``: its connections can be used again after a streamed answer. ``wants`` says in a line what
    the user must have done for it to serve. ``capabilities`` are those of the newest versions, ``since`` what differs in
    older ones; nothing is known of versions before ``oldest``. ``only_listed``: a model that it does not list must not be
    asked for, because it would fetch it from the internet.
    ``chooses``: it may have ``/v1/systemone``. ``lists_loaded_only``: what lies on its disk may not be listed. ``stores`` are
    the folders where its models usually lie (``~`` is the user's home), ``store_variable`` is what its users set to move
    them.
    """

    kind: str
    summary: str
    default_urls: tuple[str, ...]
    looks_at: tuple[str, ...]
    recognise: Callable[[str, Looks], Identity | None]
    served: Callable[[LookAt], Awaitable[tuple[ServedModel, ...]]]
    capabilities: Mapping[Capability, Support]
    dialect: Dialect = PLAIN
    keeps_streams: bool = True
    assumed_slots: int = 1
    url_variable: str = ""
    wants: str = ""
    lists_loaded_only: bool = False
    stores: tuple[str, ...] = ()
    store_variable: str = ""
    since: tuple[Since, ...] = ()
    oldest: str = ""
    only_listed: bool = False
    chooses: bool = False

    def of_version(self, identity: Identity) -> Identity:
        """The same server with what its version can do, and a note where it is older than what is known of. A server that
        tells no version counts as new."""
        version = identity.version
        able = dict(identity.capabilities)
        for change in self.since:
            if older(version, change.version):
                able |= {Capability(name): Support(value) for name, value in change.before.items()}
        notes = identity.notes
        if older(version, self.oldest):
            notes = (*notes, f"version {version} {TOO_OLD}: nothing is known of versions before {self.oldest}")
        return replace(identity, capabilities=able, notes=notes)


def older(version: str, other: str) -> bool:
    """Whether one version is older than another, by the numbers in them; false where one of them has none."""
    one, two = _numbers(version), _numbers(other)
    return bool(one and two) and one < two


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\D*(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def declared(**support: str) -> dict[Capability, Support]:
    """A whole row of capabilities; what is not named is ``unknown``. ``tool_choice`` stands for all that it can ask for."""
    choice = support.pop("tool_choice", "")
    if choice:
        support = {"tool_named": choice, "tool_required": choice, "tool_none": choice} | support
    told = {Capability(name): Support(value) for name, value in support.items()}
    return {capability: told.get(capability, Support.UNKNOWN) for capability in Capability}


def but(capabilities: Mapping[Capability, Support], **support: str) -> dict[Capability, Support]:
    """The row, with some of it otherwise: for a server that cannot do all that its make can."""
    return {**capabilities, **{Capability(name): Support(value) for name, value in support.items()}}


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON array, whatever else stands in it."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def inner(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object under this name, empty where there is none."""
    value = entry.get(name)
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """A JSON string, or an empty text."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A positive whole number, or ``None``."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
