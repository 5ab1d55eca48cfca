"""The strategy ``semantic``: as ``lexical``, with an encoder beside the words, so that other words for the same are near too.

What it learns and how it fits its confidence are the same (:mod:`kernel`, :mod:`calibration`). A request in the very words of
an example is decided by that example. Where the encoder does not know the language, words count for more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import BrokenReply, DeployError, ModelError, NoModel
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
from orchestrator.plugins.strategies.rows import ExactRequests, Row, rows_of, shared_requests, tells_nothing, untried_of
from orchestrator.plugins.strategies.shortlist import Bounds, bounds_of, likely
from orchestrator.plugins.strategies.sureness import Sureness, sureness
from orchestrator.plugins.strategies.text import LONGEST_TEXT, shortened, words_of
from orchestrator.plugins.strategies.unseen import Unseen
from orchestrator.ports.encoder import DistantEncoder, Encoder
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
    bounds: Bounds | None  # of the list for a model
    untried: tuple[str, ...]  # candidates without an example


class Weighing:
    """Judges what is known of a request, whoever made its vector."""

    def __init__(self, lesson: Lesson, confidence: float | None, notes: tuple[str, ...]) -> None:
        self._lesson = lesson
        self._confidence = confidence
        self.notes = notes
        self.thresholds: tuple[str, ...] = (lesson.calibration.told(NAME, confidence, (USUAL,)),)

    @property
    def calibration(self) -> Calibration:
        """What its confidence was fitted on, and the thresholds that came of it."""
        return self._lesson.calibration

    def _plainly(self, text: str) -> Decision | None:
        """Where no vector is needed."""
        words = " ".join(words_of(text))
        if not words:
            return Decision(NAME, None, why="the request has no words")
        choice = self._lesson.exact.owner(words)
        if choice is None:
            return None
        return Decision(NAME, choice, {choice: 1.0}, 1.0, f"these are the words of an example of {choice}")

    def _judged(self, text: str, vector: Sequence[float] | Array, question: RouteQuestion, seen: int) -> Decision:
        """``seen``: how many characters of the text its vector is of, as far as that is known."""
        scores, likeness = self._lesson.ridge.scores(vector, self._lesson.vocabulary.read(text).vector)
        decision, length = self._weigh(self._ranked(scores.tolist()), question, likeness), len(question.text)
        if length <= seen:
            return decision
        return replace(decision, why=f"{decision.why}; read the first {seen:,} of {length:,} characters")

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision | None:
        scores = self._lesson.unseen.scores(question.text, of, whole=whole)
        if scores is None:
            return None
        ranked = self._ranked(scores, of if whole else "")
        return self._weigh(ranked, question) if ranked else Decision(NAME, None, why="there is no other candidate")

    def _ranked(self, scores: Sequence[float], left_out: str = "") -> list[tuple[float, str]]:
        pairs = zip(scores, self._lesson.names, strict=True)
        return sorted((pair for pair in pairs if pair[1] != left_out), key=lambda pair: (-pair[0], pair[1]))

    def _weigh(
        self, ranked: list[tuple[float, str]], question: RouteQuestion, likeness: Array | None = None
    ) -> Decision:
        name = ranked[0][1]
        raw = self.calibration.probability(*top_and_margin([value for value, _ in ranked[:2]]))
        fitted, refined = self.calibration.thresholds[USUAL], question.refined.get((NAME, ""))
        sure = sureness(raw, fitted, self._confidence, refined, strict=False).fitted_on(self.calibration.few)
        scores = {shown: round(value, 4) for value, shown in ranked[:_SHOWN_SCORES]}
        doubt = _doubt(ranked, sure)
        why = f"{doubt or sure.told(name)}{self._nearest(name, likeness)}"
        if doubt:
            found = likely(ranked, self._lesson.bounds, self._lesson.untried)
            return Decision(NAME, None, scores, sure.probability, why, shortlist=found, raw=raw)
        return Decision(NAME, name, scores, sure.probability, why, raw=raw)

    def _nearest(self, name: str, likeness: Array | None) -> str:
        """The text of the candidate that is most like the request."""
        if likeness is None:
            return ""
        rows = self._lesson.rows
        row = max((at for at, row in enumerate(rows) if row.candidate == name), key=lambda at: float(likeness[at]))
        return f'; nearest {rows[row].source} of {name}: "{shortened(rows[row].text)}"'


def _doubt(ranked: list[tuple[float, str]], sure: Sureness) -> str:
    """Why not to accept the first of ``ranked``; empty where it may be accepted."""
    score, name = ranked[0]
    if score <= 0:
        return "no candidate is like the request"
    if len(ranked) > 1 and score - ranked[1][0] < _NEAR_TIE:
        return f"{name} and {ranked[1][1]} are equally near"
    return "" if sure.enough else sure.told(name)


class Semantic(Weighing, Instant):
    """The fitted strategy with an encoder in this process: it never waits."""

    def __init__(self, lesson: Lesson, encoder: Encoder, confidence: float | None, notes: tuple[str, ...]) -> None:
        super().__init__(lesson, confidence, notes)
        self._encoder = encoder

    def at(self, confidence: float | None) -> Semantic:
        """The same that was learned, deciding from another confidence on (``None``: as fitted)."""
        return Semantic(self._lesson, self._encoder, confidence, self.notes)

    def judge(self, question: RouteQuestion) -> Decision:
        text = question.text[:LONGEST_TEXT]
        plain = self._plainly(text)
        if plain is not None:
            return plain
        read = self._encoder.read_of(text)
        found = self._judged(text, self._encoder.encode(text), question, read)
        return found if read == len(text) or found.choice is None else self._beside_its_end(found, text, question, read)

    def _beside_its_end(self, found: Decision, text: str, question: RouteQuestion, read: int) -> Decision:
        """The same with a note that it goes by the first ``read`` characters; nobody where the end is surely for another: what is
        asked for may stand there, behind a greeting or a story."""
        end = text[read:][-read:]
        if words_of(end):
            other = self._judged(end, self._encoder.encode(end), question, len(question.text))
            if other.choice not in (None, found.choice):
                return replace(found, choice=None, why=f"{found.why}; but its end is for {other.choice}: {other.why}")
        part = f"the first {read:,} of {len(question.text):,} characters"
        return replace(found, notes=(*found.notes, f"{NAME} chose by a part of the request: {part}"))


class DistantSemantic(Weighing):
    """The fitted strategy with an encoder behind a server. Where that gives no vector, or one of another model, it abstains."""

    outdated = False

    async def decide(self, question: RouteQuestion) -> Decision:
        """Choose one candidate or abstain."""
        began = perf_counter()
        text = question.text[:LONGEST_TEXT]
        decision = self._plainly(text) or await self._asked(question, text)
        return replace(decision, cost_ms=(perf_counter() - began) * 1000)

    async def _asked(self, question: RouteQuestion, text: str) -> Decision:
        if question.embed is None:
            return Decision(NAME, None, why="the router has no encoder to ask")
        try:
            vector = await question.embed(text)
        except (ModelError, NoModel) as error:
            return Decision(NAME, None, why=f"{type(error).__name__}: {error.message}")
        size = self._lesson.ridge.size
        if len(vector) != size:
            self.outdated = True
            why = f"the encoder gives {len(vector)} numbers and gave {size} when it was learned from: another model?"
            note = f"{why} The router learns again by itself"
            return Decision(NAME, None, why=note, notes=(note,))
        return self._judged(text, unit(vector), question, LONGEST_TEXT)


class NothingLearned(Instant):
    """Stands in where there is nothing to learn from: always abstains."""

    def __init__(self, why: str) -> None:
        self.notes = (why,)

    def judge(self, question: RouteQuestion) -> Decision:  # noqa: ARG002 - the port gives it
        return Decision(NAME, None, why=self.notes[0])


def fit_semantic(
    candidates: tuple[Candidate, ...], options: StrategyOptions
) -> Semantic | DistantSemantic | NothingLearned:
    """Learn from the candidates. Raises ``DeployError`` where the router has no encoder; one whose server gives no vectors leaves
    all open until the router learns again, as it does once its server is there."""
    if options.encoder is None:
        raise DeployError("the strategy semantic needs an encoder", cure="name one on the router: `encoder: minilm`")
    if tells_nothing(candidates):
        return NothingLearned("nothing to learn from: no candidate has examples, keywords or a description")
    rows, left = _fewer(rows_of(candidates))
    try:
        vectors = _vectors(options.encoder, [row.text for row in rows])
    except (ModelError, NoModel) as error:
        return NothingLearned(f"nothing learned: the encoder {options.encoder.name}: {error.message}")
    lesson = _lesson(rows, vectors, options.encoder, ExactRequests(shared_requests(candidates)))
    notes = tuple(_notes(lesson, left, options.encoder.name))
    if isinstance(options.encoder, DistantEncoder):
        return DistantSemantic(lesson, options.confidence, notes)
    return Semantic(lesson, options.encoder, options.confidence, notes)


def _vectors(encoder: Encoder | DistantEncoder, texts: Sequence[str]) -> Array:
    import numpy as np

    if isinstance(encoder, DistantEncoder):
        found = encoder.encode_all(texts)
        if len({len(vector) for vector in found}) != 1 or not len(found[0]):
            raise BrokenReply("the vectors are not all of one length")
        return np.array([unit(vector) for vector in found], np.float32)
    return np.array([encoder.encode(text) for text in texts], np.float32)


def unit(vector: Sequence[float]) -> Array:
    """The same of length 1; zeros stay zeros."""
    import numpy as np

    found = np.asarray(vector, np.float32)
    length = float(np.linalg.norm(found))
    return found / np.float32(length) if length else found


def _lesson(rows: list[Row], vectors: Array, encoder: Encoder | DistantEncoder, exact: ExactRequests) -> Lesson:
    names = tuple(sorted({row.candidate for row in rows}))
    vocabulary = Vocabulary([row.text for row in rows])
    texts = _texts(rows, names, vocabulary, vectors)
    ridge, foreign = _learned(texts, rows, encoder)
    prior = WORDS if foreign else MEANING
    asked = [at for at, row in enumerate(rows) if row.request]
    left_out, own = [ridge.left_out[at] for at in asked], [texts.classes[at] for at in asked]
    trials = trials_of(left_out, [ridge.group_left_out[at] for at in asked], own, prior)
    unseen = Unseen(rows, range(len(rows)), ridge.left_out, ridge.group_left_out)
    calibration, bounds = calibrate(trials, prior), bounds_of(left_out, own)
    return Lesson(
        *(names, tuple(rows), vocabulary, ridge, calibration, exact, unseen), bounds=bounds, untried=untried_of(rows)
    )


def _learned(texts: Texts, rows: Sequence[Row], encoder: Encoder | DistantEncoder) -> tuple[KernelRidge, bool]:
    """The regression, and whether the encoder does not know the language. Of one behind a server it is not known which words it
    knows whole: there left-out examples say whether words are worth more."""
    if not isinstance(encoder, DistantEncoder):
        known = encoder.known_share([row.text for row in rows if row.request])
        foreign = known < KNOWS_THE_LANGUAGE
        return KernelRidge(texts, FOREIGN_SHARE if foreign else MEANING_SHARE), foreign
    meaning, words = KernelRidge(texts, MEANING_SHARE), KernelRidge(texts, FOREIGN_SHARE)
    foreign = words.accuracy() > meaning.accuracy()
    return (words, True) if foreign else (meaning, False)


def _fewer(rows: list[Row]) -> tuple[list[Row], int]:
    """At most ``MOST_ROWS``, evenly, and how many were left out."""
    if len(rows) <= MOST_ROWS:
        return rows, 0
    kept = [rows[at * len(rows) // MOST_ROWS] for at in range(MOST_ROWS)]
    return kept, len(rows) - MOST_ROWS


def _texts(rows: Sequence[Row], names: Sequence[str], vocabulary: Vocabulary, vectors: Array) -> Texts:
    skills = sorted({(row.candidate, row.skill) for row in rows})
    number = {name: at for at, name in enumerate(names)}
    places = {key: at for at, key in enumerate(skills)}
    return Texts(
        vectors=vectors,
        features=[vocabulary.read(row.text).vector for row in rows],
        classes=[number[row.candidate] for row in rows],
        skills=[places[row.candidate, row.skill] for row in rows],
        owners=[number[candidate] for candidate, _ in skills],
        candidates=len(names),
    )


def _notes(lesson: Lesson, left: int, encoder: str) -> list[str]:
    notes = []
    if left:
        notes.append(f"{left} of {left + len(lesson.rows)} texts are not learned from: {MOST_ROWS} are the most")
    if lesson.ridge.share < MEANING_SHARE:
        notes.append(f"{encoder} knows few words of the examples: another language? Words count for more here")
    if lesson.calibration.few is not None:
        few = f"only {lesson.calibration.few} examples to fit the confidence on"
        notes.append(f"{few}: mostly assumed, give at least {ENOUGH_TRIALS}")
    return notes
