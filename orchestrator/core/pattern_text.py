r"""A regular expression as it is written: its tokens, and what at its ends does not matter to a search."""

from __future__ import annotations

import re
from typing import Final

_ENDLESS: Final = 1_000_000
_SIGNS: Final = {"*": (0, _ENDLESS), "+": (1, _ENDLESS), "?": (0, 1)}
TOKEN: Final = re.compile(
    r"""(?P<idle>\(\?(?:\#[^)]*|[aiLmsux]+)\))
      | (?P<again>\\[1-9]\d?|\(\?P=\w+\))
      | (?P<escape>\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|N\{[^}]*\}|0[0-7]{0,2}|.)|\[\^?\]?(?:\\.|[^\]\\])*\])
      | (?P<open>\((?:\?(?:P<\w+>|[aiLmsux-]*:|(?P<around><?[=!])|>))?)
      | (?P<close>\))
      | (?P<choice>\|)
      | (?P<repeat>[*+?]|\{(?P<least>\d*)(?P<comma>,)?(?P<most>\d*)\})[?+]?
      | (?P<char>.)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def is_repeat(token: re.Match[str]) -> bool:
    """Whether it repeats what stands before it; ``{}`` stands for itself."""
    return bool(token["repeat"]) and not token["repeat"].startswith("{}")


def bounds_of(token: re.Match[str]) -> tuple[int, int]:
    """How often a repeat repeats, at least and at most."""
    sign = token["repeat"][0]
    if sign in _SIGNS:
        return _SIGNS[sign]
    least = int(token["least"] or 0)
    if token["most"]:
        return least, int(token["most"])
    return least, _ENDLESS if token["comma"] else least


def without_idle_ends(source: str) -> str:
    """Without ``.*`` at its beginning, and with no more of a repeat at its end than must be there: ``refund.+`` finds something
    where ``refund.`` does, at less cost. ``source`` is a pattern that compiles."""
    begun = re.sub(r"^\.\*\??(?![+*?{])", "", source)
    tokens = list(TOKEN.finditer(begun))
    if any(token["again"] for token in tokens) or "(?(" in begun:  # what is taken matters inside
        return begun
    return _shorter_end(tokens)


def _shorter_end(tokens: list[re.Match[str]]) -> str:
    """Backwards: ``free`` says whether nothing but the end follows, ``ends`` the same of the groups that are open."""
    kept: list[str] = []
    ends: list[bool] = []
    free, at = True, len(tokens) - 1
    while at >= 0:
        token = tokens[at]
        if free and is_repeat(token):
            least = bounds_of(token)[0]
            at = _begin_of_piece(tokens, at - 1) - 1 if least == 0 else at - 1
            if least > 1:
                kept.append(f"{{{least}}}")
                free = False
            continue
        if token["close"]:
            ends.append(free)
        elif token["choice"]:
            free = ends[-1] if ends else True
        elif token["open"]:
            ends.pop()
            free = False
        elif not token["idle"]:
            free = False
        kept.append(token[0])
        at -= 1
    return "".join(reversed(kept))


def _begin_of_piece(tokens: list[re.Match[str]], at: int) -> int:
    """Where the piece begins that ends at ``at``: a group, or one token."""
    depth = 0
    while True:
        depth += bool(tokens[at]["close"]) - bool(tokens[at]["open"])
        if depth == 0 and not tokens[at]["idle"]:
            return at
        at -= 1
