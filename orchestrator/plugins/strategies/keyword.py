"""The strategy ``keyword``: the candidate whose keywords stand in the request most often, as whole words."""

from __future__ import annotations

from typing import Final

from orchestrator.core.conditions import beginning_of
from orchestrator.core.request import Decision
from orchestrator.core.words import LONGEST_TEXT, Phrases, Wording, comparable
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.rows import ExactRequests, shared_requests
from orchestrator.plugins.strategies.text import words_of
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

NAME: Final = "keyword"


class Keyword(Instant):
    """Each keyword found counts as many points as it has words; equal points abstain. A request in the very words of an
    example is that example's, whatever keywords of others are in it, or none at all."""

    def __init__(self, claims: dict[str, frozenset[str]], exact: ExactRequests) -> None:
        self._claims = claims
        self._exact = exact
        self._phrases = Phrases(claims)
        self.notes = () if claims else ("no candidate has keywords",)

    def judge(self, question: RouteQuestion) -> Decision:
        example = self._exact.owner(" ".join(words_of(question.text)))
        if example is not None:
            return Decision(NAME, example, confidence=1.0, why=f"these are the words of an example of {example}")
        choice, scores, why = self._most(self._phrases.found_in(Wording(question.text)))
        unread = _unread(question.text) if self._claims else ""
        if not unread:
            return Decision(NAME, choice, scores, why=why)
        return Decision(NAME, choice, scores, why=f"{why}; {unread}", notes=(unread,))

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision:
        choice, scores, why = self._most(self._phrases.found_in(Wording(question.text)), of if whole else "")
        return Decision(NAME, choice, scores, why=why)

    def _most(self, found: list[str], left_out: str = "") -> tuple[str | None, dict[str, float], str]:
        """Whose keywords were ``found`` most often, everybody's points, and why; ``left_out`` has none."""
        scores: dict[str, float] = {}
        for phrase in found:
            for name in self._claims[phrase] - {left_out}:
                scores[name] = scores.get(name, 0.0) + phrase.count(" ") + 1
        ranked = sorted(scores, key=lambda name: (-scores[name], name))
        scores = {name: scores[name] for name in ranked}
        if not ranked:
            return None, scores, "none of the keywords is in the request"
        if len(ranked) > 1 and scores[ranked[0]] == scores[ranked[1]]:
            return None, scores, f"{ranked[0]} and {ranked[1]} have as many keywords: {_quoted(found)}"
        own = [phrase for phrase in found if ranked[0] in self._claims[phrase]]
        return ranked[0], scores, f"{_quoted(own)} of {ranked[0]}"


def fit_keyword(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Keyword:  # noqa: ARG001 - the port gives it
    """Collect the keywords; one that several candidates have counts for each."""
    claims: dict[str, set[str]] = {}
    for candidate in candidates:
        for keyword in candidate.keywords:
            phrase = comparable(keyword)
            if phrase:
                claims.setdefault(phrase, set()).add(candidate.name)
    exact = ExactRequests(shared_requests(candidates))
    return Keyword({phrase: frozenset(claims[phrase]) for phrase in sorted(claims)}, exact)


def _quoted(phrases: list[str]) -> str:
    return ", ".join(f'"{phrase}"' for phrase in phrases)


def _unread(text: str) -> str:
    return "" if len(text) <= LONGEST_TEXT else f"keywords are looked for in {beginning_of(text, LONGEST_TEXT)}"
