"""Find what names a person or an account in a text, put a placeholder in its place, and put it back.

Kinds: e-mail addresses, telephone numbers, card numbers (Luhn, ISO/IEC 7812-1), IBANs (mod 97, ISO 13616), values of named
fields (``field_values``), and patterns of the operator. A rule is coarse on purpose: what looks like one is taken,
as its placeholder is put back in the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from orchestrator.core.card_numbers import cards
from orchestrator.core.decoded import decoded
from orchestrator.core.email_addresses import emails
from orchestrator.core.field_values import CannotRedact, values_of
from orchestrator.core.known_values import KnownValues, folded
from orchestrator.core.marks import NO_ORIGINS, Mark, named_values
from orchestrator.core.pattern import SafePattern, compile_safely
from orchestrator.core.personal_numbers import ibans, phones
from orchestrator.core.placeholders import put_back, written_in
from orchestrator.core.plain_signs import Span

KINDS: Final = ("email", "card", "iban", "phone")
LONGEST_REMEMBERED: Final = 4_000
LONGEST_MATCH: Final = 1_000
"""Characters of what a pattern of the operator finds, at most, in a text that is too long to be looked at at once."""

_ESCAPED: Final = re.compile(
    r"\\{1,16}u(00(?:2[013-9a-fA-F]|[3-4][0-9a-fA-F]|5[0-9abdABDe-fE-F]|[67][0-9a-eA-E]|[aA][0dD])|20[0-2][0-9a-fA-F]|2212)"
)
"""A plain letter, digit or sign, or a space or hyphen, that JSON may write so, but for the quote and the backslash; also in a text
that was written as JSON again, which doubles the strokes."""


@dataclass(frozen=True, slots=True)
class Finder:
    """What is looked for. ``refuse`` are names of kinds (a pattern's own name too) that are not replaced: a text that holds one is
    not sent at all."""

    kinds: tuple[str, ...] = KINDS
    fields: tuple[str, ...] = ()
    patterns: tuple[tuple[str, SafePattern], ...] = ()
    refuse: frozenset[str] = frozenset()

    def spans(self, text: str) -> Sequence[Span]:
        """Where they are, in order, none over another: two that overlap count as one. Raises ``CannotRedact``."""
        return _remembered(self, text) if len(text) <= LONGEST_REMEMBERED else self.find(text)

    def find(self, text: str) -> Sequence[Span]:
        """The same, looked for anew."""
        found = [*self._known(text), *self._own(text)]
        self.check(found)
        return _merged(found)

    def check(self, found: Sequence[Span]) -> None:
        """Raise ``CannotRedact`` where one of them must not leave."""
        for kind in sorted({kind for _, _, kind in found} & self.refuse):
            raise CannotRedact(f"it holds something of the kind {kind}, which must not leave")

    def _known(self, text: str) -> Iterator[Span]:
        for kind in self.kinds:
            yield from _FINDERS[kind](text)
        for read in decoded(text):  # beside it: what reads as a coded sign may be the beginning of a number
            for kind in self.kinds:
                yield from map(read.back, _FINDERS[kind](read.text))

    def _own(self, text: str) -> Iterator[Span]:
        for name, pattern in self.patterns:
            yield from ((start, end, name) for start, end in _matches(name, pattern, text))
        for field in self.fields:
            yield from ((start, end, field) for start, end in values_of(field, text))


def _merged(found: list[Span]) -> list[Span]:
    """In order, none over another."""
    found.sort(key=lambda span: (span[0], -span[1]))
    kept: list[Span] = []
    for span in found:
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
        elif span[1] > kept[-1][1]:  # it goes on behind the last: both are taken, as one
            kept[-1] = (kept[-1][0], span[1], kept[-1][2])
    return kept


def standing_in(text: str, known: KnownValues) -> tuple[Mark, ...]:
    """Where values that are known stand in a text, in order, none over another."""
    return tuple(_merged(list(known.found(text))))


@lru_cache(maxsize=2048)
def _remembered(finder: Finder, text: str) -> Sequence[Span]:
    """The turns of a conversation come again with each request."""
    return finder.find(text)


def finder_of(written: Mapping[str, Any]) -> Finder | None:
    """What the manifest's ``redaction`` looks for before anything goes to the cloud; ``None`` where that is turned off."""
    if not written.get("cloud", True):
        return None
    return Finder(
        kinds=tuple(kind for kind in KINDS if kind in written.get("kinds", KINDS)),
        fields=tuple(written.get("fields", ())),
        patterns=tuple((name, compile_safely(text, whole=True)) for name, text in written.get("patterns", {}).items()),
        refuse=frozenset(written.get("refuse", ())),
    )


_FINDERS: Final[Mapping[str, Callable[[str], Iterator[Span]]]] = {
    "email": emails,
    "phone": phones,
    "card": cards,
    "iban": ibans,
}


def _matches(name: str, pattern: SafePattern, text: str) -> Iterator[tuple[int, int]]:
    """All of them. A long text is looked at in windows that overlap; raises ``CannotRedact`` where a match may go on beyond."""
    window = max(pattern.longest, 2 * LONGEST_MATCH)
    at = 0
    while at < len(text):
        end = min(len(text), at + window)
        found = pattern.pattern.search(text, at, end)
        if found is not None:
            near = found.end() == end or found.start() > end - LONGEST_MATCH
            if near and end < len(text) and found.start() > at:
                at = found.start()  # in a window that begins with it, it may go on
                continue
            if found.end() == end < len(text):
                raise CannotRedact(f"what the pattern {name} finds is too long to be looked at")
            if found.end() > found.start():
                yield found.start(), found.end()
            at = max(found.end(), found.start() + 1)
        elif end == len(text):
            return
        else:
            at = end - LONGEST_MATCH


def _unescaped(text: str, marks: Sequence[Mark]) -> tuple[str, Sequence[Mark]]:
    """The same with plain letters for what JSON has escaped, and the marks where they are then."""
    pieces, places, at, length = [], {}, 0, 0
    for place in sorted({each for mark in marks for each in mark[:2]} | {len(text)}):
        pieces.append(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text[at:place]))
        length += len(pieces[-1])
        places[place], at = length, place
    return "".join(pieces), [(places[begin], places[end], field) for begin, end, field in marks]


def _crossed_out(text: str, marks: Sequence[Mark]) -> str:
    """Of the same length; what is known to be a value reads like a plain word, whatever signs it holds."""
    for begin, end, _ in marks:
        text = f"{text[:begin]}{'x' * (end - begin)}{text[end:]}"
    return text


class Pseudonyms:
    """The placeholders of one run: the same value has the same one throughout, so that a model can tell two people apart.

    A placeholder is ``[EMAIL_1]``: the kind and a number, none that any text had of itself. ``counts`` says how many values of each
    kind there are. In the value of a named field capitals and the width of spaces make no other value."""

    __slots__ = ("_finder", "_hidden", "_spellings", "_taken", "_values", "counts", "known", "left")

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._hidden: dict[str, str] = {}  # value -> placeholder
        self._spellings: dict[str, str] = {}  # value of a field, folded -> placeholder
        self._values: dict[str, tuple[str, str]] = {}  # placeholder -> kind and value
        self._taken: set[str] = set()  # of texts that held one of themselves
        self.counts: dict[str, int] = {}
        self.known = KnownValues()
        self.left: dict[str, None] = {}

    def learn(self, value: Any, origins: Mapping[str, str] = NO_ORIGINS) -> None:
        """A plain value that a function gave: what stands in it under a named field is hidden in every text. ``origins``: further
        names in it, each with the field that it holds."""
        if self._finder.fields:
            for field, each in named_values(value, self._finder.fields, origins):
                self.known.learn(each, field)

    def learn_marked(self, text: str, marks: Sequence[Mark]) -> None:
        """A text of which it is known where values of named fields stand: a tool's, or one of an earlier turn."""
        for begin, end, field in marks:
            self.known.learn(text[begin:end], field)
        self.known.learn_repeats(text, marks)

    def standing(self, text: str) -> tuple[Mark, ...]:
        """Where values of named fields stand that were learned so far: kept with a text that others may send later."""
        return standing_in(text, self.known)

    def as_json(self) -> dict[str, Any]:
        """A plain form, for a run that waits."""
        hidden = [[kind, placeholder, value] for placeholder, (kind, value) in self._values.items()]
        return {**self.known.as_json(), "hidden": hidden, "taken": sorted(self._taken)}

    def goes_on(self, kept: Mapping[str, Any]) -> None:
        """Hide what ``as_json`` gave, in the same words."""
        self.known.goes_on(kept)
        self._taken.update(map(str, kept.get("taken", ())))
        for kind, placeholder, value in kept.get("hidden", ()):
            self._keep(str(value), str(kind), str(placeholder))

    def hide(self, text: str, marks: Sequence[Mark] = ()) -> str:
        """The text as it may be sent. ``marks`` are where values stand that are known to be those of named fields. Raises
        ``CannotRedact``."""
        if "\\u" in text:
            text, marks = _unescaped(text, marks)
        found = self._finder.spans(_crossed_out(text, marks))
        self._finder.check(marks)
        for start, end, kind in (*found, *marks):
            if kind in self._finder.fields:
                self.known.learn(text[start:end], kind)
        self.known.learn_repeats(text, marks)
        typed = list(self._typed(text))
        more = [*marks, *self.known.found(text), *typed]
        parts, at = [], 0
        for start, end, kind in _merged([*found, *more]) if more else found:
            parts += [text[at:start], self._placeholder(text[start:end], kind)]
            at = end
        return "".join([*parts, text[at:]]) if parts else text

    def _typed(self, text: str) -> Iterator[Span]:
        """What reads like a placeholder of ours and was written by somebody: it would come back as a value that is not meant."""
        for begin, end, ours in written_in(text):
            if ours in self._values:
                yield begin, end, TYPED
            else:
                self._taken.add(ours)

    def hide_json(self, text: str) -> str:
        """JSON as it may be sent: each text of it for itself, as escapes could hide what it says; what is no JSON as a text."""
        try:
            value = json.loads(text)
        except ValueError:
            return self.hide(text)
        hidden = self._in(value, "")
        return text if hidden == value else json.dumps(hidden, ensure_ascii=False)

    def _in(self, value: Any, field: str) -> Any:
        """A value of JSON; ``field`` is the named one that it is in, at whatever depth: then all of it is hidden, keys too."""
        if isinstance(value, str):
            return self._named_value(value, field) if field and value else self.hide(value)
        if value is None or (isinstance(value, bool) and not field):
            return value
        if isinstance(value, (bool, int, float)):
            written = json.dumps(value)
            hidden = self._named_value(written, field) if field else self.hide(written)
            return value if hidden == written else hidden
        if isinstance(value, list):
            return [self._in(each, field) for each in value]
        return {self._in(name, field): self._in(each, field or self._named(name, each)) for name, each in value.items()}

    def _named(self, key: str, value: Any) -> str:
        """The field that is hidden whatever stands in it; empty where the key names none. Raises ``CannotRedact``."""
        name = next((each for each in self._finder.fields if each.casefold() == key.casefold()), "")
        if name in self._finder.refuse and value not in (None, "", [], {}):
            raise CannotRedact(f"it holds the field {name}, which must not leave")
        return name

    def _named_value(self, value: str, field: str) -> str:
        self.known.learn(value, field)
        return self._placeholder(value, field)

    def _placeholder(self, value: str, kind: str) -> str:
        standing = (self._spellings.get(folded(value)) if kind != TYPED else None) or self._hidden.get(value)
        if standing is None:
            label, number = _NO_LETTER.sub("_", kind).upper()[:LONGEST_LABEL], self.counts.get(kind, 0) + 1
            while f"[{label}_{number}]" in self._taken or f"[{label}_{number}]" in self._values:
                number += 1
            standing = f"[{label}_{number}]"
            self._keep(value, kind, standing)
        return standing

    def _keep(self, value: str, kind: str, placeholder: str) -> None:
        """In the answer the value of a field is spelled as it was where its field was named."""
        self._hidden[value] = placeholder
        if kind in self._finder.fields:
            self._spellings[folded(value)] = placeholder
            value = self.known.spelled(value)
        self._values[placeholder] = (kind, value)
        if kind != TYPED:  # it is no value that the cloud did not get
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def restore(self, text: str, *, in_json: bool = False, after: str = "") -> str:
        """An answer with the values in the place of their placeholders; ``in_json``: as a text of JSON holds them; ``after``: what
        came before it, of a text in pieces. ``left`` knows those of which an answer had only the name."""
        if not self._values:
            return text

        def value_of(placeholder: str) -> str:
            value = self._values[placeholder][1]
            return json.dumps(value, ensure_ascii=False)[1:-1] if in_json else value

        restored, left = put_back(text, self._values, value_of, after)
        self.left.update(dict.fromkeys(left))
        return restored


TYPED: Final = "typed"
"""The kind of a placeholder that somebody wrote."""
LONGEST_LABEL: Final = 64
_NO_LETTER: Final = re.compile(r"[^A-Za-z0-9]")
