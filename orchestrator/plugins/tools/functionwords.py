"""Words of questions that say nothing of their subject, in English and Italian."""

from __future__ import annotations

from typing import Final

# fmt: off
_ENGLISH: Final = frozenset({
    "a", "about", "an", "and", "any", "are", "at", "be", "can", "could", "did", "do", "does", "for", "from",
    "have", "how", "i", "if", "in", "is", "it", "long", "many", "me", "more", "much", "my", "need", "of", "on",
    "or", "our", "please", "should", "tell", "that", "the", "there", "this", "to", "until", "want", "was", "we",
    "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
})
_ITALIAN: Final = frozenset({
    "al", "alla", "che", "chi", "ci", "come", "con", "cosa", "cui", "da", "dal", "dalla", "dei", "del", "della",
    "delle", "di", "dove", "e", "gli", "ho", "il", "io", "la", "le", "lo", "ma", "mi", "nel", "nella", "non",
    "o", "per", "piu", "posso", "quale", "quali", "quando", "quanta", "quanto", "se", "si", "sono", "su", "sul",
    "sulla", "un", "una", "uno", "vi", "vorrei",
})
# fmt: on
FUNCTION_WORDS: Final = _ENGLISH | _ITALIAN
