"""Which tickets a question in somebody's own words means, in English and Italian.

Every word counts: one of status or priority, how many, or a word that the tickets hold; times and negations are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from orchestrator.core.asking import what_is_asked
from orchestrator.plugins.tools.asked import refuse, words_of
from orchestrator.plugins.tools.functionwords import FUNCTION_WORDS
from orchestrator.plugins.tools.when import COUNTS, any_of

# fmt: off
_STATUS: Final = {
    **dict.fromkeys(("open", "opened", "pending", "unresolved", "unsolved", "active"), "open"),
    **dict.fromkeys(("aperto", "aperti", "aperta", "aperte"), "open"),
    **dict.fromkeys(("closed", "close", "resolved", "solved", "settled", "finished"), "closed"),
    **dict.fromkeys(("chiuso", "chiusi", "chiusa", "chiuse", "risolti"), "closed"),
    **dict.fromkeys(("all", "every", "tutti", "tutte"), "all"),
}
_PRIORITY: Final = {
    **dict.fromkeys(("high", "urgent", "important", "critical", "alta", "urgente", "urgenti", "importanti"), "high"),
    **dict.fromkeys(("normal", "medium", "normale", "normali", "media"), "normal"),
    **dict.fromkeys(("low", "bassa"), "low"),
}
_OF_TICKETS: Final = frozenset({
    "ticket", "tickets", "support", "show", "list", "see", "give", "find", "search", "count", "number", "status",
    "priority", "am",
    "has", "had", "currently", "existing", "right", "now", "still", "left", "waiting", "got", "us", "mine", "were", "been",
    "being", "by", "assigned", "created", "s", "t",
    "mostra", "mostrami", "elenca", "dimmi", "miei", "mie", "segnalazione", "segnalazioni", "priorita", "ha", "abbiamo",
    "i", "gli", "l",
    "stato", "quanti", "quante", "ancora",
})
_WHEN: Final = frozenset({"today", "yesterday", "tomorrow", "tonight", "oggi", "ieri", "domani", "recent", "recently"})
# fmt: on
_NEWEST: Final = re.compile(
    rf"\b(?:last|latest|newest|most recent|ultim[ieo]) (?:(?P<count>\d{{1,3}}|{any_of(COUNTS)}) )?"
    r"(?P<status>open|closed)? ?(?P<what>tickets?)\b"
)


_USUAL: Final = 20
"""Tickets that are shown, where no number is named."""


@dataclass(frozen=True, slots=True)
class TicketQuestion:
    """``status`` is open, closed or all, ``priority`` empty for any; ``words`` are what the tickets must hold."""

    status: str
    priority: str
    words: tuple[str, ...]
    limit: int


def read_ticket_question(text: str) -> TicketQuestion:
    """Raises ``ValueError`` with what is not understood."""
    limit = _USUAL
    text = what_is_asked(text)
    plain = " ".join(words_of(text))
    if (newest := _NEWEST.search(plain)) is not None:
        limit = _count(newest)
        plain = f"{plain[: newest.start()]}{newest['status'] or ''}{plain[newest.end() :]}"
    said = plain.split()
    statuses = {_STATUS[word] for word in said if word in _STATUS}
    if len(statuses) > 1:
        statuses.discard("all")  # "all closed tickets" are the closed ones
    priorities = {_PRIORITY[word] for word in said if word in _PRIORITY}
    left = [word for word in said if word not in _STATUS and word not in _PRIORITY]
    refuse(left, text)
    if not _WHEN.isdisjoint(left):
        raise ValueError("asks for a time; tickets can be asked for by status, priority and words")
    if len(priorities) > 1:
        raise ValueError("names two priorities; ask for one")
    status = statuses.pop() if len(statuses) == 1 else "all" if statuses else "open"
    words = tuple(word for word in left if word not in FUNCTION_WORDS and word not in _OF_TICKETS)
    return TicketQuestion(status, next(iter(priorities), ""), words, min(max(limit, 1), 100))


def _count(newest: re.Match[str]) -> int:
    count = newest["count"]
    if count is None:
        return 1 if newest["what"] == "ticket" else _USUAL
    return int(count) if count.isdigit() else COUNTS[count]
