"""What the kiosk can look up: products, alternatives, quotes. Plain functions over the CSV files; the agents call them.

Each reads the whole request (``wishes.py``). What it cannot answer whole it answers in part and says so, or asks back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from functools import lru_cache
from typing import Any

from products import Row, is_excluded, meant, meant_exactly, numbers_in, products, rows_of
from wishes import Asked, Wish, read

MOST_SHOWN = 6
"""Products that one answer lists for each wish."""


def find_products(text: str) -> dict[str, Any]:
    """Which products a request means, with stock, aisle and price; ``missed`` is what it asks for that the shop has not.

    text: the visitor's words, or a product's name or number.
    """
    asked = read(text)
    found = [(wish, meant(wish.text, asked.excluded)) for wish in asked.wishes]
    rows = [row for _, its in found for row in its[:MOST_SHOWN]]
    vague = any(len({row["kind"] for row in its}) > 2 for _, its in found if not len(numbers_in(text)) > 1)
    if not rows or vague or asked.unread or not all(amount.limits for amount in asked.amounts):
        return {"unsure": True, "products": [], "missed": []}
    fitting = [row for row in rows if asked.limit is None or int(row["price_cents"]) <= asked.limit]
    shown = fitting or [min(rows, key=_price)]
    return {
        "unsure": False,
        "products": [_shown(row) for row in _once(shown)],
        "missed": _missed(found),
        "too_dear": not fitting,
    }


def find_alternatives(text: str) -> dict[str, Any]:
    """What may stand in for each product that a request names: same kind, in stock, cheaper or of another brand if asked.

    text: the visitor's words, or a product's name or number.
    """
    asked = read(text)
    named = [wish.text for wish in asked.wishes]
    found = [_stands_for(words, asked) for words in named]
    proposes = re.search(r"(.*)\b(?:instead of|rather than|in place of)\b", text, re.IGNORECASE)
    if (
        asked.unread or not all(found) or (proposes and meant(proposes[1]))
    ):  # whether this one will do, nobody here knows
        return {"unsure": True, "sets": []}
    cheaper = bool(re.search(r"\b(?:cheaper|less expensive|lower price|cheapest)\b", text, re.IGNORECASE))
    other_brand = bool(re.search(r"\b(?:another|other|different) (?:brands?|makes?)\b", text, re.IGNORECASE))
    sets = [_others(row, asked, cheaper=cheaper, other_brand=other_brand) for row in found if row]
    return {"unsure": False, "sets": sets}


def find_affordable(text: str) -> dict[str, Any]:
    """How many of a product an amount of money buys, with the bulk discount and what is in stock.

    text: the visitor's words, with an amount in euro and a product's name or number.
    """
    asked = read(text)
    rows = [row for wish in asked.wishes for row in meant(wish.text, asked.excluded)]
    kinds = {row["kind"] for row in rows}
    if len(asked.amounts) != 1 or len(kinds) != 1 or asked.unread or any(wish.count for wish in asked.wishes):
        return {"unsure": True, "products": []}
    cents = asked.amounts[0].cents
    counts = [(row, _most_for(row, cents)) for row in rows]
    bought = [_line(row, count) for row, count in counts if count]
    return {"unsure": False, "cents": cents, "products": bought, "kind": rows[0]["kind"]}


def make_quote(text: str, quantity: int = 0) -> dict[str, Any]:
    """A written quote with the bulk discount, for all that is asked for or for nothing.

    text: the visitor's words, or a product's name or number.
    quantity: how many; taken from the words where it is 0.
    """
    asked = read(text)
    wishes = [Wish(text, quantity, 1)] if quantity else list(asked.wishes)
    if quantity == 0 and (asked.amounts or asked.excluded or asked.unread):
        return _no_quote("an amount of money or an exclusion")
    lines = []
    for wish in wishes:
        rows = meant_exactly(wish.text)
        if len(rows) > 1:
            return _no_quote("which", which=[row["name"] for row in rows[:MOST_SHOWN]])
        if not rows:
            return _no_quote("what", product=wish.text if len(wishes) > 1 else "")
        if wish.count < 1 or wish.counts > 1:
            return _no_quote("how many", product=rows[0]["name"])
        lines.append(_line(rows[0], wish.count))
    return _quote(lines)


def _quote(lines: list[dict[str, Any]]) -> dict[str, Any]:
    total = sum(line["total_cents"] for line in lines)
    what = ";".join(f"{line['sku']}:{line['quantity']}:{line['total_cents']}" for line in lines)
    terms = _terms()
    until = dt.datetime.now(tz=dt.UTC).date() + dt.timedelta(days=int(terms["valid_days"]))
    return {
        "unsure": False,
        "number": f"{terms['number_prefix']}{hashlib.sha256(what.encode()).hexdigest()[:6].upper()}",
        "lines": lines,
        "total_cents": total,
        "valid_until": until.isoformat(),
        "in_stock": all(line["in_stock"] for line in lines),
    }


def _no_quote(lacks: str, product: str = "", which: list[str] | None = None) -> dict[str, Any]:
    """Why none is made, and of which of the things that are asked for."""
    return {"unsure": True, "lacks": lacks, "product": product, "which": which or []}


def _line(row: Row, count: int) -> dict[str, Any]:
    percent = _discount(row["category"], count)
    return {
        "sku": row["sku"],
        "product": row["name"],
        "quantity": count,
        "unit": row["unit"],
        "percent": percent,
        "total_cents": _price(row) * count * (100 - percent) // 100,
        "in_stock": int(row["stock"]) >= count,
    }


def _most_for(row: Row, cents: int) -> int:
    """How many pieces that are in stock this buys; a discount may make more of them cheaper than fewer."""
    counts = range(int(row["stock"]), 0, -1)
    return next((count for count in counts if _line(row, count)["total_cents"] <= cents), 0)


def _stands_for(words: str, asked: Asked) -> Row | None:
    """The product that is to be replaced: one that is named, best one that is excluded."""
    found = meant(words)
    if len(found) > 1 and numbers_in(words):
        return None
    return next((row for row in found if is_excluded(row, asked.excluded)), found[0] if found else None)


def _others(row: Row, asked: Asked, *, cheaper: bool, other_brand: bool) -> dict[str, Any]:
    others = [
        other
        for other in products()
        if other["kind"] == row["kind"]
        and other["sku"] != row["sku"]
        and int(other["stock"])
        and not is_excluded(other, asked.excluded)
        and not (cheaper and _price(other) >= _price(row))
        and not (other_brand and other["brand"] == row["brand"])
        and (asked.limit is None or _price(other) <= asked.limit)
    ]
    return {"instead_of": row["name"], "products": [_shown(other) for other in sorted(others, key=_price)[:4]]}


def _missed(found: list[tuple[Wish, list[Row]]]) -> list[str]:
    """What was asked for and is not there: whole wishes, and single product numbers."""
    nothing = [wish.text for wish, rows in found if not rows]
    unknown = [
        number for wish, rows in found if rows for number in numbers_in(wish.text) - {row["sku"] for row in rows}
    ]
    return nothing + sorted(unknown)


def _once(rows: list[Row]) -> list[Row]:
    return list({row["sku"]: row for row in rows}.values())


def _price(row: Row) -> int:
    return int(row["price_cents"])


def _discount(category: str, quantity: int) -> int:
    rows = _tiers()
    own = [row for row in rows if row["category"] == category] or [row for row in rows if row["category"] == "*"]
    return max((int(row["percent"]) for row in own if quantity >= int(row["min_quantity"])), default=0)


def _shown(row: Row) -> dict[str, Any]:
    return {
        "sku": row["sku"],
        "name": row["name"],
        "price_cents": _price(row),
        "unit": row["unit"],
        "stock": int(row["stock"]),
        "aisle": row["aisle"],
    }


@lru_cache(maxsize=1)
def _tiers() -> list[Row]:
    return rows_of("discount_tiers.csv")


@lru_cache(maxsize=1)
def _terms() -> dict[str, str]:
    return {row["key"]: row["value"] for row in rows_of("quote_terms.csv")}
