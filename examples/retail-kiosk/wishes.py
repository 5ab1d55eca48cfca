"""What a visitor asks for: how many things, how many of each, for how much money, and what not. No products are chosen here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from products import UNITS, fold, is_known, meant, numbers_in, own_words, words_of

COUNT = re.compile(
    rf"(?<![\w.,-])(\d{{1,5}})(?:\s*x\s+(?=\d+\s*{UNITS})|(?![a-z]+\d)\s*(?:x\s+)?(?!\s*{UNITS})(?=\s*[a-z]))"
    rf"|\bx\s?(\d{{1,5}})\b(?!\s*{UNITS})",
    re.IGNORECASE,
)
SAID_COUNTS = ("one two three four five six seven eight nine ten eleven twelve").split()
SAID_COUNT = re.compile(rf"\b({'|'.join(SAID_COUNTS)})\b|\b(a dozen|dozen)\b", re.IGNORECASE)
ONE = re.compile(r"(?:^|\bfor )(an?|one|another)\b", re.IGNORECASE)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d\d)?|\d{1,6}(?:[.,]\d{1,2})?"
_BEFORE, _AFTER = r"(?:€|\beuros?|\beur)", r"(?:€|euros?\b|eur\b)"
MONEY = re.compile(rf"{_BEFORE}\s*({_NUMBER})\b|(?<![\w.,-])({_NUMBER})\s*{_AFTER}", re.IGNORECASE)
OTHER_MONEY = re.compile(r"[$£]\s*\d|\b\d+\s*(?:[$£]|(?:dollars?|pounds?|bucks|quid|cents?|francs?)\b)", re.IGNORECASE)
LIMIT = re.compile(
    r"\b(?:(under|below|less than|cheaper than)|(?:up to|at most|(?:no|not) more than|max(?:imum)?(?: of)?|within))\s+$",
    re.IGNORECASE,
)
JOINED = re.compile(r"\s+(?:and|plus|as well as|along with|together with)\s+|\s*[&+;]\s*", re.IGNORECASE)
EXCLUDES = re.compile(
    r"\b(?:(?:but )?not|but no|no|except(?: for)?|excluding|other than|apart from|(?:anything|all|any) but|without"
    r"|(?:do not|don['\u2019]?t)(?: really)? (?:like|want)|(?:is|are|was|were)n['\u2019]?t)\b"
    r"(?! (?:in stock|available|there|here|on the shelf))",
    re.IGNORECASE,
)
OTHER_BRAND = re.compile(r"\b(?:another|other|different) (?:brands?|makes?)\b[^.?!]*?\bthan\b", re.IGNORECASE)
COMPARES = re.compile(r"\b(?!other|rather|cheaper)\w{3,}er than\b(?! \d+ ?(?:€|euros?\b|eur\b))", re.IGNORECASE)
"""Sizes that are to be more or less than something: the products' measures are not read."""
BETWEEN = frozenset("or nor and the a an by from of made any".split())


@dataclass(frozen=True)
class Wish:
    """One thing that is asked for, in the visitor's words. ``count`` is 0 where no number is said; ``counts`` is how many are."""

    text: str
    count: int = 0
    counts: int = 0


@dataclass(frozen=True)
class Amount:
    """An amount of money in cents, or the most that something may cost where ``limits``."""

    cents: int
    limits: bool = False


@dataclass(frozen=True)
class Asked:
    """A request, read. ``excluded`` are words that a product must not hold all of; ``unread`` says that an exclusion or an
    amount is there which is not understood."""

    wishes: tuple[Wish, ...]
    amounts: tuple[Amount, ...] = ()
    excluded: tuple[frozenset[str], ...] = ()
    unread: bool = False

    @property
    def limit(self) -> int | None:
        """The most that it may cost, in cents."""
        return min((amount.cents for amount in self.amounts if amount.limits), default=None)


def read(text: str) -> Asked:
    """What a text asks for."""
    said, amounts = _without_money(text)
    said, excluded, unread = _without_exclusions(said)
    wishes = tuple(map(_counted, _pieces(said)))
    return Asked(wishes, amounts, excluded, unread or bool(OTHER_MONEY.search(text) or COMPARES.search(said)))


def _without_money(text: str) -> tuple[str, tuple[Amount, ...]]:
    """The rest of the text, and its amounts."""
    found: list[Amount] = []
    kept, at = "", 0
    for match in MONEY.finditer(text):
        before = text[at : match.start()]
        limit = LIMIT.search(before)
        cents = _cents(match[1] or match[2])
        found.append(Amount(cents - 1 if limit and limit[1] else cents, bool(limit)))
        kept += before[: limit.start()] if limit else before
        at = match.end()
    return kept + text[at:], tuple(found)


def _cents(number: str) -> int:
    plain = number.replace(",", "") if re.search(r",\d{3}", number) else number.replace(",", ".")
    return round(float(plain) * 100)


def _without_exclusions(text: str) -> tuple[str, tuple[frozenset[str], ...], bool]:
    """The rest of the text, what is excluded, and whether something is that is not understood."""
    excluded: list[frozenset[str]] = []
    kept, at, unread = "", 0, False
    starts = sorted(
        [match.end() for match in OTHER_BRAND.finditer(text)] + [match.end() for match in EXCLUDES.finditer(text)]
    )
    for start in starts:
        if start < at:
            continue
        groups, end = _excluded_from(text, start)
        unread = unread or not groups
        excluded += groups
        kept += text[at:start]
        at = end
    return EXCLUDES.sub(" ", kept + text[at:]), tuple(excluded), unread


def _excluded_from(text: str, start: int) -> tuple[list[frozenset[str]], int]:
    """Groups of words that products have, from here on, and where they end."""
    groups: list[set[str]] = [set()]
    end = start
    for match in re.compile(r"[ ,]*([\w'.-]+)").finditer(text, start):
        if match.start() != end:
            break
        (word, *_) = words_of(match[1]) or [fold(match[1])]
        if word in ("or", "nor", "and"):
            groups.append(set())
        elif is_known(word):
            groups[-1].add(word)
        elif word not in BETWEEN:
            break
        end = match.end()
    found = [frozenset(group) for group in groups if group]
    return found, end if found else start


def _pieces(text: str) -> list[str]:
    """One for each thing that is asked for. Where a comma stands, only if both sides mean something or are counted."""
    pieces: list[str] = []
    for part in JOINED.split(text):
        if not own_words(part) and not numbers_in(part) and pieces:
            pieces[-1] += f" {part}"
            continue
        first, *others = re.split(r",\s+|\s*:\s+", part)
        pieces.append(first)
        for other in others:
            alone = bool(COUNT.search(other) or numbers_in(other) or meant(other))
            headless = not own_words(pieces[-1]) and not numbers_in(pieces[-1])
            if alone and not headless:
                pieces.append(other)
            else:
                pieces[-1] += f" {other}"
    return pieces


def _counted(piece: str) -> Wish:
    """The piece with the count that it says: in digits, else in a word, else as "a" at its head."""
    counts = [int(match[1] or match[2]) for match in COUNT.finditer(piece)]
    if not counts:
        counts = [_said(match[0].casefold()) for match in SAID_COUNT.finditer(piece)]
    if not counts and ONE.search(piece.strip()):
        counts = [1]
    return Wish(piece.strip(" ,.?!"), counts[0] if counts else 0, len(counts))


def _said(word: str) -> int:
    return 12 if "dozen" in word else SAID_COUNTS.index(word) + 1
