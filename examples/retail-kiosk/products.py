"""The shop's products, and which of them a text means."""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

DATA = Path(__file__).parent / "data"
SKU = re.compile(r"\b[A-Z]{2}-\d{4}\b", re.IGNORECASE)
UNITS = (
    r"(?:v|w|mm|cm|m|l|kg|g|bar|ml|x|steps?|pieces?|volts?|watts?|(?:milli|centi)?(?:met(?:er|re)|lit(?:er|re))s?"
    r"|kilos?|(?:kilo)?grams?|inch(?:es)?)\b"
)
MEASURE = re.compile(rf"(\d+(?:\.\d+)?)\s+({UNITS})", re.IGNORECASE)
SAID = frozenset(
    "a an the of for to in on is are do does did you i me my we our it this that there what which where when "
    "how much many can could would will have has had got get need want looking look find show tell give make "
    "please and or with than but if any some one price cost stock aisle left available buy sell piece pack box "
    "bag pair sheet bucket bottle roll tube unit cheaper cheap similar instead alternative other another brand "
    "option replace quote quotation discount bulk written out else like about still today now be by from at "
    "your they them these those order take offer save".split()
)
"""Words that every question at the kiosk may hold; the others should speak of a product."""
UNDERSTOOD = 0.5
"""The least share of a question's own words that the shop must know, or it may be about something else."""
NEAR = 0.8
"""How close to the best product's score another one must be to be meant too."""
LEAST = 0.45
"""The share of the best product's own name that a request must touch, counted by how rare its words are."""
Row = dict[str, str]
Groups = Collection[frozenset[str]]
"""What is excluded: products that hold all the words of one of these."""


def meant(text: str, excluded: Groups = ()) -> list[Row]:
    """The products that a text means, best first; those nearly as good come along, none where nothing is near enough."""
    rows = [row for row in products() if not is_excluded(row, excluded)]
    numbers = numbers_in(text)
    if numbers:
        return [row for row in rows if row["sku"] in numbers]
    words = set(words_of(text))
    scored = sorted(((*_score(row, words), row) for row in rows), key=lambda each: (-each[0], -each[1]))
    best, share, _ = scored[0]
    if share < LEAST or _understood(words) < UNDERSTOOD:
        return []
    return [row for score, share, row in scored if score >= NEAR * best and share]


def meant_exactly(text: str) -> list[Row]:
    """The product that a text means; several where it says nothing that one of them has and another has not."""
    found = meant(text)
    if not found or numbers_in(text):
        return found
    words = set(words_of(text))
    told = [words & _words_of_row(row) for row in found]
    return [row for row, its in zip(found, told, strict=True) if its >= told[0]]


def is_excluded(row: Row, excluded: Groups) -> bool:
    """Whether it holds all the words of a group."""
    return any(group <= _words_of_row(row) for group in excluded)


def numbers_in(text: str) -> set[str]:
    """The product numbers that a text names."""
    return {match.upper() for match in SKU.findall(text)}


def own_words(text: str) -> set[str]:
    """The words of a text that not every question holds; measures are none."""
    return {word for word in words_of(text) if word not in SAID and not word[0].isdigit()}


def is_known(word: str) -> bool:
    """Whether any product has the word."""
    return word in _rarity()


def words_of(text: str) -> list[str]:
    """Its words as they are compared: without case, accents and plurals; a measure is one word."""
    joined = MEASURE.sub(r"\1\2", fold(text))
    return [_singular(word) for word in re.findall(r"[a-z0-9.]+", joined) if len(word) > 1]


def fold(text: str) -> str:
    """Without case and accents."""
    flat = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in flat if not unicodedata.combining(char))


@lru_cache(maxsize=1)
def products() -> list[Row]:
    """All of them."""
    return rows_of("products.csv")


def rows_of(name: str) -> list[Row]:
    """A table of the shop."""
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _score(row: Row, words: set[str]) -> tuple[float, float]:
    """How much of a text's words a product explains, and the share of its kind's words that are touched."""
    rare = _rarity()
    name, tags, kind = (set(words_of(row[key].replace(";", " "))) for key in ("name", "tags", "kind"))
    score = sum(rare[word] for word in words & name) + 0.5 * sum(rare[word] for word in words & (tags - name))
    wanted = kind - _brands()
    share = sum(rare[word] for word in words & (kind | tags)) / max(1e-9, sum(rare[word] for word in wanted))
    return score, share


def _words_of_row(row: Row) -> set[str]:
    return set(words_of(f"{row['name']} {row['kind']} {row['tags'].replace(';', ' ')}"))


def _understood(words: set[str]) -> float:
    own = {word for word in words if word not in SAID and not word[0].isdigit()}
    return sum(map(is_known, own)) / len(own) if own else 1.0


def _singular(word: str) -> str:
    if word == "knives":
        return "knife"
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


@lru_cache(maxsize=1)
def _brands() -> set[str]:
    return {row["brand"].casefold() for row in products()}


@lru_cache(maxsize=1)
def _rarity() -> dict[str, float]:
    texts = list(map(_words_of_row, products()))
    words = set().union(*texts)
    return {word: math.log((1 + len(texts)) / (1 + sum(word in text for text in texts))) for word in words}
