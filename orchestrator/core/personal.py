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

from orchestrator.core.field_values import CannotRedact, values_of
from orchestrator.core.pattern import SafePattern, compile_safely

KINDS: Final = ("email", "card", "iban", "phone")
LONGEST_REMEMBERED: Final = 4_000
LONGEST_MATCH: Final = 1_000
"""Characters of what a pattern of the operator finds, at most, in a text that is too long to be looked at at once."""

Span = tuple[int, int, str]

_AT: Final = "@\uff20\ufe6b"
"""Also of full width and small, as keyboards and fonts of East Asia have it; so have they a dot, a plus and a hyphen."""
_LOCAL: Final = r"\w.+%\uff0e\uff0b\uff0d-"
_EMAIL: Final = re.compile(
    rf"(?<![{_LOCAL}])[{_LOCAL}]{{1,64}}[{_AT}][\w\uff0d-]{{1,63}}(?:[.\uff0e][\w\uff0d-]{{1,63}}){{0,8}}"
)
_GROUPS: Final = re.compile(r"(?<!\w)\d{2,19}(?:[ -]\d{2,7})*(?!\w)")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])")
MOST_GROUPS: Final = 10
"""Of two digits or more, in a card number of at most 19."""
_IBAN_LENGTHS: Final = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK", "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Characters of an account number by its country, after the registry of ISO 13616."""
_PHONE: Final = re.compile(r"(?<!\w)(?<!\d[.,/:-])(?:\+|\(\+?)?\d(?:[ ()./-]{0,2}\d){5,60}(?!\w)")
_DATE: Final = re.compile(r"(?<!\d)(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4})(?!\d)")
_ESCAPED: Final = re.compile(r"\\u00(2[013-9a-fA-F]|[3-4][0-9a-fA-F]|5[0-9abdABDe-fE-F]|[67][0-9a-eA-E])")
"""A plain letter, digit or sign that JSON may write so, but for the quote and the backslash."""
_FEWEST_DIGITS: Final = 9
"""Of a telephone number that nothing else shows to be one: neither a sign, a leading zero nor a bracket."""
_FEWEST_MARKED: Final = 7


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
        found.sort(key=lambda span: (span[0], -span[1]))
        kept: list[Span] = []
        for span in found:
            if not kept or span[0] >= kept[-1][1]:
                kept.append(span)
            elif span[1] > kept[-1][1]:  # it goes on behind the last: both are taken, as one
                kept[-1] = (kept[-1][0], span[1], kept[-1][2])
        for kind in sorted({kind for _, _, kind in found} & self.refuse):
            raise CannotRedact(f"it holds something of the kind {kind}, which must not leave")
        return kept

    def _known(self, text: str) -> Iterator[Span]:
        for kind in self.kinds:
            yield from _FINDERS[kind](text)

    def _own(self, text: str) -> Iterator[Span]:
        for name, pattern in self.patterns:
            yield from ((start, end, name) for start, end in _matches(name, pattern, text))
        for field in self.fields:
            yield from ((start, end, field) for start, end in values_of(field, text))


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


def _emails(text: str) -> Iterator[Span]:
    if not any(sign in text for sign in _AT):
        return iter(())
    return ((found.start(), found.end(), "email") for found in _EMAIL.finditer(text))


def _cards(text: str) -> Iterator[Span]:
    """Groups of digits that follow one another: any of them may be where the number begins."""
    for found in _GROUPS.finditer(_without_dates(text)):
        groups = [(found.start() + group.start(), group[0]) for group in re.finditer(r"\d+", found[0])]
        for first in range(len(groups)):
            digits = ""
            for start, group in groups[first : first + MOST_GROUPS]:
                digits += group
                if len(digits) > 19:
                    break
                if len(digits) >= 13 and _luhn(digits):
                    yield groups[first][0], start + len(group), "card"


def _ibans(text: str) -> Iterator[Span]:
    """Each beginning for itself, as words may stand before and behind."""
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2].upper(), 0)
        end, read = found.start(), ""
        while len(read) < length and end < len(text):
            if text[end] in " -" and text[end - 1] not in " -":
                end += 1
            elif text[end].isascii() and text[end].isalnum():
                read += text[end]
                end += 1
            else:
                break
        whole = length and len(read) == length and not (end < len(text) and text[end].isalnum())
        if whole and _mod_97(read):
            yield found.start(), end, "iban"


def _phones(text: str) -> Iterator[Span]:
    for found in _PHONE.finditer(_without_dates(text)):
        number, digits = found[0], re.sub(r"\D", "", found[0])
        marked = number[0] in "+(" or digits.startswith("0")
        if len(digits) >= (_FEWEST_MARKED if marked else _FEWEST_DIGITS):
            yield found.start(), found.end(), "phone"


_FINDERS: Final[Mapping[str, Callable[[str], Iterator[Span]]]] = {
    "email": _emails,
    "phone": _phones,
    "card": _cards,
    "iban": _ibans,
}


def _without_dates(text: str) -> str:
    """Of the same length: a number beside a date is not one with it."""
    return _DATE.sub(lambda date: "x" * len(date[0]), text)


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0 and len(set(digits)) > 1


def _mod_97(iban: str) -> bool:
    moved = (iban[4:] + iban[:4]).upper()
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


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


class Pseudonyms:
    """The placeholders of one run: the same value has the same one throughout, so that a model can tell two people apart.

    A placeholder is ``[EMAIL_1]``: the kind and a number, none that any text had of itself. ``counts`` says how many values of each
    kind there are."""

    __slots__ = ("_finder", "_hidden", "_taken", "_values", "counts")

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._hidden: dict[str, str] = {}  # value -> placeholder
        self._values: dict[str, str] = {}  # placeholder -> value
        self._taken: set[str] = set()  # of texts that held one of themselves
        self.counts: dict[str, int] = {}

    def hide(self, text: str) -> str:
        """The text as it may be sent. Raises ``CannotRedact``."""
        if "\\u00" in text:
            text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        self._taken.update(found for found in _PLACEHOLDER.findall(text) if found not in self._values)
        parts, at = [], 0
        for start, end, kind in self._finder.spans(text):
            parts += [text[at:start], self._placeholder(text[start:end], kind)]
            at = end
        return "".join([*parts, text[at:]]) if parts else text

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
            return self._placeholder(value, field) if field and value else self.hide(value)
        if value is None or (isinstance(value, bool) and not field):
            return value
        if isinstance(value, (bool, int, float)):
            written = json.dumps(value)
            hidden = self._placeholder(written, field) if field else self.hide(written)
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

    def _placeholder(self, value: str, kind: str) -> str:
        if value not in self._hidden:
            label, number = re.sub(r"\W", "_", kind).upper(), self.counts.get(kind, 0) + 1
            while f"[{label}_{number}]" in self._taken or f"[{label}_{number}]" in self._values:
                number += 1
            self._hidden[value] = f"[{label}_{number}]"
            self._values[self._hidden[value]] = value
            self.counts[kind] = self.counts.get(kind, 0) + 1
        return self._hidden[value]

    def restore(self, text: str, *, in_json: bool = False) -> str:
        """An answer with the values in the place of their placeholders; ``in_json``: as a text of JSON holds them."""
        if not self._values or "[" not in text:
            return text
        return _PLACEHOLDER.sub(lambda found: self._put_back(found[0], in_json=in_json), text)

    def _put_back(self, placeholder: str, *, in_json: bool) -> str:
        value = self._values.get(placeholder)
        if value is None:
            return placeholder
        return json.dumps(value, ensure_ascii=False)[1:-1] if in_json else value


_PLACEHOLDER: Final = re.compile(r"\[[A-Z0-9_]{1,64}_[0-9]{1,6}\]")
LONGEST_PLACEHOLDER: Final = 73


def may_begin(text: str) -> int:
    """Where a text that comes in pieces ends in what may be the beginning of a placeholder; its length where it does not."""
    at = text.rfind("[", max(0, len(text) - LONGEST_PLACEHOLDER))
    return at if at >= 0 and _BEGINNING.fullmatch(text, at) else len(text)


_BEGINNING: Final = re.compile(r"\[[A-Z0-9_]{0,72}")
