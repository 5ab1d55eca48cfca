"""What a request brings along from the node that hands it over, beside itself: who tried before, what must be hidden of it, and
what it is a part of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.clauses import LONGEST_TEXT
from orchestrator.core.denial import Denial
from orchestrator.core.marks import Mark, marks_from
from orchestrator.core.record import record

MOST_ATTEMPTS: Final = 16
"""Of one request; more than a run can make on its way through a node."""
LONGEST_SAID: Final = 4_000
"""Characters of what an attempt had said."""
LONGEST_REASON: Final = 1_000
"""Characters of why it handed over."""
MOST_CALLS: Final = 64
MOST_DENIALS: Final = 64
"""Of one request; the newest. Of an older one a person would be asked once more."""
LONGEST_CALL: Final = 200
"""Characters of what one call is told in."""
MOST_VALUES: Final = 500
MOST_MARKS: Final = LONGEST_SAID
"""Of one text: one a letter, so that none is ever left out."""
LONGEST_NAME: Final = 200
"""Characters of the name of an agent or a field."""
LONGEST_VALUE: Final = 1_000
"""Characters of a value of a named field; one that is looked for in texts has fewer (``core/known_values.py``)."""


@record
class Attempt:
    """An answer that was not good enough, for whoever takes over: what was said, and which functions were called. ``marks`` tell
    another node where in its text values of named fields stand."""

    agent: str
    reason: str
    text: str = ""
    calls: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()

    def done(self, said: str) -> str:
        """What it did, in words; ``said`` is its text as there is room for it."""
        parts = [f'It had said: "{said}".'] if said else []
        parts += [f"It has called already: {', '.join(self.calls)}."] if self.calls else []
        return " ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        plain = {"agent": self.agent, "reason": self.reason, "text": self.text, "calls": list(self.calls)}
        return {**plain, "marks": [list(each) for each in self.marks]} if self.marks else plain


@record
class Handed:
    """``attempts``: those before, the oldest first. ``values``: named fields, each with a value of it that stands somewhere in what
    is brought, where nothing beside it need tell what it is: who takes over hides it from the cloud as who hands over would.
    ``part_of``: the text of the request that it is a part of, which conditions of strict routes look at; nobody is shown it.
    ``denials``: the calls that a person refused, which nobody makes or asks for on the other node either."""

    attempts: tuple[Attempt, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    part_of: str = ""
    denials: tuple[Denial, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.attempts or self.values or self.part_of or self.denials)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "attempts": [each.as_json() for each in self.attempts],
            "values": [list(each) for each in self.values],
            **({"part_of": self.part_of} if self.part_of else {}),
            **({"denials": [each.as_json() for each in self.denials]} if self.denials else {}),
        }

    @classmethod
    def from_json(cls, value: object) -> Handed:
        """From the plain form; raises ``ValueError`` that says what of it is none, or is out of its bounds. What it does not know
        is left alone: a newer node may tell more."""
        if not isinstance(value, Mapping):
            raise ValueError("is no object")
        attempts = tuple(map(_attempt, _listed(value, "attempts", MOST_ATTEMPTS)))
        values = tuple(map(_named_value, _listed(value, "values", MOST_VALUES)))
        denials = tuple(map(_denial, _listed(value, "denials", MOST_DENIALS)))
        return cls(attempts, values, _text(value.get("part_of", ""), LONGEST_TEXT), denials)


NOTHING_HANDED: Final = Handed()


def _attempt(value: object) -> Attempt:
    if not isinstance(value, Mapping):
        raise ValueError("has an attempt that is no object")
    calls = tuple(_text(each, LONGEST_CALL) for each in _listed(value, "calls", MOST_CALLS))
    said = _text(value.get("text"), LONGEST_SAID)
    marks = marks_from(_listed(value, "marks", MOST_MARKS), said)
    name, reason = _text(value.get("agent"), LONGEST_NAME), _text(value.get("reason"), LONGEST_REASON)
    return Attempt(name, reason, said, calls, marks)


def _denial(value: object) -> Denial:
    if not isinstance(value, Mapping):
        raise ValueError("has a denial that is no object")
    function, digest, by = (_text(value.get(each), LONGEST_NAME) for each in ("function", "digest", "by"))
    arguments, words = (_text(value.get(each), LONGEST_REASON) for each in ("arguments", "words"))
    return Denial(function, digest, arguments, by, words)


def _named_value(value: object) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("has a value without its field")
    return _text(value[0], LONGEST_NAME), _text(value[1], LONGEST_VALUE)


def _listed(value: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = value.get(name, [])
    if not isinstance(found, list) or len(found) > most:
        raise ValueError(f"has {name} that are no list of {most} at most")
    return found


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"has something that is no text of {longest} characters at most")
    return value
