"""Texts made comparable, and the phrases that stand in them: one answer for all who ask whether a request says something."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

LONGEST_TEXT: Final = 20_000
"""Characters of a request that written conditions look at: their time stays bounded, whatever is sent."""
_LONGEST_WORD: Final = 100
UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese, Japanese
)
"""Letters of scripts that put no spaces between words: there every letter may begin or end one."""
_WORD: Final = re.compile(rf"[^\W_{UNSPACED}]+")
_PLAIN_WORD: Final = re.compile("[a-z0-9]+")
"""The same for folded ASCII, in half the time."""
_JOINED: Final = re.compile(r"(?<=[^\W_])-(?=[^\W_])")
_VOICED: Final = "\u3099\u309a"
_VOICED_KANA: Final = re.compile(rf"[\u3041-\u30ff][{_VOICED}]")
_SAME: Final = {ord(sign): "'" for sign in "\u2018\u2019\u02bc"} | {ord(sign): "-" for sign in "\u2010\u2011\u2013"}


def fold(text: str) -> str:
    """Lower case without accents, one sign for each that is written in several ways, single spaces. What makes another letter
    of a Japanese one is no accent."""
    if text.isascii():
        return " ".join(text.lower().split())
    flat = _unmarked(_unmarked(text).casefold()).translate(_SAME)
    if "\u3099" in flat or "\u309a" in flat:
        flat = _VOICED_KANA.sub(lambda kana: unicodedata.normalize("NFC", kana[0]), flat)
    return " ".join(flat.split())


def _unmarked(text: str) -> str:
    flat = unicodedata.normalize("NFKD", text)
    return "".join([char for char in flat if not unicodedata.combining(char) or char in _VOICED])


def comparable(text: str) -> str:
    """Folded, with a space for a hyphen between two words: ``e-mail`` is found where somebody writes ``e mail``."""
    folded = fold(text)
    return _JOINED.sub(" ", folded) if "-" in folded else folded


class Wording:
    """The beginning of a request as phrases are looked for in it: comparable, with the place of each of its words."""

    __slots__ = ("text", "words")

    def __init__(self, text: str) -> None:
        self.text = comparable(text if len(text) <= LONGEST_TEXT else text[: _end_of_word(text)])
        word = _PLAIN_WORD if self.text.isascii() else _WORD
        self.words = [(found[0], found.start()) for found in word.finditer(self.text)]


def _end_of_word(text: str) -> int:
    """Where to cut a text that is too long, so that half a word is not taken for a whole one."""
    for end in range(LONGEST_TEXT, LONGEST_TEXT - _LONGEST_WORD, -1):
        if not _WORD.fullmatch(text, end - 1, end + 1):
            return end
    return LONGEST_TEXT


class Phrases:
    """Words and phrases to look for, whatever their case and accents. Where one begins or ends with a letter or digit, none may
    stand beside it in the text; its punctuation must stand there too, and what is beside that does not matter."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._written: dict[str, tuple[int, str]] = {}
        self._by_word: dict[str, list[tuple[str, int, bool]]] = {}
        self._wordless: list[str] = []
        for number, phrase in enumerate(phrases):
            looked_for = comparable(phrase)
            if looked_for and looked_for not in self._written:
                self._written[looked_for] = (number, phrase)
                self._keep(looked_for)

    def _keep(self, phrase: str) -> None:
        words = list(_WORD.finditer(phrase))
        if words:
            open_end = words[-1].end() == len(phrase) and len(words[0][0]) < len(phrase)
            self._by_word.setdefault(words[0][0], []).append((phrase, words[0].start(), open_end))
        else:
            self._wordless.append(phrase)

    def found_in(self, wording: Wording) -> list[str]:
        """Those that stand in it, as they were written, each once, in the order in which they were given."""
        text, found = wording.text, {phrase for phrase in self._wordless if phrase in wording.text}
        for word, start in wording.words:
            for phrase, offset, open_end in self._by_word.get(word, ()):
                begin = start - offset
                if begin < 0 or not text.startswith(phrase, begin):
                    continue
                if not open_end or not _WORD.match(text, begin + len(phrase)):
                    found.add(phrase)
        return [written for _, written in sorted(self._written[phrase] for phrase in found)]
