"""The strategy ``keyword``: the candidate whose keywords stand in the request most often, as whole words."""

from __future__ import annotations

from typing import Final

from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.rows import ExactRequests, shared_requests
from orchestrator.plugins.strategies.text import LONGEST_TEXT, words_of
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

NAME: Final = "keyword"


class Phrases:
    """Words and phrases to look for in a text, whole, whatever their case and accents."""

    def __init__(self, phrases: tuple[str, ...]) -> None:
        self._written = {" ".join(words_of(phrase)): phrase for phrase in reversed(phrases)}
        self._written.pop("", None)
        self._lengths = sorted({phrase.count(" ") + 1 for phrase in self._written})

    def found_in(self, words: list[str]) -> list[str]:
        """The phrases that stand in ``words`` (see ``words_of``), as they were written, each once, in order of length."""
        found: dict[str, None] = {}
        for length in self._lengths:
            for start in range(len(words) - length + 1):
                written = self._written.get(" ".join(words[start : start + length]))
                if written is not None:
                    found[written] = None
        return list(found)


class Keyword(Instant):
    """Each keyword found counts as many points as it has words; equal points abstain. A request in the very words of an
    example is that example's, whatever keywords of others are in it."""

    def __init__(self, claims: dict[str, frozenset[str]], exact: ExactRequests) -> None:
        self._claims = claims
        self._exact = exact
        self._phrases = Phrases(tuple(claims))
        self.notes = () if claims else ("no candidate has keywords",)

    def judge(self, question: RouteQuestion) -> Decision:
        words = words_of(question.text)
        found = self._phrases.found_in(words)
        example = self._exact.owner(" ".join(words)) if found else None
        if example is not None:
            return Decision(NAME, example, why=f"these are the words of an example of {example}")
        return self._most(question, found)

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision:
        return self._most(question, self._phrases.found_in(words_of(question.text)), of if whole else "")

    def _most(self, question: RouteQuestion, found: list[str], left_out: str = "") -> Decision:
        scores: dict[str, float] = {}
        for phrase in found:
            for name in self._claims[phrase] - {left_out}:
                scores[name] = scores.get(name, 0.0) + phrase.count(" ") + 1
        ranked = sorted(scores, key=lambda name: (-scores[name], name))
        scores = {name: scores[name] for name in ranked}
        if not ranked:
            return Decision(NAME, None, why=f"none of the keywords is in the request{_cut(question.text)}")
        if len(ranked) > 1 and scores[ranked[0]] == scores[ranked[1]]:
            return Decision(
                NAME, None, scores, why=f"{ranked[0]} and {ranked[1]} have as many keywords: {_quoted(found)}"
            )
        own = [phrase for phrase in found if ranked[0] in self._claims[phrase]]
        return Decision(NAME, ranked[0], scores, why=f"{_quoted(own)} of {ranked[0]}")


def fit_keyword(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Keyword:  # noqa: ARG001 - the port gives it
    """Collect the keywords; one that several candidates have counts for each."""
    claims: dict[str, set[str]] = {}
    for candidate in candidates:
        for keyword in candidate.keywords:
            folded = " ".join(words_of(keyword))
            if folded:
                claims.setdefault(folded, set()).add(candidate.name)
    exact = ExactRequests(shared_requests(candidates) if claims else {})
    return Keyword({phrase: frozenset(claims[phrase]) for phrase in sorted(claims)}, exact)


def _quoted(phrases: list[str]) -> str:
    return ", ".join(f'"{phrase}"' for phrase in phrases)


def _cut(text: str) -> str:
    return f" (first {LONGEST_TEXT:,} of {len(text):,} characters)" if len(text) > LONGEST_TEXT else ""
