"""Texts of others, made to fit into a line."""

from __future__ import annotations


def in_one_line(text: str) -> str:
    """Its words with one space between them."""
    return " ".join(text.split())


def shortened(text: str, longest: int) -> str:
    """At most so many characters; what is cut ends with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
