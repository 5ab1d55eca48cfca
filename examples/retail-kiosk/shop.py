"""What the kiosk can look up: products, alternatives, quotes. Plain functions over the CSV files; the agents call them."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import math
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
SKU = re.compile(r"\b[A-Z]{2}-\d{4}\b", re.IGNORECASE)
UNITS = r"(?:v|w|mm|cm|m|l|kg|g|bar|ml|x|steps?|pieces?|volts?|watts?)\b"
QUANTITY = re.compile(rf"(?<![\w.,-])(\d{{1,5}})\s*(?:x\s+)?(?!\s*{UNITS})(?=\s*[a-z])", re.IGNORECASE)
MEASURE = re.compile(rf"(\d+(?:\.\d+)?)\s+({UNITS})", re.IGNORECASE)
SAID = frozenset(
    "a an the of for to in on is are do does did you i me my we our it this that there what which where when "
    "how much many can could would will have has had got get need want looking look find show tell give make "
    "please and or with than but if any some one price cost stock aisle left available buy sell piece pack box "
    "bag pair sheet bucket bottle roll tube unit cheaper cheap similar instead alternative other another brand "
    "option replace quote quotation discount bulk written out else like about still today now be by from at "
    "your they them these those".split()
)
"""Words that every question at the kiosk may hold; the others should speak of a product."""
UNDERSTOOD = 0.5
"""The least share of a question's own words that the shop must know, or it may be about something else."""
NEAR = 0.8
"""How close to the best product's score another one must be to be meant too."""
LEAST = 0.45
"""The share of the best product's own name that a request must touch, counted by how rare its words are."""


def find_products(text: str) -> dict[str, Any]:
    """Which products a request means, with stock, aisle and price.

    text: the visitor's words, or a product's name or number.
    """
    found = _meant(text)
    if not found:
        return {"unsure": True, "products": []}
    kinds = {row["kind"] for row in found}
    return {"unsure": len(kinds) > 2, "products": [_shown(row) for row in found[:6]]}


def find_alternatives(text: str) -> dict[str, Any]:
    """What may stand in for the product that a request names: same kind, in stock, cheaper or of another brand if asked.

    text: the visitor's words, or a product's name or number.
    """
    found = _meant(text)
    if not found:
        return {"unsure": True, "instead_of": "", "products": []}
    asked = found[0]
    others = [
        row for row in _products() if row["kind"] == asked["kind"] and row["sku"] != asked["sku"] and int(row["stock"])
    ]
    words = _fold(text)
    if re.search(r"\b(cheaper|less expensive|lower price|cheapest)\b", words):
        others = [row for row in others if int(row["price_cents"]) < int(asked["price_cents"])]
    others.sort(key=lambda row: int(row["price_cents"]))
    return {"unsure": False, "instead_of": asked["name"], "products": [_shown(row) for row in others[:4]]}


def make_quote(text: str, quantity: int = 0) -> dict[str, Any]:
    """A written quote with the bulk discount.

    text: the visitor's words, or a product's name or number.
    quantity: how many; taken from the words where it is 0.
    """
    count = quantity or _quantity(text)
    found = _meant(text)
    if not found or count < 1:
        return {"unsure": True, "product": found[0]["name"] if found else "", "quantity": count}
    row = found[0]
    percent = _discount(row["category"], count)
    total = int(row["price_cents"]) * count * (100 - percent) // 100
    number = hashlib.sha256(f"{row['sku']}:{count}:{total}".encode()).hexdigest()[:6].upper()
    terms = _terms()
    until = dt.datetime.now(tz=dt.UTC).date() + dt.timedelta(days=int(terms["valid_days"]))
    return {
        "unsure": False,
        "number": f"{terms['number_prefix']}{number}",
        "product": row["name"],
        "quantity": count,
        "unit": row["unit"],
        "percent": percent,
        "total_cents": total,
        "valid_until": until.isoformat(),
        "in_stock": int(row["stock"]) >= count,
    }


def _meant(text: str) -> list[dict[str, str]]:
    """The products that a text means, best first; those nearly as good come along, none where nothing is near enough."""
    numbers = {match.upper() for match in SKU.findall(text)}
    if numbers:
        return [row for row in _products() if row["sku"] in numbers]
    words = set(_words(text))
    scored = sorted(((_score(row, words), row) for row in _products()), key=lambda pair: -pair[0][0])
    (best, share), _ = scored[0]
    if share < LEAST or _understood(words) < UNDERSTOOD:
        return []
    return [row for (score, _), row in scored if score >= NEAR * best]


def _score(row: dict[str, str], words: set[str]) -> tuple[float, float]:
    """How much of a text's words a product explains, and the share of its kind's words that are touched."""
    rare = _rarity()
    name, tags, kind = (set(_words(row[key].replace(";", " "))) for key in ("name", "tags", "kind"))
    score = sum(rare[word] for word in words & name) + 0.5 * sum(rare[word] for word in words & (tags - name))
    wanted = kind - _brands()
    share = sum(rare[word] for word in words & (kind | tags)) / max(1e-9, sum(rare[word] for word in wanted))
    return score, share


def _understood(words: set[str]) -> float:
    own = {word for word in words if word not in SAID and not word[0].isdigit()}
    return sum(word in _rarity() for word in own) / len(own) if own else 1.0


def _words(text: str) -> list[str]:
    joined = MEASURE.sub(r"\1\2", _fold(text))
    return [_singular(word) for word in re.findall(r"[a-z0-9.]+", joined) if len(word) > 1]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _fold(text: str) -> str:
    flat = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in flat if not unicodedata.combining(char))


def _quantity(text: str) -> int:
    match = QUANTITY.search(SKU.sub(" ", text))
    return int(match[1]) if match else 0


def _discount(category: str, quantity: int) -> int:
    rows = _rows("discount_tiers.csv")
    own = [row for row in rows if row["category"] == category] or [row for row in rows if row["category"] == "*"]
    return max((int(row["percent"]) for row in own if quantity >= int(row["min_quantity"])), default=0)


def _shown(row: dict[str, str]) -> dict[str, Any]:
    return {
        "sku": row["sku"],
        "name": row["name"],
        "price_cents": int(row["price_cents"]),
        "unit": row["unit"],
        "stock": int(row["stock"]),
        "aisle": row["aisle"],
    }


@lru_cache(maxsize=1)
def _products() -> list[dict[str, str]]:
    return _rows("products.csv")


@lru_cache(maxsize=1)
def _brands() -> set[str]:
    return {row["brand"].casefold() for row in _products()}


@lru_cache(maxsize=1)
def _rarity() -> dict[str, float]:
    texts = [set(_words(f"{row['name']} {row['kind']} {row['tags'].replace(';', ' ')}")) for row in _products()]
    words = set().union(*texts)
    return {word: math.log((1 + len(texts)) / (1 + sum(word in text for text in texts))) for word in words}


@lru_cache(maxsize=1)
def _terms() -> dict[str, str]:
    return {row["key"]: row["value"] for row in _rows("quote_terms.csv")}


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
