"""A tool of code in two modules."""

from __future__ import annotations

from prices import price_of  # type: ignore[import-not-found]  # found beside this file


def make_quote(text: str) -> dict[str, int]:
    """The price of what a text asks for.

    text: the customer's words.
    """
    return {"total": int(price_of(text))}
