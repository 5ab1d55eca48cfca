"""A router's question back, and what the answer to it means. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from orchestrator.core.asking import what_is_asked
from orchestrator.core.blueprint import RouterSpec, RouteSpec
from orchestrator.core.message import Message
from orchestrator.core.request import Decision
from orchestrator.deploy.guards import guarded

MOST_CHOICES: Final = 12
"""Choices that a question back names; how many more there are it says."""
_BEGIN: Final = "I am not sure what you need. I can help with:\n"
_END: Final = "\nWhich one is it?"
_WORD: Final = re.compile(r"\w+")
_ORDER: Final = (
    ("1", "first", "primo", "prima"),
    ("2", "second", "secondo", "seconda"),
    ("3", "third", "terzo", "terza"),
    ("4", "fourth", "quarto", "quarta"),
    ("5", "fifth", "quinto", "quinta"),
)
_LAST: Final = ("last", "ultimo", "ultima")
_AROUND: Final = frozenset(("the", "one", "number", "option", "il", "la", "lo", "l", "numero", "i", "mean", "meant"))
"""Words that may stand beside the one that counts the choices."""

_NOT: Final = frozenset(
    (
        *(
            "not",
            "no",
            "don",
            "dont",
            "doesn",
            "isn",
            "never",
            "none",
            "neither",
            "nor",
            "but",
            "except",
            "without",
            "instead",
        ),
        *("what", "who", "which", "why", "how"),
        *("non", "ma", "tranne", "senza", "nessuno", "chi", "cosa", "quale", "perché", "come"),
    )
)
"""With one of these an answer may mean another choice than it names, or ask something itself."""


def question_of(router: RouterSpec) -> str:
    """The question that offers a router's choices."""
    routes = _offered(router)
    lines = [
        f"- {route['to']}" + (f": {route['description']}" if route["description"] else "")
        for route in routes[:MOST_CHOICES]
    ]
    lines += [f"- and {len(routes) - MOST_CHOICES} more"] if len(routes) > MOST_CHOICES else []
    return _BEGIN + "\n".join(lines) + _END


def _offered(router: RouterSpec) -> list[RouteSpec]:
    """Each once. To whom a strict route leads is nobody's to choose."""
    strict = guarded(router)
    ways = {route["to"]: route for route in reversed(router["routes"]) if route["to"] not in strict}
    return [route for route in router["routes"] if ways.get(route["to"]) is route]


def asked_before(router: RouterSpec, history: Sequence[Message]) -> str | None:
    """What the user wanted when this router asked back in the last turn; ``None`` where it did not."""
    if not history or history[-1].role != "assistant" or history[-1].content != question_of(router):
        return None
    return next((turn.content for turn in reversed(history) if turn.role == "user"), None)


def read_answer(router: RouterSpec, text: str) -> Decision | None:
    """Which of the choices an answer names, by its name or by its place; ``None`` where it names none, or several."""
    words = [word.casefold() for word in _WORD.findall(what_is_asked(text).replace("_", " "))]
    if not _NOT.isdisjoint(words):
        return None
    names = [route["to"] for route in _offered(router)]
    named = _longest([name for name in names if _holds(words, [word.casefold() for word in re.split(r"\W|_", name)])])
    if len(named) == 1:
        return Decision("answer", named[0], confidence=1.0, why=f'the answer to its question names "{named[0]}"')
    place = _place(words, len(names)) if not named else None
    if place is None:
        return None
    return Decision("answer", names[place], confidence=1.0, why=f'the answer to its question is "{text.strip()[:40]}"')


def _holds(words: list[str], name: list[str]) -> bool:
    return any(words[start : start + len(name)] == name for start in range(len(words) - len(name) + 1))


def _longest(names: list[str]) -> list[str]:
    """Without those that are only a part of another one's name: "support" in "technical-support"."""
    return [name for name in names if not any(name != other and name in other for other in names)]


def _place(words: list[str], count: int) -> int | None:
    """The place among ``count`` choices that these words say and nothing else."""
    left = [word for word in words if word not in _AROUND]
    if len(left) != 1:
        return None
    if left[0] in _LAST:
        return min(count, MOST_CHOICES) - 1
    found = next((number for number, order in enumerate(_ORDER) if left[0] in order), None)
    if found is None and left[0].isdecimal():
        found = int(left[0]) - 1
    return found if found is not None and 0 <= found < min(count, MOST_CHOICES) else None
