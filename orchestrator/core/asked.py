"""Whether a request is one: every fault of what a program or a client gave, before anything is done with it. Pure.

Every door asks here: the Python API, the private socket and the front door. Each may call a field otherwise, and gives its own
``names`` for it, so that an error speaks of what the caller wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, get_args

from orchestrator.core.choices import COMPLEXITIES, DATA_CLASSES, PRIORITIES
from orchestrator.core.errors import UsageError
from orchestrator.core.message import Message, Role
from orchestrator.core.names import did_you_mean, nearest
from orchestrator.core.options import OPTIONS
from orchestrator.core.request import Request
from orchestrator.core.surrogates import is_whole

LONGEST_NAME: Final = 200
"""Characters of a session, an agent, a principal or an id."""
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "priority": PRIORITIES,
    "data_class": DATA_CLASSES,
    "complexity": ("", *COMPLEXITIES),
}
_NAMES: Final = ("session", "agent", "principal", "id")
_ROLES: Final = get_args(Role)
_FIELDS: Final = tuple(each.name for each in fields(Request))
_NO_NAMES: Final[Mapping[str, str]] = {}
_NOTHING: Final = ("", "")


def check_fields(names: Iterable[str]) -> None:
    """Raise ``UsageError`` for a name that is no field of a :class:`Request`."""
    for name in names:
        if name not in _FIELDS:
            raise UsageError(f'a request has no "{name}"', cure=_meant(name), field=name)


def _meant(name: str) -> str:
    near = "" if name in OPTIONS else did_you_mean(name, _FIELDS)
    option = next(iter(nearest(name, OPTIONS, 1)), "")
    if option and not near:
        return f"settings of the model are options: options={{{option!r}: …}}"
    return near or f"there are: {', '.join(_FIELDS)}"


def check_request(request: Request, names: Mapping[str, str] = _NO_NAMES) -> Request:
    """The request itself. Raises ``UsageError`` that names the field and what it may be; ``names`` are what the caller
    calls fields and options that it calls otherwise."""
    given: Any = request  # what a program gives need not be what it should
    _check_texts(given, names)
    for name, known in _CHOICES.items():
        check_choice(names.get(name, name), getattr(given, name), known)
    _check_timeout(names.get("timeout", "timeout"), given.timeout)
    if not isinstance(given.escalate, bool):
        name = names.get("escalate", "escalate")
        raise UsageError(f"{name} is yes or no, not {given.escalate!r}", cure="give true or false", field=name)
    _check_options(given.options, names)
    history = names.get("history", "history")
    for number, turn in enumerate(given.history):
        fault = _fault_of(turn)
        if fault is not _NOTHING:
            raise UsageError(f"{history}[{number}] {fault[0]}", cure=fault[1], field=history)
    return request


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise ``UsageError`` where the value of the field ``name`` is none of those that are known."""
    if isinstance(value, str) and value in known:
        return
    near = did_you_mean(value, known) if isinstance(value, str) else ""
    cure = near or f"it is one of: {', '.join(each for each in known if each)}"
    raise UsageError(f"{name} cannot be {value!r}", cure=cure, field=name)


def _check_texts(given: Any, names: Mapping[str, str]) -> None:
    if not isinstance(given.text, str) or not given.text.strip():
        raise UsageError("the request has no text", cure="give the user's words", field=names.get("text", "text"))
    for field in _NAMES:
        value, name = getattr(given, field), names.get(field, field)
        if value is None:
            raise UsageError(f"{name} may not be None", cure="leave it out where there is none", field=name)
        if not isinstance(value, str):
            raise UsageError(f"{name} is no text: {value!r}", cure="give a text, or leave it out", field=name)
        if len(value) > LONGEST_NAME:
            cure = f"at most {LONGEST_NAME} characters"
            raise UsageError(f"{name} is too long: {len(value)} characters", cure=cure, field=name)
    for field in ("text", *_NAMES):
        if not is_whole(getattr(given, field)):
            told = f"the {names.get(field, field)} of the request holds half a character (a lone surrogate)"
            cure = "decode it with errors='replace', or from the encoding that it really has"
            raise UsageError(told, cure=cure, field=names.get(field, field))


def _check_timeout(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UsageError(f"{name} is seconds, more than 0, not {value!r}", cure="like 30, or leave it out", field=name)


def _check_options(options: Any, names: Mapping[str, str]) -> None:
    if not isinstance(options, Mapping):
        raise UsageError(f"options is no mapping: {options!r}", cure="like {'temperature': 0.2}", field="options")
    for option, value in options.items():
        check, name = OPTIONS.get(option), names.get(option, option)
        if check is None:
            cure = did_you_mean(str(option), OPTIONS) or f"there are: {', '.join(OPTIONS)}"
            raise UsageError(f'options has no "{option}"', cure=cure, field="options")
        must = "" if value is None else check(value)
        if must:
            raise UsageError(f"the option {name} cannot be {value!r}", cure=f"it is {must}", field=name)


def _fault_of(turn: Any) -> tuple[str, str]:
    """What is wrong with a turn of the history, and the cure; both empty where nothing is."""
    if not isinstance(turn, Message):
        return f"is no Message: {turn!r}", 'write orchestrator.Message("user", "…")'
    if turn.role not in _ROLES:
        return f"has the role {turn.role!r}", f"roles are: {', '.join(_ROLES)}"
    content: Any = turn.content
    if not isinstance(content, str):
        return f"has a content that is no text: {content!r}", "give a text"
    if turn.role == "tool" and not turn.tool_call_id:
        return "has the role 'tool' and answers no call", "give its tool_call_id"
    return _NOTHING
