"""What a request asks for, without the words around it that only greet or are polite.

A rule that writes must not act on its words alone: "do not close it", "why did you close it?" and "you closed it" hold them
too. A request begins with what is to be done; a negation, a question and a report do not.
"""

from __future__ import annotations

import re
from typing import Final

_GREETINGS: Final = (
    *("hi", "hello", "hey", "ok", "okay", "good morning", "good afternoon", "good evening"),
    *("ciao", "salve", "buongiorno", "buonasera"),
)
_POLITE: Final = (
    *("please", "kindly", "also", "now", "just", "let's", "i want to", "i want you to", "i need to", "i need you to"),
    *("i'd like to", "i'd like you to", "i would like to", "i would like you to"),
    *("per favore", "per cortesia", "per piacere", "adesso", "ora", "vorrei", "voglio", "devo"),
)
_ADDRESSED: Final = (
    "can you",
    "could you",
    "would you",
    "will you",
    "can i",
    "could i",
    "puoi",
    "potresti",
    "può",
    "potrebbe",
)
"""What makes a question of a request: its question mark then says nothing."""
_THANKS: Final = ("please", "thanks", "thank you", "now", "per favore", "per cortesia", "grazie", "adesso", "ora")


def _any_of(*words: str) -> str:
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))


_BEFORE: Final = re.compile(
    rf"[\s,.!;:-]*(?:(?P<addressed>{_any_of(*_ADDRESSED)})|{_any_of(*_GREETINGS, *_POLITE)})(?!\w)", re.IGNORECASE
)
_AFTER: Final = re.compile(rf"(?<!\w)(?:{_any_of(*_THANKS)})\Z", re.IGNORECASE)
_MOST_WORDS: Final = 8
_LONGEST_THANKS: Final = 100
"""Characters at the end of a request in which a polite word is looked for."""


def what_is_asked(text: str) -> str:
    """The request without greetings and polite words at both ends, in English and Italian. The question mark of a question
    that is none ("can you … ?") goes too; that of a real one stays."""
    text = text.replace("\u2019", "'")
    start, addressed = 0, False
    for _ in range(_MOST_WORDS):
        found = _BEFORE.match(text, start)
        if found is None:
            break
        start, addressed = found.end(), addressed or found["addressed"] is not None
    idle = " \t\r\n,.!;?" if addressed else " \t\r\n,.!;"
    asked = text[start:].lstrip(" \t\r\n,.!;:-").rstrip(idle)
    for _ in range(_MOST_WORDS):
        thanks = _AFTER.search(asked, max(0, len(asked) - _LONGEST_THANKS))
        if thanks is None:
            break
        asked = asked[: thanks.start()].rstrip(idle)
    return asked
