"""What a file of labelled requests is evidence of: a text that stands there twice, or that was learned from, tells nothing new.

A log holds what people ask most many times over. If such a request were on both sides of a split, what is proposed would be
measured on what it was proposed from; and intervals are of requests that are drawn each by itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from orchestrator.app.routing.cases import Case
from orchestrator.plugins.strategies.rows import ExactRequests, shared_requests
from orchestrator.plugins.strategies.text import words_of
from orchestrator.ports.strategy import Candidate


@dataclass(frozen=True, slots=True)
class Evidence:
    """The cases that are evidence, how many were left out as they repeat another or are examples that were learned from, and how
    many texts are labelled in two ways."""

    cases: tuple[Case, ...]
    repeated: int
    learned: int
    disputed: int

    def left_out(self) -> list[str]:
        """What was left out, for people."""
        found = []
        if self.repeated:
            found.append(f"{_told(self.repeated, 'repeats', 'repeat')} the text of another: each text counts once")
        if self.learned:
            found.append(
                f"{_told(self.learned, 'is', 'are')} in the very words of an example and left out: that was learned"
            )
        return [*found, *self._disputes()]

    def cautions(self) -> list[str]:
        """What to know of figures in which all of them count."""
        found = []
        if self.repeated:
            found.append(
                f"{_told(self.repeated, 'repeats', 'repeat')} the text of another: of different requests the intervals are wider"
            )
        if self.learned:
            found.append(
                f"{_told(self.learned, 'is', 'are')} in the very words of an example of the manifest: being right there says "
                "nothing of requests that the router has never seen"
            )
        return [*found, *self._disputes()]

    def _disputes(self) -> list[str]:
        texts = "1 text is" if self.disputed == 1 else f"{self.disputed} texts are"
        return [f"{texts} labelled in two ways: no router is right of both"] if self.disputed else []


def _told(count: int, one: str, several: str) -> str:
    return f"1 case {one}" if count == 1 else f"{count} cases {several}"


def texts_of(cases: Iterable[Case]) -> list[str]:
    """Each text in folded words: what is equal there, a router that learns cannot tell apart."""
    return [" ".join(words_of(case.text)) or case.text for case in cases]


def evidence_of(cases: Sequence[Case], candidates: Iterable[Candidate]) -> Evidence:
    """Each request once, without those in the very words of an example of the candidates."""
    examples = ExactRequests(shared_requests(candidates))
    kept: dict[Hashable, Case] = {}
    labels: dict[str, set[tuple[str, ...]]] = {}
    learned = repeated = 0
    for case, text in zip(cases, texts_of(cases), strict=True):
        key = (text, case.wanted, case.complexity)
        if examples.owner(text) is not None:
            learned += 1
        elif key in kept:
            repeated += 1
        else:
            kept[key] = case
            labels.setdefault(text, set()).add(case.wanted)
    disputed = sum(len(each) > 1 for each in labels.values())
    return Evidence(tuple(kept.values()), repeated, learned, disputed)
