"""The strategy ``complexity``: how hard a request looks, and the agent that claims so much; no model, nothing learned.

A weighted sum of signs in the text, with the weights, steps and limits of the complexity router of LiteLLM 1.108
(``litellm/router_strategy/complexity_router/config.py``; its tiers COMPLEX and REASONING are ``complex`` here). The words are our
own, in English and Italian. What a request says of its own complexity goes before what it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.choices import COMPLEXITIES
from orchestrator.core.request import Decision
from orchestrator.core.words import Phrases, Wording
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

NAME: Final = "complexity"
MODERATE_FROM: Final = 0.15
COMPLEX_FROM: Final = 0.35
SHORT: Final = 60
"""Characters of about 15 tokens: what is shorter speaks for simple."""
LONG: Final = 1_600
"""Characters of about 400 tokens: what is longer speaks for complex."""
MANY_QUESTIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Sign:
    """Words that speak for a complexity: ``some`` of them count ``part``, ``many`` count ``whole``, times ``weight``."""

    what: str
    weight: float
    words: Phrases
    some: int = 1
    part: float = 1.0
    many: int = 1
    whole: float = 1.0

    def score(self, wording: Wording) -> tuple[float, list[str]]:
        """What it adds, and the words that were found."""
        found = self.words.found_in(wording)
        if len(found) < self.some:
            return 0.0, []
        return self.weight * (self.whole if len(found) >= self.many else self.part), found


REASONING: Final = Sign(
    "reasoning",
    0.25,
    Phrases(
        (
            *(
                "step by step",
                "think through",
                "reason about",
                "explain why",
                "pros and cons",
                "trade-off",
                "trade-offs",
            ),
            *("compare", "analyse", "analyze", "analysis", "evaluate", "justify", "prove", "derive", "in detail"),
            *("passo dopo passo", "passo per passo", "ragiona", "spiega perche", "pro e contro", "confronta"),
            *("analizza", "analisi", "valuta", "giustifica", "dimostra", "nel dettaglio"),
        )
    ),
    part=0.7,
    many=2,
)
SIGNS: Final = (
    Sign(
        "code",
        0.30,
        Phrases(
            (
                *("function", "class", "def", "async", "python", "javascript", "typescript", "sql", "regex", "json"),
                *("stack trace", "traceback", "exception", "refactor", "debug", "compile", "```", "select *"),
                *("funzione", "codice sorgente", "eccezione"),
            )
        ),
        part=0.5,
        many=2,
    ),
    REASONING,
    Sign(
        "technical",
        0.25,
        Phrases(
            (
                *("architecture", "distributed", "algorithm", "scalability", "concurrency", "latency", "throughput"),
                *("encryption", "protocol", "kubernetes", "microservices", "migration", "optimisation", "optimization"),
                *("machine learning", "statistics", "regulation", "liability", "compliance", "contract", "forecast"),
                *("architettura", "algoritmo", "scalabilita", "concorrenza", "latenza", "crittografia", "protocollo"),
                *(
                    "migrazione",
                    "ottimizzazione",
                    "normativa",
                    "responsabilita",
                    "conformita",
                    "contratto",
                    "previsione",
                ),
            )
        ),
        some=2,
        part=0.5,
        many=4,
    ),
    Sign(
        "simple words",
        -0.05,
        Phrases(
            (
                *(
                    "what is",
                    "what are",
                    "who is",
                    "where is",
                    "when is",
                    "define",
                    "how many",
                    "how much",
                    "hello",
                    "hi",
                ),
                *(
                    "thanks",
                    "thank you",
                    "che cos'e",
                    "cos'e",
                    "chi e",
                    "dov'e",
                    "quando e",
                    "quanti",
                    "quanto",
                    "ciao",
                ),
                *("grazie", "buongiorno"),
            )
        ),
    ),
)
_STEPS: Final = re.compile(
    r"\b(?:first|prima)\b.{1,200}?\b(?:then|finally|poi|infine)\b|^[ \t]{0,8}\d{1,2}[.)]\s.*^[ \t]{0,8}\d{1,2}[.)]\s",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_LOOKED_AT_FOR_STEPS: Final = 4_000
_STEPS_WEIGHT: Final = 0.03 * 0.5
_QUESTIONS_WEIGHT: Final = 0.02 * 0.5
_LENGTH_WEIGHT: Final = 0.10


@dataclass(frozen=True, slots=True)
class Look:
    """How hard a request looks, the signs of it, and how many words of reasoning are among them."""

    score: float
    signs: tuple[str, ...]
    reasons: int

    @property
    def complexity(self) -> str:
        """``simple``, ``moderate`` or ``complex``. Two words of reasoning make a request complex, as they do at LiteLLM."""
        if self.score >= COMPLEX_FROM or self.reasons > 1:
            return "complex"
        return "moderate" if self.score >= MODERATE_FROM else "simple"


def look_at(text: str) -> Look:
    """Weigh the signs in a request's text."""
    wording, reasons = Wording(text), 0
    total, signs = _of_length(text)
    for sign in SIGNS:
        added, found = sign.score(wording)
        total += added
        if sign is REASONING:
            reasons = len(found)
        if found:
            signs.append(f"{sign.what} ({', '.join(found[:3])})")
    if _STEPS.search(text, 0, _LOOKED_AT_FOR_STEPS):
        total += _STEPS_WEIGHT
        signs.append("several steps")
    if text.count("?") >= MANY_QUESTIONS:
        total += _QUESTIONS_WEIGHT
        signs.append(f"{text.count('?')} questions")
    return Look(total, tuple(signs), reasons)


def _of_length(text: str) -> tuple[float, list[str]]:
    if len(text) < SHORT:
        return -_LENGTH_WEIGHT, ["short"]
    if len(text) > LONG:
        return _LENGTH_WEIGHT, ["long"]
    return 0.0, []


class ByComplexity(Instant):
    """The first route that claims the request's complexity, else the next higher one that is claimed."""

    def __init__(self, claims: Mapping[str, Sequence[str]]) -> None:
        self._claims = claims
        self.notes = () if claims else ("no agent claims a complexity",)

    def judge(self, question: RouteQuestion) -> Decision:
        found, why = _asked(question)
        for level in COMPLEXITIES[COMPLEXITIES.index(found) :]:
            claimants = self._claims.get(level)
            if claimants:
                own = "" if level == found else f", and {level} is the next higher that somebody claims"
                return Decision(NAME, claimants[0], why=f"{why}{own}; {claimants[0]} claims {level}")
        return Decision(NAME, None, why=f"{why}; nobody claims that or more")

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> None:  # noqa: ARG002 - of its kind
        """What it chooses says nothing of an example."""
        return


def _asked(question: RouteQuestion) -> tuple[str, str]:
    if question.complexity in COMPLEXITIES:
        return question.complexity, f"the request says that it is {question.complexity}"
    look = look_at(question.text)
    return look.complexity, f"it looks {look.complexity} ({look.score:+.2f}: {', '.join(look.signs) or 'no sign'})"


def fit_complexity(candidates: tuple[Candidate, ...], options: StrategyOptions) -> ByComplexity:  # noqa: ARG001 - the table's shape
    """Who claims what, in the order of the routes. Nothing is learned."""
    claims: dict[str, list[str]] = {}
    for candidate in candidates:
        for level in candidate.complexity:
            claims.setdefault(level, []).append(candidate.name)
    return ByComplexity(claims)
