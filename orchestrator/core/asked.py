"""Whether a request is one: every fault of what a program or a client gave, before anything is done with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, get_args

from orchestrator.core.errors import UsageError
from orchestrator.core.message import Message, Role
from orchestrator.core.names import did_you_mean, nearest
from orchestrator.core.options import OPTIONS
from orchestrator.core.request import Complexity, DataClass, PriorityClass, Request
from orchestrator.core.surrogates import is_whole

_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "priority": get_args(PriorityClass),
    "data_class": get_args(DataClass),
    "complexity": get_args(Complexity),
}
_TEXTS: Final = ("session", "agent", "principal", "id")
_FIELDS: Final = tuple(each.name for each in fields(Request))
_TURN: Final = 'write orchestrator.Message("user", "…")'


def check_fields(names: Iterable[str]) -> None:
    """Raise ``UsageError`` for a name that is no field of a :class:`Request`."""
    for name in names:
        if name not in _FIELDS:
            raise UsageError(f'a request has no "{name}"', cure=_meant(name))


def _meant(name: str) -> str:
    near = "" if name in OPTIONS else did_you_mean(name, _FIELDS)
    option = next(iter(nearest(name, OPTIONS, 1)), "")
    if option and not near:
        return f"settings of the model are options: options={{{option!r}: …}}"
    return near or f"there are: {', '.join(_FIELDS)}"


def check_request(request: Request) -> Request:
    """The request itself. Raises ``UsageError`` that names the field and what it may be."""
    given: Any = request  # what a program gives need not be what it should
    _check_texts(given)
    for name, known in _CHOICES.items():
        _check_choice(name, getattr(given, name), known)
    _check_timeout(given.timeout)
    if not isinstance(given.escalate, bool):
        raise UsageError(f"escalate is yes or no, not {given.escalate!r}", cure="escalate=True")
    _check_options(given.options)
    for turn in given.history:
        _check_turn(turn)
    return request


def _check_options(options: Any) -> None:
    if not isinstance(options, Mapping):
        raise UsageError(f"options is no mapping: {options!r}", cure="like {'temperature': 0.2}")
    for name, value in options.items():
        check = OPTIONS.get(name)
        if check is None:
            cure = did_you_mean(str(name), OPTIONS) or f"there are: {', '.join(OPTIONS)}"
            raise UsageError(f'options has no "{name}"', cure=cure)
        must = "" if value is None else check(value)
        if must:
            raise UsageError(f"the option {name} cannot be {value!r}", cure=f"it is {must}")


def _check_turn(turn: Any) -> None:
    if not isinstance(turn, Message):
        raise UsageError(f"a turn of the history is no Message: {turn!r}", cure=_TURN)
    if turn.role not in get_args(Role):
        raise UsageError(
            f"a turn of the history has the role {turn.role!r}", cure=f"roles are: {', '.join(get_args(Role))}"
        )
    if not isinstance(turn.content, str):
        raise UsageError(f"the content of a turn of the history is no text: {turn.content!r}", cure=_TURN)


def _check_texts(given: Any) -> None:
    if not isinstance(given.text, str) or not given.text.strip():
        raise UsageError("the request has no text", cure="give the user's words")
    for name in _TEXTS:
        if not isinstance(getattr(given, name), str):
            raise UsageError(f"{name} is no text: {getattr(given, name)!r}", cure=f'{name}="…", or leave it out')
    for name in ("text", *_TEXTS):
        if not is_whole(getattr(given, name)):
            cure = "decode it with errors='replace', or from the encoding that it really has"
            raise UsageError(f"the {name} of the request holds half a character (a lone surrogate)", cure=cure)


def _check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value in known:
        return
    named = ", ".join(each for each in known if each)
    raise UsageError(f"{name} cannot be {value!r}", cure=did_you_mean(str(value), known) or f"it is one of: {named}")


def _check_timeout(value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UsageError(f"timeout is seconds, more than 0, not {value!r}", cure="timeout=30")
