"""A request cut into what may be several: at the ends of sentences, at words that add, and at words that say what it is about.

English and Italian; in other languages only the signs between sentences cut. Whether the pieces are several requests is for
others to decide: the words alone cannot tell "bread and butter" from "return it and when do you open".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_TEXT: Final = 2_000
"""Characters of a request that may be several; a longer one is a letter about one matter, and is not cut."""
MOST_CLAUSES: Final = 6
"""Pieces of a request; one of more is not cut."""

_ADDS: Final = (
    *("and also", "and then", "and", "also", "plus", "as well as", "besides"),
    *("e anche", "ed anche", "e poi", "e inoltre", "e", "ed", "inoltre", "oltre a"),
)
_ABOUT: Final = (
    *("about", "regarding", "concerning", "because of", "due to", "with regard to"),
    *("riguardo al", "riguardo alla", "riguardo a", "a proposito di", "a causa di", "per via di"),
)
_BACK: Final = re.compile(
    r"\b(?:it|its|this|that|them|they|these|those|questo|questa|quello|quella|esso|essa|ciò)\b",
    re.IGNORECASE,
)


def _any_of(words: tuple[str, ...]) -> str:
    return "|".join(word.replace(" ", "[ ]") for word in sorted(words, key=len, reverse=True))


_CUT: Final = re.compile(
    rf"(?P<end>(?<=[.!?;])[ ]|\n|;[ ]?)(?:(?:{_any_of(_ADDS)})\b[ ]?)?"
    rf"|,?[ ](?:(?P<adds>{_any_of(_ADDS)})|(?P<about>{_any_of(_ABOUT)}))\b,?[ \n]",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of a request. ``leans``: it cannot be understood without the others, as it says what they are about, or points back
    at them ("repair it")."""

    text: str
    leans: bool = False


def clauses_of(text: str) -> tuple[Clause, ...]:
    """The pieces of a request in order; one where it is too long, has too many, or cannot be cut."""
    if len(text) > LONGEST_TEXT:
        return (Clause(text),)
    found: list[Clause] = []
    start, about, whole, text = 0, False, text, _single_spaced(text)
    for cut in (*_CUT.finditer(text), None):
        piece = text[start : cut.start() if cut else len(text)].strip(" \t\r\n,")
        if _WORD.search(piece):
            found.append(Clause(piece, about or (bool(found) and _BACK.search(piece) is not None)))
            about = False
        start = cut.end() if cut else start
        about = about or bool(cut and cut["about"])
    return tuple(found) if 1 < len(found) <= MOST_CLAUSES else (Clause(whole),)


def _single_spaced(text: str) -> str:
    """One space or one line end between words: a pattern that begins with any number of spaces takes far too long on many."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
