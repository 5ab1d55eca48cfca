"""The strategy with an encoder: what it learns, how it leaves out, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.core.errors import DeployError
from orchestrator.plugins.encoders.local import LocalEncoder, open_local
from orchestrator.plugins.strategies import semantic
from orchestrator.plugins.strategies.calibration import STRICT
from orchestrator.plugins.strategies.cascade import Cascade, InstantCascade, fit_cascade
from orchestrator.plugins.strategies.features import Vocabulary
from orchestrator.plugins.strategies.intent import MOST_ASKED
from orchestrator.plugins.strategies.kernel import FOREIGN_SHARE, MEANING_SHARE, KernelRidge, Texts
from orchestrator.plugins.strategies.lexical import fit_lexical
from orchestrator.plugins.strategies.semantic import NothingLearned, Semantic, fit_semantic
from orchestrator.ports.strategy import Candidate, RouteQuestion, Skill, StrategyOptions
from tests.encoders import tiny
from tests.strategies.desks import DESKS, HOSTILE, ORDERS
from tests.strategies.test_intent import Model, reply_of

PAIRS = [(one, other) for one in "alpha beta gamma delta".split() for other in "zeta eta theta iota".split()]
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> LocalEncoder:
    """A tiny one with random weights: texts that share tokens are near."""
    folder = tmp_path_factory.mktemp("encoder")
    return open_local(str(tiny.folder(folder)), folder / "written")


def fitted(encoder: LocalEncoder, *candidates: Candidate, confidence: float | None = None) -> Semantic:
    found = fit_semantic(candidates or DESKS, StrategyOptions(encoder=encoder, confidence=confidence))
    assert isinstance(found, Semantic)
    return found


# ---- the kernel -----------------------------------------------------------------------------------------------------


def texts(rows: Sequence[int]) -> Texts:
    """Random texts of three candidates with two skills each; only some rows of them."""
    chance = np.random.default_rng(3)
    vectors = chance.normal(size=(30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    written = [" ".join(chance.choice(WORDS, 4)) for _ in range(30)]
    vocabulary = Vocabulary(written)
    skills = [row % 6 for row in range(30)]
    return Texts(
        vectors=vectors[list(rows)],
        features=[vocabulary.read(written[row]).vector for row in rows],
        classes=[skills[row] // 2 for row in rows],
        skills=[skills[row] for row in rows],
        owners=[0, 0, 1, 1, 2, 2],
        candidates=3,
    )


@pytest.mark.parametrize("row", [0, 7, 29])
def test_left_out_scores_are_those_of_a_fit_without_the_text(row: int) -> None:
    whole = texts(range(30))
    rest = KernelRidge(_same_features(texts([r for r in range(30) if r != row]), whole), 0.7)
    scores, _ = rest.scores(whole.vectors[row], whole.features[row])
    assert KernelRidge(whole, 0.7).left_out[row] == pytest.approx(scores.tolist(), abs=1e-4)


@pytest.mark.parametrize("candidate", [0, 1, 2])
def test_group_left_out_scores_are_those_of_a_fit_without_the_candidate(candidate: int) -> None:
    whole = texts(range(30))
    kept = [row for row in range(30) if whole.classes[row] != candidate]
    rest = KernelRidge(_same_features(texts(kept), whole), 0.7)
    found = KernelRidge(whole, 0.7).group_left_out
    for row in (row for row in range(30) if whole.classes[row] == candidate):
        scores, _ = rest.scores(whole.vectors[row], whole.features[row])
        wanted = [0.0 if other == candidate else score for other, score in enumerate(scores.tolist())]
        assert found[row] == pytest.approx(wanted, abs=1e-4)


def _same_features(some: Texts, whole: Texts) -> Texts:
    """With a row of no weight that has every feature, so that each one stands somewhere."""
    everything = {feature: 0.0 for vector in whole.features for feature in vector}
    return replace(some, features=[{**everything, **some.features[0]}, *some.features[1:]])


def test_scores_of_the_training_texts_and_their_likeness_are_of_the_kernel() -> None:
    whole = texts(range(30))
    ridge = KernelRidge(whole, 0.7)
    scores, likeness = ridge.scores(whole.vectors[4], whole.features[4])
    assert int(np.argmax(likeness)) == 4 and likeness[4] == pytest.approx(1.0, abs=0.02)
    assert len(scores) == 3 and 0 <= ridge.accuracy() <= 1
    empty, _ = ridge.scores(whole.vectors[4], {})
    assert np.isfinite(empty).all()


# ---- the strategy ---------------------------------------------------------------------------------------------------


def test_the_words_of_an_example_are_decided_by_it_without_the_encoder(encoder: LocalEncoder) -> None:
    decision = fitted(encoder).decide_now(RouteQuestion("WHERE is my order?"))
    assert (decision.choice, decision.confidence) == ("orders", 1.0)
    assert fitted(encoder).decide_now(RouteQuestion(" ?!")).why == "the request has no words"


def test_a_decision_names_its_nearest_text_and_how_sure_it_is(encoder: LocalEncoder) -> None:
    decision = fitted(encoder, confidence=0.3).decide_now(RouteQuestion("where is my parcel order"))
    assert decision.choice == "orders"
    assert 'sure (needs 30%); nearest example of orders: "where is my order"' in decision.why
    assert list(decision.scores.values()) == sorted(decision.scores.values(), reverse=True)
    doubt = fitted(encoder, confidence=1.0).decide_now(RouteQuestion("where is my parcel order"))
    assert doubt.choice is None and doubt.why.startswith("not sure enough: orders")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_decided_or_refused_with_a_reason(name: str, encoder: LocalEncoder) -> None:
    decision = fitted(encoder).decide_now(RouteQuestion(HOSTILE[name]))
    assert decision.why
    assert decision.confidence is None or 0 <= decision.confidence <= 1


def test_left_out_examples_are_never_decided_by_their_own_words(encoder: LocalEncoder) -> None:
    strategy = fitted(encoder)
    for skill in ORDERS.skills:
        for text in skill.examples:
            inside = strategy.judge_unseen(RouteQuestion(text), "orders", whole=False)
            outside = strategy.judge_unseen(RouteQuestion(text), "orders", whole=True)
            assert inside is not None and "these are the words" not in inside.why
            assert outside is not None and outside.choice != "orders" and "orders" not in outside.scores
    assert strategy.judge_unseen(RouteQuestion("no example"), "orders", whole=False) is None
    alone = fitted(encoder, ORDERS).judge_unseen(RouteQuestion("cancel my order"), "orders", whole=True)
    assert alone is not None and alone.why == "there is no other candidate"


def test_where_the_encoder_does_not_know_the_language_words_count_for_more(encoder: LocalEncoder) -> None:
    """Of the pieces of the tiny vocabulary, ``il mio ordine`` are whole words and ``xyzzy`` is cut into letters."""
    known = fitted(encoder, Candidate("a", examples=("where is my order", "il mio ordine")))
    foreign = fitted(encoder, Candidate("a", examples=("xyzzy plugh", "frobnicate order")))
    assert (known._lesson.ridge.share, foreign._lesson.ridge.share) == (MEANING_SHARE, FOREIGN_SHARE)
    assert any("another language?" in note for note in foreign.notes)
    assert not any("another language?" in note for note in known.notes)


def test_very_many_texts_are_thinned_out_evenly_and_that_is_told(
    encoder: LocalEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic, "MOST_ROWS", 20)
    many = tuple(
        Candidate(f"desk-{word}", skills=(Skill(word, examples=tuple(f"{word} {other}" for other in WORDS)),))
        for word in WORDS
    )
    strategy = fitted(encoder, *many)
    assert len(strategy._lesson.rows) == 20
    assert {row.candidate for row in strategy._lesson.rows} == {candidate.name for candidate in many}
    assert "20 are the most" in strategy.notes[0]


@pytest.mark.anyio
async def test_of_many_agents_a_model_is_shown_those_that_the_encoder_puts_first(encoder: LocalEncoder) -> None:
    many = tuple(Candidate(f"desk-{n}", examples=(f"{word} {other}",)) for n, (word, other) in enumerate(PAIRS))
    stages = ("semantic", "intent")
    cascade = fit_cascade(many, StrategyOptions(encoder=encoder, stages=stages, confidence=1.0))
    assert isinstance(cascade, Cascade)
    model = Model(reply_of("none"))
    await cascade.decide(RouteQuestion("alpha or beta or zeta", ask=model))
    offered = model.asked[0].schema["properties"]["agent"]["enum"]
    found = fitted(encoder, *many, confidence=1.0).decide_now(RouteQuestion("alpha or beta or zeta")).shortlist
    assert offered[:-1] == sorted(found)
    assert 0 < len(found) <= MOST_ASKED
    assert offered[-1] == "none"


def test_a_long_request_is_read_at_its_beginning_and_that_is_told(encoder: LocalEncoder) -> None:
    text = "where is my parcel order " * 1_000
    assert fitted(encoder).decide_now(RouteQuestion(text)).why.endswith("read the first 469 of 25,000 characters")
    assert encoder.read_of(text) == 469 and encoder.read_of(text[:469]) == 469
    assert fitted(encoder).decide_now(RouteQuestion(text[:471])).why.endswith("read the first 469 of 471 characters")
    for short in (text[:469], text[:90], "where is my order"):
        assert "characters" not in fitted(encoder).decide_now(RouteQuestion(short)).why


def test_a_choice_by_the_beginning_of_a_long_request_is_noted(encoder: LocalEncoder) -> None:
    decide = fitted(encoder).decide_now
    long, short = decide(RouteQuestion("where is my parcel order " * 1_000)), decide(RouteQuestion("where is my order"))
    assert (long.choice, short.choice, short.notes) == ("orders", "orders", ())
    assert long.notes == ("semantic chose by a part of the request: the first 469 of 25,000 characters",)


def test_a_long_request_whose_end_is_for_another_is_nobodys(encoder: LocalEncoder) -> None:
    """What is asked for may stand behind a greeting that the encoder's window ends in."""
    decide = fitted(encoder, confidence=0.5).decide_now
    one, other = "where is my parcel order " * 20, "the invoice is wrong, refund my money " * 20
    assert (decide(RouteQuestion(one)).choice, decide(RouteQuestion(other)).choice) == ("orders", "billing")
    both = decide(RouteQuestion(one + other))
    assert both.choice is None and "; but its end is for billing: billing, " in both.why
    assert both.notes == ()


def test_it_tells_from_which_confidence_it_decides(encoder: LocalEncoder) -> None:
    assert fitted(encoder, confidence=0.4).thresholds == ("semantic decides from 40% on, as written",)
    cascade = fit_cascade(DESKS, StrategyOptions(encoder=encoder, stages=("rules", "lexical", "semantic")))
    assert [told.split(" ")[0] for told in cascade.thresholds] == ["lexical", "semantic"]


def test_without_an_encoder_or_without_anything_to_learn_from_it_says_so(encoder: LocalEncoder) -> None:
    with pytest.raises(DeployError) as raised:
        fit_semantic(DESKS, StrategyOptions())
    assert "encoder: minilm" in raised.value.cure
    bare = fit_semantic((Candidate("a"), Candidate("b")), StrategyOptions(encoder=encoder))
    assert isinstance(bare, NothingLearned)
    assert bare.decide_now(RouteQuestion("a")).why == bare.notes[0]


def test_in_a_cascade_words_alone_must_be_surer_where_the_encoder_comes_next(encoder: LocalEncoder) -> None:
    stages = ("lexical", "semantic")
    cascade = fit_cascade(DESKS, StrategyOptions(encoder=encoder, stages=stages))
    assert isinstance(cascade, InstantCascade)
    strict = fit_lexical(DESKS, StrategyOptions())
    assert not isinstance(strict, NothingLearned)
    text = "what about the printer"
    said = cascade.decide_now(RouteQuestion(text)).why
    needed = strict.judge_for(RouteQuestion(text), STRICT).why  # type: ignore[union-attr] # it is there, or this test fails
    assert said.startswith(f"lexical: {needed} | semantic: ")
    assert isinstance(fit_cascade(DESKS, StrategyOptions(encoder=encoder, stages=(*stages, "intent"))), Cascade)
