"""The strategy ``semantic``: as ``lexical``, with an encoder beside the words, so that other words for the same are near too.

What it learns and how it fits its confidence are the same (:mod:`kernel`, :mod:`calibration`). A request in the very words of
an example is decided by that example. Where the encoder does not know the language, words count for more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import DeployError
from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.calibration import (
    ENOUGH_TRIALS,
    MEANING,
    USUAL,
    WORDS,
    Calibration,
    calibrate,
    top_and_margin,
    trials_of,
)
from orchestrator.plugins.strategies.features import Vocabulary
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.kernel import FOREIGN_SHARE, MEANING_SHARE, MOST_ROWS, KernelRidge, Texts
from orchestrator.plugins.strategies.rows import ExactRequests, Row, rows_of, shared_requests, tells_nothing
from orchestrator.plugins.strategies.text import LONGEST_TEXT, shortened, words_of
from orchestrator.plugins.strategies.unseen import Unseen
from orchestrator.ports.encoder import Encoder
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

NAME: Final = "semantic"
KNOWS_THE_LANGUAGE: Final = 0.75
"""The share of the manifest's words that an encoder knows whole from which it is taken to know the language: English texts have
0.94 and more in an English encoder, Italian ones 0.44 to 0.56."""
_SHOWN_SCORES: Final = 5
_NEAR_TIE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Lesson:
    """All that was learned from the candidates."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    vocabulary: Vocabulary
    ridge: KernelRidge
    calibration: Calibration
    exact: ExactRequests
    unseen: Unseen


class Semantic(Instant):
    """The fitted strategy."""

    def __init__(self, lesson: Lesson, encoder: Encoder, confidence: float | None, notes: tuple[str, ...]) -> None:
        self._lesson = lesson
        self._encoder = encoder
        self._confidence = confidence
        self.notes = notes

    @property
    def calibration(self) -> Calibration:
        """What its confidence was fitted on, and the thresholds that came of it."""
        return self._lesson.calibration

    def judge(self, question: RouteQuestion) -> Decision:
        lesson = self._lesson
        words = " ".join(words_of(question.text))
        if not words:
            return Decision(NAME, None, why="the request has no words")
        choice = lesson.exact.owner(words)
        if choice is not None:
            return Decision(NAME, choice, {choice: 1.0}, 1.0, f"these are the words of an example of {choice}")
        text = question.text[:LONGEST_TEXT]
        scores, likeness = lesson.ridge.scores(self._encoder.encode(text), lesson.vocabulary.read(text).vector)
        return self._weigh(self._ranked(scores.tolist()), likeness)

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision | None:
        scores = self._lesson.unseen.scores(question.text, of, whole=whole)
        if scores is None:
            return None
        ranked = self._ranked(scores, of if whole else "")
        return self._weigh(ranked) if ranked else Decision(NAME, None, why="there is no other candidate")

    def ranking(self, text: str) -> list[str]:
        """The candidates' names, best first, whatever the confidence."""
        vector = self._encoder.encode(text[:LONGEST_TEXT])
        scores, _ = self._lesson.ridge.scores(vector, self._lesson.vocabulary.read(text).vector)
        return [name for _, name in self._ranked(scores.tolist())]

    def _ranked(self, scores: Sequence[float], left_out: str = "") -> list[tuple[float, str]]:
        pairs = zip(scores, self._lesson.names, strict=True)
        return sorted((pair for pair in pairs if pair[1] != left_out), key=lambda pair: (-pair[0], pair[1]))

    def _weigh(self, ranked: list[tuple[float, str]], likeness: Array | None = None) -> Decision:
        score, name = ranked[0]
        probability = self.calibration.probability(*top_and_margin([value for value, _ in ranked[:2]]))
        needed = self._confidence if self._confidence is not None else self.calibration.thresholds[USUAL]
        scores = {shown: round(value, 4) for value, shown in ranked[:_SHOWN_SCORES]}
        nearest = self._nearest(name, likeness)
        sure = f"{min(probability, 0.99):.0%}"
        if len(ranked) > 1 and score - ranked[1][0] < _NEAR_TIE:
            return Decision(NAME, None, scores, probability, f"{name} and {ranked[1][1]} are equally near{nearest}")
        if probability < needed or score <= 0:
            why = f"not sure enough: {name} {sure} (needs {needed:.0%}){nearest}"
            return Decision(NAME, None, scores, probability, why)
        return Decision(NAME, name, scores, probability, f"{name}, {sure} sure (needs {needed:.0%}){nearest}")

    def _nearest(self, name: str, likeness: Array | None) -> str:
        """The text of the candidate that is most like the request."""
        if likeness is None:
            return ""
        rows = self._lesson.rows
        row = max((at for at, row in enumerate(rows) if row.candidate == name), key=lambda at: float(likeness[at]))
        return f'; nearest {rows[row].source} of {name}: "{shortened(rows[row].text)}"'


class NothingLearned(Instant):
    """Stands in where there is nothing to learn from: always abstains."""

    def __init__(self, why: str) -> None:
        self.notes = (why,)

    def judge(self, question: RouteQuestion) -> Decision:  # noqa: ARG002 - the port gives it
        return Decision(NAME, None, why=self.notes[0])


def fit_semantic(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Semantic | NothingLearned:
    """Learn from the candidates. Raises ``DeployError`` where the router has no encoder."""
    if options.encoder is None:
        raise DeployError("the strategy semantic needs an encoder", cure="name one on the router: `encoder: minilm`")
    if tells_nothing(candidates):
        return NothingLearned("nothing to learn from: no candidate has examples, keywords or a description")
    rows, left = _fewer(rows_of(candidates))
    names = tuple(sorted({candidate.name for candidate in candidates}))
    vocabulary = Vocabulary([row.text for row in rows])
    texts = _texts(rows, names, vocabulary, options.encoder)
    foreign = options.encoder.known_share([row.text for row in rows if row.request]) < KNOWS_THE_LANGUAGE
    ridge = KernelRidge(texts, FOREIGN_SHARE if foreign else MEANING_SHARE)
    prior = WORDS if foreign else MEANING
    asked = [at for at, row in enumerate(rows) if row.request]
    trials = trials_of(
        [ridge.left_out[at] for at in asked],
        [ridge.group_left_out[at] for at in asked],
        [texts.classes[at] for at in asked],
        prior,
    )
    calibration = calibrate(trials, prior)
    exact = ExactRequests(shared_requests(candidates))
    unseen = Unseen(rows, range(len(rows)), ridge.left_out, ridge.group_left_out)
    lesson = Lesson(names, tuple(rows), vocabulary, ridge, calibration, exact, unseen)
    return Semantic(lesson, options.encoder, options.confidence, tuple(_notes(lesson, left, options.encoder)))


def _fewer(rows: list[Row]) -> tuple[list[Row], int]:
    """At most ``MOST_ROWS``, evenly, and how many were left out."""
    if len(rows) <= MOST_ROWS:
        return rows, 0
    kept = [rows[at * len(rows) // MOST_ROWS] for at in range(MOST_ROWS)]
    return kept, len(rows) - MOST_ROWS


def _texts(rows: Sequence[Row], names: Sequence[str], vocabulary: Vocabulary, encoder: Encoder) -> Texts:
    import numpy as np

    skills = sorted({(row.candidate, row.skill) for row in rows})
    number = {name: at for at, name in enumerate(names)}
    places = {key: at for at, key in enumerate(skills)}
    return Texts(
        vectors=np.array([encoder.encode(row.text) for row in rows], np.float32),
        features=[vocabulary.read(row.text).vector for row in rows],
        classes=[number[row.candidate] for row in rows],
        skills=[places[row.candidate, row.skill] for row in rows],
        owners=[number[candidate] for candidate, _ in skills],
        candidates=len(names),
    )


def _notes(lesson: Lesson, left: int, encoder: Encoder) -> list[str]:
    notes = []
    if left:
        notes.append(f"{left} of {left + len(lesson.rows)} texts are not learned from: {MOST_ROWS} are the most")
    if lesson.ridge.share < MEANING_SHARE:
        notes.append(f"{encoder.name} knows few words of the examples: another language? Words count for more here")
    if lesson.calibration.trials < ENOUGH_TRIALS:
        few = f"only {lesson.calibration.trials} examples to fit the confidence on"
        notes.append(f"{few}: mostly assumed, give at least {ENOUGH_TRIALS}")
    return notes
