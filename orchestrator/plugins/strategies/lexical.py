"""The strategy ``lexical``: learns from the candidates' examples, names and descriptions; needs no model and no package.

Regularised regression over words and letter groups (:mod:`learned`), with a confidence fitted from the candidates alone
(:mod:`calibration`). It abstains where that confidence is too low, where too few of a request's words are known, and where
two candidates claim the same words. A request in the very words of an example is decided by that example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.calibration import (
    ENOUGH_TRIALS,
    STRICT,
    USUAL,
    Calibration,
    calibrate,
    top_and_margin,
    trials_of,
)
from orchestrator.plugins.strategies.features import Reading, SparseVector, Vocabulary
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.learned import Learned, learn_by_means, learn_by_ridge
from orchestrator.plugins.strategies.ridge import NUMPY_LIMIT, PLAIN_LIMIT, Matrix, solvable
from orchestrator.plugins.strategies.rows import ExactRequests, Row, rows_of, shared_requests, tells_nothing, untried_of
from orchestrator.plugins.strategies.shortlist import MOST, Bounds, bounds_of, likely
from orchestrator.plugins.strategies.sureness import Sureness, sureness
from orchestrator.plugins.strategies.text import LONGEST_TEXT, shortened, words_of
from orchestrator.plugins.strategies.unseen import Unseen
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

NAME: Final = "lexical"
LEAST_KNOWN: Final = 0.3
"""The least share of a request's words, by rarity, that must stand in the examples."""
MOST_WEIGHTS: Final = 300_000
"""Features times candidates up to which a regression is kept: about 30 MB and a third of a millisecond a decision."""
_SHOWN_SCORES: Final = 5
_NEAR_TIE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Lesson:
    """All that was learned from the candidates. ``exact`` knows whose very words a request may be."""

    names: tuple[str, ...]
    vocabulary: Vocabulary
    learned: Learned
    calibration: Calibration
    rows: tuple[tuple[tuple[Row, SparseVector], ...], ...]  # of each candidate
    exact: ExactRequests
    unseen: Unseen
    bounds: Bounds | None  # of the list for a model
    untried: tuple[str, ...]  # candidates without an example


class Lexical(Instant):
    """The fitted strategy. ``calibration`` holds its left-out accuracy and thresholds."""

    def __init__(self, lesson: Lesson, confidence: float | None, notes: tuple[str, ...]) -> None:
        self._lesson = lesson
        self._confidence = confidence
        self.notes = notes
        self.thresholds = (lesson.calibration.told(NAME, confidence, (USUAL, STRICT)),)

    @property
    def calibration(self) -> Calibration:
        """What its confidence was fitted on, and the thresholds that came of it."""
        return self._lesson.calibration

    def at(self, confidence: float | None) -> Lexical:
        """The same that was learned, deciding from another confidence on (``None``: as fitted)."""
        return Lexical(self._lesson, confidence, self.notes)

    def judge(self, question: RouteQuestion) -> Decision:
        return self.judge_for(question, USUAL)

    def judge_for(self, question: RouteQuestion, wanted: float) -> Decision:
        """Decide so that ``wanted`` (``USUAL`` or ``STRICT``) of what it accepts is right."""
        lesson = self._lesson
        words = " ".join(words_of(question.text))
        if not words:
            return Decision(NAME, None, why="the request has no words")
        choice = lesson.exact.owner(words)
        if choice is not None:
            return Decision(NAME, choice, {choice: 1.0}, 1.0, f"these are the words of an example of {choice}")
        reading = lesson.vocabulary.read(question.text)
        return self._weigh(self._ranked(reading), reading, wanted, question)

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision | None:
        return self.judge_unseen_for(question, of, whole=whole, wanted=USUAL)

    def judge_unseen_for(self, question: RouteQuestion, of: str, *, whole: bool, wanted: float) -> Decision | None:
        """The same at ``wanted`` accuracy. ``None`` for a text that was not tried, as where there are very many."""
        lesson, text = self._lesson, question.text
        found = lesson.unseen.scores(text, of, whole=whole)
        if found is None:
            return None
        ranked = sorted(
            ((score, name) for score, name in zip(found, lesson.names, strict=True) if not (whole and name == of)),
            key=lambda pair: (-pair[0], pair[1]),
        )
        if not ranked:
            return Decision(NAME, None, why="there is no other candidate")
        known = lesson.unseen.known(text, of, lesson.vocabulary, whole=whole)
        reading = replace(lesson.vocabulary.read(text), known=known)
        return self._weigh(ranked, reading, wanted, question, hidden=True)

    def shortlist(self, text: str) -> tuple[str, ...]:
        """Whom a strategy should ask a model about, of very many, whatever the confidence here: those that cannot be ruled out, or
        where the words say nothing the nearest of all."""
        reading = self._lesson.vocabulary.read(text)
        ranked = self._ranked(reading)
        return self._likely(ranked, reading) or tuple(name for _, name in ranked[:MOST])

    def _ranked(self, reading: Reading) -> list[tuple[float, str]]:
        lesson = self._lesson
        pairs = zip(lesson.learned.scores(reading.vector), lesson.names, strict=True)
        return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))

    def _likely(self, ranked: list[tuple[float, str]], reading: Reading) -> tuple[str, ...]:
        lesson = self._lesson
        return likely(ranked, lesson.bounds, lesson.untried) if reading.known >= LEAST_KNOWN else ()

    def _weigh(
        self,
        ranked: list[tuple[float, str]],
        reading: Reading,
        wanted: float,
        question: RouteQuestion,
        *,
        hidden: bool = False,
    ) -> Decision:
        score, name = ranked[0]
        raw = self.calibration.probability(*top_and_margin([value for value, _ in ranked[:2]]))
        fitted, refined = self.calibration.thresholds[wanted], question.refined.get((NAME, ""))
        sure = sureness(raw, fitted, self._confidence, refined, strict=wanted == STRICT)
        sure = sure.fitted_on(self.calibration.few)
        scores = {shown: round(value, 4) for value, shown in ranked[:_SHOWN_SCORES]}
        doubt = _doubt(ranked, reading, sure)
        evidence = self._evidence(name, reading, question.text, hidden=hidden) if score > 0 else ""
        if doubt:
            why = "; ".join(filter(None, (doubt, evidence)))
            found = self._likely(ranked, reading)
            return Decision(NAME, None, scores, sure.probability, why, shortlist=found, raw=raw)
        return Decision(NAME, name, scores, sure.probability, f"{sure.told(name)}; {evidence}", raw=raw)

    def _evidence(self, name: str, reading: Reading, text: str, *, hidden: bool) -> str:
        lesson, length = self._lesson, len(text)
        rows = [pair for pair in lesson.rows[lesson.names.index(name)] if not hidden or pair[0].text != text]
        row = _nearest(rows, reading.vector, lesson.vocabulary.word_terms)
        nearest = (
            f'nearest {row.source} of {name}: "{shortened(row.text)}"' if row else f"like {name} in parts of words"
        )
        cut = f"; read the first {LONGEST_TEXT:,} of {length:,} characters" if length > LONGEST_TEXT else ""
        return nearest + cut


class NothingLearned(Instant):
    """Stands in where there is nothing to learn from: always abstains."""

    def __init__(self, why: str) -> None:
        self.notes = (why,)

    def judge(self, question: RouteQuestion) -> Decision:  # noqa: ARG002 - the port gives it
        return Decision(NAME, None, why=self.notes[0])


def fit_lexical(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Lexical | NothingLearned:
    """Learn from the candidates."""
    if tells_nothing(candidates):
        return NothingLearned("nothing to learn from: no candidate has examples, keywords or a description")
    rows = rows_of(candidates)
    names = tuple(sorted({candidate.name for candidate in candidates}))
    vocabulary = Vocabulary([row.text for row in rows])
    vectors = [vocabulary.read(row.text).vector for row in rows]
    classes = [names.index(row.candidate) for row in rows]
    solved = solvable(len(rows)) and len(vocabulary) * len(names) <= MOST_WEIGHTS
    learned = _learn(rows, vectors, names, solved)
    left_out, own = _requests(learned, rows, classes)
    calibration = _calibrate(learned, rows, left_out, own)
    kept = tuple(
        tuple((row, vector) for row, vector in zip(rows, vectors, strict=True) if row.candidate == name)
        for name in names
    )
    claims = shared_requests(candidates)
    notes = (*_notes_on_rows(rows, claims, solved), *_notes_on_calibration(calibration))
    unseen = Unseen(rows, learned.tried, learned.left_out, learned.group_left_out)
    bounds, untried = bounds_of(left_out, own), untried_of(rows)
    lesson = Lesson(names, vocabulary, learned, calibration, kept, ExactRequests(claims), unseen, bounds, untried)
    return Lexical(lesson, options.confidence, notes)


def _learn(rows: Sequence[Row], vectors: Sequence[SparseVector], names: Sequence[str], solved: bool) -> Learned:
    number = {name: index for index, name in enumerate(names)}
    if solved:
        return learn_by_ridge(vectors, [number[row.candidate] for row in rows], len(names))
    skills = {key: index for index, key in enumerate(sorted({(row.candidate, row.skill) for row in rows}))}
    columns = [skills[row.candidate, row.skill] for row in rows]
    return learn_by_means(vectors, columns, tuple(number[candidate] for candidate, _ in skills), len(names))


def _requests(learned: Learned, rows: Sequence[Row], classes: Sequence[int]) -> tuple[Matrix, list[int]]:
    """The scores of examples as if each had not been there, and whose they are."""
    kept = [at for at, index in enumerate(learned.tried) if rows[index].request]
    return [learned.left_out[at] for at in kept], [classes[learned.tried[at]] for at in kept]


def _calibrate(learned: Learned, rows: Sequence[Row], left_out: Matrix, own: Sequence[int]) -> Calibration:
    outside = [learned.group_left_out[at] for at, index in enumerate(learned.tried) if rows[index].request]
    return calibrate(trials_of(left_out, outside, own))


def _nearest(rows: Sequence[tuple[Row, SparseVector]], vector: SparseVector, word_terms: int) -> Row | None:
    """The row that shares the weightiest words with the text; an example before a description of the same weight."""
    words = [(feature, value) for feature, value in vector.items() if feature < word_terms]
    best: Row | None = None
    highest = 0.0
    for row, other in rows:
        score = sum(value * other[feature] for feature, value in words if feature in other)
        if score > highest or (score == highest > 0 and best is not None and row.request and not best.request):
            best, highest = row, score
    return best


def _doubt(ranked: list[tuple[float, str]], reading: Reading, sure: Sureness) -> str:
    """Why not to accept the first of ``ranked``; empty where it may be accepted."""
    score, name = ranked[0]
    if score <= 0:
        return "no candidate shares anything with the request"
    if len(ranked) > 1 and score - ranked[1][0] < _NEAR_TIE:
        return f"{name} and {ranked[1][1]} are equally near"
    if reading.known < LEAST_KNOWN:
        return f"only {reading.known:.0%} of the request is known (needs {LEAST_KNOWN:.0%})"
    return "" if sure.enough else sure.told(name)


def _notes_on_rows(rows: Sequence[Row], claims: dict[str, set[str]], solved: bool) -> list[str]:
    notes = []
    if not solved:
        notes.append(
            f"{len(rows)} texts to learn from: compared with the mean of each skill instead of a regression "
            f"(plain Python solves {PLAIN_LIMIT}, numpy {NUMPY_LIMIT}, for few candidates)"
        )
    for words, claimants in sorted(claims.items()):
        if len(claimants) > 1:
            notes.append(f'"{shortened(words)}" is an example of {" and of ".join(sorted(claimants))}')
    return notes


def _notes_on_calibration(calibration: Calibration) -> list[str]:
    if calibration.few is None:
        return []
    return [f"only {calibration.few} examples to fit the confidence on: mostly assumed, give at least {ENOUGH_TRIALS}"]
