"""Values of named fields that are hidden wherever else they stand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from orchestrator.core.as_read import other_reading
from orchestrator.core.glued_values import GluedValues
from orchestrator.core.marks import Mark, whole
from orchestrator.core.repeated_values import RepeatedValues
from orchestrator.core.touched_values import TouchedValues
from orchestrator.core.unspaced import UnspacedValues, letters_of
from orchestrator.core.value_parts import leaves_in, names_in, without_case

FEWEST: Final = 5
"""Letters and digits of a value that is looked for everywhere, in capitals or not. A shorter one ("1", "yes", "open") stands in
most texts by accident: to hide it there would take the sense from a text and keep nothing secret."""
FEWEST_OF_A_NAME: Final = 3
"""The same of one that is written with a capital letter, as names and codes are ("Anna", "B12"): it is looked for as it is
written, as a title, and in capitals alone. A letter of a script without capitals counts as one."""
LONGEST: Final = 200
"""Characters of one: a longer one is a text of its own, which nobody says twice."""
_WORD: Final = re.compile(r"[^\W_]+")
_SPACE: Final = re.compile(r"(?:\\?\s)+")
MOST_APART: Final = 8
_APART: Final = rf"(?:%[0-9A-Fa-f]{{2}}|&#?\w{{2,6}};|[\W_]){{1,{MOST_APART}}}"
"""What may stand between the words of one, if not what stands there in it: signs, also as addresses and HTML write them."""


def folded(value: str) -> str:
    """What two spellings of one value have in common: capitals and the width of spaces say nothing."""
    return " ".join(value.casefold().split())


class KnownValues:
    """By the first word of each, so that a text is read once, however many there are. ``count`` grows with each new one."""

    __slots__ = ("_by_word", "_count", "_glued", "_known", "_parts", "_repeated", "_spelled", "_touched", "_unspaced")

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}  # by what is looked for: the value as it was learned, its field
        self._spelled: dict[str, str] = {}
        self._by_word: dict[str, list[tuple[re.Pattern[str], str, str]]] = {}
        self._repeated = RepeatedValues()
        self._glued = GluedValues()
        self._touched = TouchedValues()
        self._unspaced = UnspacedValues()
        self._parts: set[str] = set()
        self._count = 0

    @property
    def count(self) -> int:
        """How many are known."""
        return self._count + self._repeated.count

    def learn(self, value: str, field: str) -> None:
        """What stood under a field; of JSON, YAML and XML, each value in it."""
        self._learn(value, field)
        for each in leaves_in(value):
            self.learn(each, field) if each[:1] in ("{", "[") and len(each) < len(value) else self._learn(each, field)

    def learn_repeats(self, text: str, marks: Sequence[Mark]) -> None:
        """What stands at the marks of a text, where that is too short to be looked for by itself."""
        self._repeated.learn(text, [each for each in marks if not _looked_for(text[each[0] : each[1]])])

    def _learn(self, value: str, field: str) -> None:
        self._learn_as_written(value, field)
        for read in other_reading(value):
            self._learn_as_written(read.text, field)

    def _learn_as_written(self, value: str, field: str) -> None:
        how = _looked_for(value)
        if not how:
            return
        if how == "anywhere":
            key = letters_of(value)
            self._count += key not in self._known
            self._known.setdefault(key, (value, field))
            self._spelled.setdefault(folded(value), value)
            self._unspaced.learn(key, field)
            self._learn_names(value, field)
            return
        words = list(_WORD.finditer(value))
        first, last = words[0].start(), words[-1].end()
        core = value[first:last]
        key = folded(core) if how == "anyhow" else core
        if key not in self._known:
            self._known[key] = (value, field)
            self._spelled.setdefault(folded(value), value)
            before, behind = value[:first].strip(), value[last:].strip()
            forms = (core,) if how == "anyhow" else dict.fromkeys((core, core.title(), core.upper()))
            patterns = [(whole(form, behind, exact=how == "as written"), before, field) for form in forms]
            self._by_word.setdefault(words[0][0].casefold(), []).extend(patterns)
            self._learn_apart(words, field, how)
            self._learn_names(value, field)
            self._count += 1

    def _learn_names(self, value: str, field: str) -> None:
        """The names of a person are found one by one too, as they are written, as titles, and in capitals."""
        for name in names_in(value):
            if name in self._parts:
                continue
            self._parts.add(name)
            if letters := letters_of(name):
                self._unspaced.learn(letters, field)
                continue
            for form in dict.fromkeys((name, name.title(), name.upper())):
                words = _WORD.findall(form)
                pattern = re.compile(rf"{_APART.join(map(re.escape, words))}(?![^\W_])")
                self._by_word.setdefault(words[0].casefold(), []).append((pattern, "", field))

    def _learn_apart(self, found: list[re.Match[str]], field: str, how: str) -> None:
        """The same words glued together, touched by letters, or with other signs between; of two, the other way round too. Digits
        alone have the signs that they were given with: with others they are other numbers."""
        words = [word[0] for word in found]
        self._glued.learn(words, field)
        if how != "anyhow" or len(words) < 2:
            return
        gaps = [each.string[each.end() : after.start()] for each, after in pairwise(found)]
        if sum(map(str.isalpha, "".join(words))) < FEWEST:
            self._touched.learn(words, [_SPACE.sub(r"\\s+", re.escape(gap)) for gap in gaps], field)
            return
        apart = [_APART if len(gap) <= MOST_APART else f"(?:{_APART}|{re.escape(gap)})" for gap in gaps]
        for each, between in ((words, apart), (words[::-1], apart))[: 2 if len(words) == 2 else 1]:
            if not self._touched.learn(each, between, field):
                pattern = re.compile(rf"(?i){_APART.join(map(re.escape, each))}(?![^\W\d_])")
                self._by_word.setdefault(each[0].casefold(), []).append((pattern, "", field))

    def spelled(self, value: str) -> str:
        """A value as it was learned, where it was."""
        return self._spelled.get(folded(value), value)

    def found(self, text: str) -> Iterator[Mark]:
        """Where they stand in a text, and in the text as it is read."""
        yield from self._in(text) if self._known else ()
        yield from self._repeated.found(text)
        for read in other_reading(text) if self.count else ():
            yield from map(read.back, self._in(read.text) if self._known else ())
            yield from map(read.back, self._repeated.found(read.text))

    def _in(self, text: str) -> Iterator[Mark]:
        yield from self._plainly(text)
        yield from self._glued.found(text, self._plainly)

    def _plainly(self, text: str) -> Iterator[Mark]:
        yield from self._as_words(text)
        yield from self._touched.found(text)
        yield from self._unspaced.found(text)

    def _as_words(self, text: str) -> Iterator[Mark]:
        for word in _WORD.finditer(text) if self._by_word else ():
            yield from self._from(text, word.start(), word[0])
            if word[0][0].isdigit():  # glued to a number
                rest = word[0].lstrip("0123456789")
                yield from self._from(text, word.end() - len(rest), rest)

    def _from(self, text: str, at: int, word: str) -> Iterator[Mark]:
        for pattern, before, field in self._by_word.get(word.casefold(), ()):
            match = pattern.match(text, at)
            if match is not None:
                begin = match.start() - len(before)
                yield begin if text.startswith(before, max(0, begin)) else match.start(), match.end(), field

    def as_json(self) -> dict[str, Any]:
        """A plain form, for a run that waits."""
        values = [[field, value] for value, field in self._known.values()]
        return {"values": values, "quotes": self._repeated.as_json()}

    def goes_on(self, kept: Mapping[str, Any]) -> None:
        """Know what ``as_json`` gave."""
        for field, value in kept.get("values", ()):
            self._learn(str(value), str(field))
        for text, begin, end, field in kept.get("quotes", ()):
            self._repeated.add((str(text), int(begin), int(end), str(field)))


def _looked_for(value: str) -> str:
    """How a value is looked for by itself: ``anywhere``, ``anyhow``, ``as written``, or not at all."""
    if len(value) > LONGEST:
        return ""
    if letters_of(value):
        return "anywhere"
    words = _WORD.findall(value)
    size = sum(map(len, words))
    if size >= FEWEST:
        return "anyhow"
    caseless = without_case(value)
    if caseless and words:  # signs of vowels are no letters
        size += sum(unicodedata.category(sign)[0] == "M" for sign in value)
    return "as written" if size >= FEWEST_OF_A_NAME and (caseless or value != value.lower()) else ""
