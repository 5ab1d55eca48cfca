"""Secrets that stand in clear: found in the raw text (comments too), refused, and never shown again."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.manifest import secret_keys
from orchestrator.manifest.faults import fault, printable
from orchestrator.manifest.source import lines_of

_KNOWN: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("an API key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,}")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    ("a Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}")),
    ("a Slack token", re.compile(r"\bxox[abposr]-[A-Za-z0-9-]{10,}")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,1000}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
)
_IN_ADDRESS: Final = re.compile(r"(?<=://)[^\s/:@]*:(?P<password>[^\s/]+)(?=@)")
"""A password in an address, in a text that is not read as YAML yet; see :func:`_is_password`."""
_BETWEEN_VALUES: Final = re.compile(r"[\"'][,:\]}]")
"""A quote that ends a value of a list or a map: what follows is another value, not the rest of a password."""
_DEFAULT: Final = re.compile(r"\$\{\w*:-([^}$]*)\}")
_STAND_IN: Final = re.compile(r"(?:\$|(?<!\{))\{+[A-Za-z_][\w.]*\}+|<[\w .-]*>|\$[A-Z_][A-Z0-9_]*")
"""What stands for a password that is put in later: ``${NAME}``, ``{name}``, ``{{name}}``, ``<name>``, ``$NAME``."""
_PASSWORD: Final = re.compile(r"(?<=://)[^\s/?#:]*:[^\s/?#]+(?=@)")
"""The same in a finished value: there quotes, braces and dollars are part of the password."""
_HINTS: Final = ("sk-", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "AIza", "xox",
                 "eyJ", "PRIVATE KEY", "://")  # fmt: skip
_FIELD_HINTS: Final = ("key", "secret", "token", "passw", "credential", "auth", *secret_keys.HINTS)
"""What a line must hold to be looked at more closely: finding a plain text is far cheaper than trying a pattern."""
_KEYISH: Final = re.compile(
    r"(?:api[_-]?key|secret|token|passw(?:or)?d|credential|auth)s?(?![A-Za-z])[A-Za-z0-9_-]{0,40}[\"']?[ \t]{0,8}[:=][ \t]{0,8}"
    r"[\"']?(?P<value>[A-Za-z0-9+/=_.~-]{16,500})",
    re.IGNORECASE,
)
_RANDOM_BITS: Final = 3.5
"""Bits of entropy per character from which a long value of a key-ish field is taken for a secret; words lie below."""
_SHORTEST_ELSEWHERE: Final = 8
_LONGEST_LINE: Final = 100_000
"""Characters of a line that are looked at: as many as the longest text of a manifest has."""
_LONGEST_EXCERPT: Final = 500
_STARS: Final = "********"


class ShownLines:
    """Of the texts only the lines that diagnostics show: a huge file is not copied to show one line of it.

    ``texts`` have empty lines in place of all others, so that line numbers stay.
    """

    def __init__(self, sources: Mapping[str, str], places: Iterable[Place]) -> None:
        wanted: dict[str, dict[int, int]] = {}
        for place in places:
            ends = wanted.setdefault(place.file, {})
            ends[place.line] = max(ends.get(place.line, 0), place.column + _LONGEST_EXCERPT)
        self.texts = {name: _only(text, wanted[name]) for name, text in sources.items() if name in wanted}

    def lines(self) -> dict[str, list[str]]:
        """File -> lines, safe to print."""
        return {name: [printable(line) for line in lines_of(text)] for name, text in self.texts.items()}


def _only(text: str, ends: Mapping[int, int]) -> str:
    lines = lines_of(text, max(ends))
    return "\n".join(line[: ends.get(number, 0)] for number, line in enumerate(lines, 1))


InClear = tuple[Place, str, str]
"""What stands under a key of ``secret_keys.NAMES``: where, the key, and the value."""


@dataclass(slots=True)
class Secrets:
    """Where secrets stand and what they are, so that no message and no excerpt shows them."""

    places: list[Place] = field(default_factory=list)
    values: set[str] = field(default_factory=set)

    def found(self, place: Place, value: str) -> None:
        """Remember one."""
        self.places.append(place)
        if len(value) >= _SHORTEST_ELSEWHERE:
            self.values.add(value)

    def hide(self, diagnostic: Diagnostic) -> Diagnostic:
        """The diagnostic without any secret, also where it shows only the beginning of one."""
        if not self.values:
            return diagnostic
        begins = "|".join(re.escape(value[:_SHORTEST_ELSEWHERE]) for value in sorted(self.values))
        pattern = re.compile(f'(?:{begins})[^\\s"]*')
        return replace(
            diagnostic,
            message=pattern.sub(_STARS, diagnostic.message),
            label=pattern.sub(_STARS, diagnostic.label),
            cure=pattern.sub(_STARS, diagnostic.cure),
            subject=pattern.sub(_STARS, diagnostic.subject),
        )

    def lines(self, shown_lines: ShownLines) -> dict[str, list[str]]:
        """The lines for excerpts, with stars in place of every secret."""
        shown = shown_lines.lines()
        for place in self.places:
            lines = shown.get(place.file)
            if lines and place.line <= len(lines):
                lines[place.line - 1] = _starred(lines[place.line - 1], place.column - 1, place.length)
        if self.values:
            for name, lines in shown.items():
                shown[name] = [self._without(line) for line in lines]
        return shown

    def _without(self, line: str) -> str:
        for value in self.values:
            line = line.replace(value, "*" * len(value))
        return line


def _starred(line: str, start: int, length: int) -> str:
    return line[:start] + "*" * min(length, len(line) - start) + line[start + length :]


def scan(sources: Mapping[str, str], secrets: Secrets) -> list[Diagnostic]:
    """Everything in the texts that looks like a secret; it is remembered in ``secrets``."""
    faults: list[Diagnostic] = []
    for name, text in sources.items():
        folded = text.lower()
        known = [hint for hint in _HINTS if hint in text]
        fields = [hint for hint in _FIELD_HINTS if hint in folded]
        if not known and not fields:
            continue
        for number, line in enumerate(lines_of(text), 1):
            if not _is_suspect(line, known, fields):
                continue
            for what, start, value in _in_line(line[:_LONGEST_LINE]):
                place = Place(name, number, start + 1, len(value))
                secrets.found(place, value)
                faults.append(fault("ORC231", f"this looks like {what}", place))
    return faults


def secrets_in(key: str, value: str) -> Iterator[tuple[str, int, int]]:
    """What looks like a secret in a finished value that stands under ``key``: what it is, and its start and end."""
    before = len(key) + 2
    for what, start, found in _in_line(f"{key}: {value}"):
        yield what, start - before, start - before + len(found)
    for match in _PASSWORD.finditer(value):
        yield "a password in an address", *match.span()


def _is_suspect(line: str, known: list[str], fields: list[str]) -> bool:
    if any(hint in line for hint in known):
        return True
    folded = line.lower()
    return any(hint in folded for hint in fields)


def _in_line(line: str) -> Iterator[tuple[str, int, str]]:
    taken = _Spans()
    for what, pattern in _KNOWN:
        for match in pattern.finditer(line):
            taken.add(*match.span())
            yield what, match.start(), match[0]
    for match in _IN_ADDRESS.finditer(line):
        if _is_password(match):
            taken.add(*match.span())
            yield "a password in an address", match.start(), match[0]
    for what, pattern, is_one in _AFTER:
        for match in pattern.finditer(line):
            if is_one(match["value"]) and taken.add(*match.span("value")):
                yield what, match.start("value"), match["value"]


def _is_password(match: re.Match[str]) -> bool:
    """Whether it is one address, and its password more than what stands for one; a default that is written counts."""
    written = _DEFAULT.sub(r"\1", match["password"])
    return not _BETWEEN_VALUES.search(match[0]) and bool(_STAND_IN.sub("", written))


def _is_random(value: str) -> bool:
    if not (any(char.isdigit() for char in value) and any(char.isalpha() for char in value)):
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits >= _RANDOM_BITS


_AFTER: Final = (
    ("a password", secret_keys.AFTER_A_NAME, secret_keys.looks_chosen),
    ("a bearer token", secret_keys.BEARER, secret_keys.looks_chosen),
    ("a secret", _KEYISH, _is_random),
)
"""What a word before it tells: what it is, the pattern, and whether the value is one."""


def all_secrets(
    sources: Mapping[str, str], in_clear: Sequence[InClear], told: Sequence[Diagnostic], secrets: Secrets
) -> list[Diagnostic]:
    """Everything in the texts that is or looks like a secret, remembered in ``secrets``: what stands under a key that only a
    secret has (``in_clear``), and what :func:`scan` finds elsewhere. Nothing of a place where something is told."""
    places = {one.place for one in told}
    taken = _Taken(
        [place for place, _, _ in in_clear] + [one.place for one in told if one.place and one.code == "ORC230"]
    )
    faults: list[Diagnostic] = []
    for place, key, value in in_clear:
        secrets.found(place, value)
        faults.append(fault("ORC231", f'what stands under "{key}" is kept and shown', place))
    faults += [one for one in scan(sources, secrets) if one.place and one.place not in taken]
    return [one for one in faults if one.place not in places]


class _Taken:
    """Places to be looked up."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._lines: dict[tuple[str, int], _Spans] = {}
        for place in places:
            self._lines.setdefault((place.file, place.line), _Spans()).add(place.column, place.column + place.length)

    def __contains__(self, place: Place) -> bool:
        spans = self._lines.get((place.file, place.line))
        return spans is not None and spans.meet(place.column, place.column + place.length)


class _Spans:
    """Spans of one line, none of which meets another, in order: a line may have thousands."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> bool:
        """Whether it met none, and so is one of them."""
        new = not self.meet(start, end)
        if new:
            insort(self._spans, (start, end))
        return new

    def meet(self, start: int, end: int) -> bool:
        """Whether one of them and this one overlap."""
        before = bisect_left(self._spans, (end, 0)) - 1
        return before >= 0 and self._spans[before][1] > start
