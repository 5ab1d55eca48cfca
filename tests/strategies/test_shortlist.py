"""Whom a model is asked about: the conformal set of the stage before it, else the best three, else all."""

from __future__ import annotations

import json
import random

import pytest

from benchmarks.routing_sets import reworded
from orchestrator.plugins.strategies.calibration import STRICT
from orchestrator.plugins.strategies.cascade import Cascade, fit_cascade
from orchestrator.plugins.strategies.lexical import Lexical, fit_lexical
from orchestrator.plugins.strategies.shortlist import LEVEL, MOST, Bounds, bounds_of, likely
from orchestrator.ports.strategy import Candidate, RouteQuestion, Skill, StrategyOptions
from tests.strategies.test_intent import Model, reply_of
from tests.strategies.test_lexical import SAMPLE

pytestmark = pytest.mark.anyio
TOPICS = ("drill", "paint", "ladder", "lamp", "hose")
WORDS = (
    "broken",
    "price of the",
    "where is the",
    "return my",
    "size of the",
    "colour of the",
    "deliver a",
    "two of the",
)
MORE = ("old", "new", "small", "large", "red", "blue")


def desks(examples: int) -> tuple[Candidate, ...]:
    """Five candidates whose examples share words with each other."""
    texts = [f"{word} {more}" for more in MORE for word in WORDS][:examples]
    return tuple(Candidate(topic, examples=tuple(f"{text} {topic}" for text in texts)) for topic in TOPICS)


async def offered(strategy: Cascade, text: str) -> list[str]:
    model = Model(reply_of("none"))
    await strategy.decide(RouteQuestion(text, ask=model))
    names: list[str] = model.asked[0].schema["properties"]["agent"]["enum"]
    return names


@pytest.mark.parametrize(("count", "place"), [(48, None), (49, 0), (98, 0), (99, 1), (149, 2)])
def test_the_bounds_are_quantiles_of_what_left_out_examples_have(count: int, place: int | None) -> None:
    scores = [[index / 1_000, 1.0] for index in range(count)]
    random.Random(1).shuffle(scores)
    found = bounds_of(scores, [0] * count)
    if place is None:
        assert found is None
    else:
        assert found == Bounds(widest=1.0 - place / 1_000, least=place / 1_000)


def test_the_set_holds_the_right_one_as_often_as_it_says() -> None:
    """On scores of one distribution, whatever it is: 200 to learn from, 4,000 to try, twenty times."""
    shares = []
    for seed in range(20):
        chance = random.Random(seed)
        bounds = bounds_of([_scored(chance) for _ in range(200)], [0] * 200)
        assert bounds is not None
        rows = [_scored(chance) for _ in range(4_000)]
        lists = [likely(_ranked(row), bounds) for row in rows]
        assert any(len(found) < len(rows[0]) for found in lists)
        shares.append(sum("own" in found for found in lists) / len(rows))
    assert sum(shares) / len(shares) >= LEVEL - 0.003
    assert min(shares) > 0.95


def _scored(chance: random.Random) -> list[float]:
    """Of the right candidate, and of seven others."""
    return [chance.betavariate(3, 3), *(chance.betavariate(2, 5) for _ in range(7))]


def _ranked(scores: list[float]) -> list[tuple[float, str]]:
    return sorted(zip(scores, ["own", *"abcdefg"], strict=True), reverse=True)


@pytest.mark.parametrize(
    ("scores", "bounds", "names"),
    [
        ((0.9, 0.8, 0.7, 0.5, 0.1), Bounds(0.5, 0.4), "abcd"),
        ((0.9, 0.5, 0.4, 0.1), Bounds(0.0, 0.4), "abc"),
        ((0.9, 0.1, 0.0, -0.1), Bounds(0.0, 0.4), "ab"),
        ((0.3, 0.2, 0.1, 0.0, -0.1), Bounds(0.0, 0.4), "abcde"),
        ((0.9, 0.5, 0.4, 0.1), None, "abc"),
        ((0.9, 0.0, -0.1), None, "a"),
        ((0.0, 0.0), None, ""),
    ],
    ids=["set", "at-least-three", "that-share-anything", "like-none", "unknown", "unknown-one", "nobody"],
)
def test_the_set_and_at_least_the_best_three_that_share_anything(
    scores: tuple[float, ...], bounds: Bounds | None, names: str
) -> None:
    ranked = list(zip(scores, "abcde", strict=False))
    assert "".join(likely(ranked, bounds)) == names


def test_who_has_no_example_is_ruled_out_by_no_score() -> None:
    bounds = Bounds(0.2, 0.0)
    assert likely([(0.9, "a"), (0.1, "b"), (0.0, "person")], bounds, ("person",)) == ("a", "b", "person")
    assert likely([(0.9, "a"), (0.8, "person")], bounds, ("person",)) == ("a", "person")
    assert likely([(0.0, "a")], None, ("person",)) == ()


def test_never_more_than_a_model_is_shown() -> None:
    assert len(likely([(1.0, f"a{number}") for number in range(50)], Bounds(0.5, 0.5))) == MOST


async def test_the_model_gets_the_set_and_none_of_these() -> None:
    """Sixty examples are enough for a set; the model is asked about it, sorted, and "none"."""
    options = StrategyOptions(stages=("lexical", "intent"), confidence=1.0)
    strategy, lexical = fit_cascade(desks(12), options), fit_lexical(desks(12), options)
    assert isinstance(strategy, Cascade) and isinstance(lexical, Lexical)
    found = lexical.judge(RouteQuestion("old lamp old ladder")).shortlist
    assert found == ("ladder", "lamp")
    assert await offered(strategy, "old lamp old ladder") == ["ladder", "lamp", "none"]


async def test_a_request_that_is_like_no_example_rules_nobody_out() -> None:
    """Its words are known and say nothing of the matter: all score low, and who is a little higher is chance."""
    strategy = fit_cascade(desks(12), StrategyOptions(stages=("lexical", "intent")))
    assert isinstance(strategy, Cascade)
    assert await offered(strategy, "broken old red") == [*sorted(TOPICS), "none"]


async def test_somebody_without_examples_is_always_on_the_list() -> None:
    candidates = (*desks(12), Candidate("person", description="Decides what nobody else may decide."))
    strategy = fit_cascade(candidates, StrategyOptions(stages=("lexical", "intent"), confidence=1.0))
    assert isinstance(strategy, Cascade)
    assert await offered(strategy, "old lamp old ladder") == ["ladder", "lamp", "person", "none"]


async def test_with_few_examples_it_gets_the_best_three() -> None:
    strategy = fit_cascade(desks(4), StrategyOptions(stages=("lexical", "intent")))
    assert isinstance(strategy, Cascade)
    assert len(await offered(strategy, "price of something broken")) == 4


async def test_where_words_say_nothing_it_gets_all() -> None:
    """What is worded like no example is ruled out by nothing."""
    strategy = fit_cascade(desks(12), StrategyOptions(stages=("lexical", "intent")))
    assert isinstance(strategy, Cascade)
    assert await offered(strategy, "qwerty uiop") == [*sorted(TOPICS), "none"]
    alone = fit_cascade(desks(12), StrategyOptions(stages=("rules", "intent")))
    assert isinstance(alone, Cascade)
    assert await offered(alone, "old lamp old ladder") == [*sorted(TOPICS), "none"]


def test_of_real_requests_that_words_leave_open_nearly_all_have_the_right_agent_on_the_list() -> None:
    """On three manifests drawn from CLINC150, of eight agents: far more often than among the best three."""
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    left = listed = best = 0
    for draw in sample["draws"][:3]:
        skills = {e["agent"]: tuple(Skill(n, examples=tuple(t)) for n, t in e["skills"].items()) for e in draw}
        lexical = fit_lexical(tuple(Candidate(name, skills=has) for name, has in skills.items()), StrategyOptions())
        assert isinstance(lexical, Lexical)
        for name, has in skills.items():
            for text in (text for skill in has for text in sample["requests"][skill.name]):
                decision = lexical.judge_for(RouteQuestion(text), STRICT)
                if decision.choice is None:
                    left += 1
                    listed += name in (decision.shortlist or tuple(skills))
                    best += name in list(decision.scores)[:3]
    assert left > 300
    assert listed / left > 0.99
    assert best / left < 0.95


@pytest.mark.parametrize("language", ["en", "it"])
def test_of_reworded_requests_that_words_leave_open_too(language: str) -> None:
    """They are worded unlike the examples, so that the right agent often scores low: the list must not lose it."""
    task = reworded(None, language)
    lexical = fit_lexical(task.candidates, StrategyOptions())
    assert isinstance(lexical, Lexical)
    everybody = tuple(candidate.name for candidate in task.candidates)
    left = [(lexical.judge_for(RouteQuestion(text), STRICT), name) for text, name in task.requests]
    lists = [(decision.shortlist or everybody, name) for decision, name in left if decision.choice is None]
    assert len(lists) > 50
    assert sum(name in found for found, name in lists) / len(lists) > 0.98
