"""The strategy that learns from examples, without a model."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from orchestrator.plugins.strategies import ridge
from orchestrator.plugins.strategies.calibration import STRICT, USUAL
from orchestrator.plugins.strategies.lexical import Lexical, NothingLearned, fit_lexical
from orchestrator.ports.strategy import Candidate, RouteQuestion, Skill, StrategyOptions
from tests.core.yardstick import lines_run_by
from tests.strategies.desks import BILLING, DESKS, ORDERS

OPTIONS = StrategyOptions()
SAMPLE = Path(__file__).parents[2] / "benchmarks" / "data" / "routing" / "clinc150_sample.json"


def learned(*candidates: Candidate, options: StrategyOptions = OPTIONS) -> Lexical:
    strategy = fit_lexical(candidates or DESKS, options)
    assert isinstance(strategy, Lexical)
    return strategy


GOLDEN = """\
Where is MY order?? -> orders: these are the words of an example of orders
where is the parcel now -> orders: orders, 99% sure (needs 60%); nearest example of orders: "where is my order"
the printer does not print -> support: support, 99% sure (needs 60%); nearest example of support: "the printer is broken"
is the bill paid -> nobody: not sure enough: billing 51% (needs 60%); nearest keywords of billing: "billing invoice refund bill"
zebra -> nobody: no candidate shares anything with the request
please explain wolves -> nobody: only 0% of the request is known (needs 30%); like orders in parts of words
 -> nobody: the request has no words
"""


def test_every_decision_says_why() -> None:
    strategy = learned()
    told = ""
    for text in [line.split(" -> ")[0] for line in GOLDEN.splitlines()]:
        decision = strategy.decide_now(RouteQuestion(text))
        told += f"{text} -> {decision.choice or 'nobody'}: {decision.why}\n"
    assert told == GOLDEN


def test_the_words_of_an_example_are_decided_by_it() -> None:
    strategy = learned()
    for candidate in DESKS:
        for skill in candidate.skills:
            for example in skill.examples:
                decision = strategy.decide_now(RouteQuestion(f"  {example.upper()}!"))
                assert (decision.choice, decision.confidence) == (candidate.name, 1.0)


def test_an_example_that_two_claim_decides_nothing_and_is_told() -> None:
    twin = Candidate("returns", examples=("where is my order", "take it back"))
    strategy = learned(ORDERS, twin)
    assert strategy.notes[0] == '"where is my order" is an example of orders and of returns'
    same = learned(Candidate("a", examples=("one two three",)), Candidate("b", examples=("one two three",)))
    decision = same.decide_now(RouteQuestion("one two three"))
    assert (decision.choice, decision.why.split(";")[0]) == (None, "a and b are equally near")


def test_the_order_of_candidates_changes_nothing() -> None:
    forward, backward = learned(*DESKS), learned(*reversed(DESKS))
    for text in ("where is the parcel now", "the bill", "it broke", "refund my order"):
        question = RouteQuestion(text)
        assert replace(forward.decide_now(question), cost_ms=0) == replace(backward.decide_now(question), cost_ms=0)


def test_without_anything_to_learn_from_it_abstains_and_says_so() -> None:
    strategy = fit_lexical((Candidate("a"), Candidate("b")), OPTIONS)
    assert isinstance(strategy, NothingLearned)
    decision = strategy.decide_now(RouteQuestion("a"))
    assert decision.choice is None
    assert decision.why == "nothing to learn from: no candidate has examples, keywords or a description"
    assert strategy.notes == (decision.why,)


def test_descriptions_alone_are_something_to_learn_from() -> None:
    strategy = learned(
        Candidate("orders", description="Tells where an order or a parcel is."),
        Candidate("billing", description="Answers questions about invoices and payments."),
    )
    assert strategy.decide_now(RouteQuestion("where is my parcel")).choice == "orders"
    assert strategy.decide_now(RouteQuestion("hello")).choice is None
    assert strategy.notes == ("only 0 examples to fit the confidence on: mostly assumed, give at least 15",)


def test_one_candidate_still_refuses_what_it_does_not_know() -> None:
    strategy = learned(ORDERS)
    assert strategy.decide_now(RouteQuestion("where is my big order")).choice == "orders"
    assert strategy.decide_now(RouteQuestion("the moon is made of cheese")).choice is None


def test_a_written_confidence_replaces_the_fitted_threshold() -> None:
    strategy = learned(options=StrategyOptions(confidence=0.4))
    decision = strategy.decide_now(RouteQuestion("is the bill paid"))
    assert decision.choice == "billing"
    assert decision.why.startswith("billing, 51% sure (needs 40%)")


SMALL: dict[str, dict[str, tuple[str, ...]]] = {
    "nearly equal": {
        "orders": ("where is order A-1", "where is order A-2", "where is order A-3"),
        "bills": ("where is bill A-1", "where is bill A-2", "where is bill A-3"),
        "users": ("where is user A-1", "where is user A-2", "where is user A-3"),
    },
    "two of each": {
        "lights": ("turn on the light in the kitchen", "turn off the light in the hall"),
        "heating": ("turn on the heating in the kitchen", "turn off the heating in the hall"),
    },
    "one of each": {"hours": ("when do you open",), "returns": ("i want to return this drill",)},
}
ASKED = (
    "where is my bill",
    "where is my mother",
    "where are the users",
    "turn on the radio in the kitchen",
    "open it",
    "return",
)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("wanted", [USUAL, STRICT])
def test_a_small_manifest_decides_nothing_that_is_more_probably_wrong(name: str, wanted: float) -> None:
    """Whatever its examples are: what is said to be needed was needed, and is neither nothing nor what nothing reaches."""
    strategy = learned(*(Candidate(agent, examples=texts) for agent, texts in SMALL[name].items()))
    assert isinstance(strategy, Lexical)
    needed = strategy.calibration.thresholds[wanted]
    assert 0.5 <= needed <= wanted
    for text in ASKED:
        decision = strategy.judge_for(RouteQuestion(text), wanted)
        if decision.confidence is not None and "sure" in decision.why:
            assert (decision.choice is not None) == (decision.confidence >= needed)
            assert f"(needs {needed:.0%})" in decision.why


def test_agents_of_one_matter_keep_what_they_promise() -> None:
    """Each of four skills of one domain as an agent with three examples, on the requests of the project's own sample."""
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    kept = right = asked = 0
    for draw in sample["draws"]:
        for agent in draw[:4]:
            skills = {name: texts for name, texts in agent["skills"].items() if name in sample["requests"]}
            strategy = learned(*(Candidate(name, examples=tuple(texts)) for name, texts in skills.items()))
            for name in skills:
                decided = [strategy.decide_now(RouteQuestion(text)) for text in sample["requests"][name]]
                asked += len(decided)
                kept += sum(each.choice is not None for each in decided)
                right += sum(each.choice == name for each in decided)
                assert all(each.confidence is not None and each.confidence >= 0.5 for each in decided if each.choice)
    assert kept > 0.35 * asked and right >= 0.95 * kept


def test_it_is_stricter_where_a_model_can_be_asked_next() -> None:
    strategy = learned()
    question = RouteQuestion("what about the printer")
    assert strategy.judge_for(question, USUAL).why.startswith("support, 86% sure (needs 60%)")
    assert strategy.judge_for(question, STRICT).why.startswith("not sure enough: support 86% (needs 88%)")


def test_no_more_than_five_scores_are_told_best_first() -> None:
    many = tuple(Candidate(f"desk-{n}", examples=(f"thing number {word}",)) for n, word in enumerate("abcdefgh"))
    decision = learned(*many).decide_now(RouteQuestion("thing b number"))
    assert len(decision.scores) == 5
    assert list(decision.scores.values()) == sorted(decision.scores.values(), reverse=True)


def test_accents_do_not_matter_in_italian() -> None:
    strategy = learned(
        Candidate("negozio", examples=("perché il negozio è chiuso", "quando apre il negozio", "a che ora chiudete")),
        Candidate("ordini", examples=("dov'è il mio ordine", "il pacco non è arrivato", "traccia la spedizione")),
    )
    assert strategy.decide_now(RouteQuestion("DOVE il mio ordine, perche non e arrivato")).choice == "ordini"


def test_above_what_can_be_solved_it_compares_with_means_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "PLAIN_LIMIT", 10)
    monkeypatch.setattr(ridge, "NUMPY_LIMIT", 12)
    strategy = learned()
    assert strategy.notes[0].startswith("36 texts to learn from: compared with the mean of each skill")
    assert strategy.decide_now(RouteQuestion("where is the parcel now")).choice == "orders"
    assert strategy.decide_now(RouteQuestion("please explain wolves")).choice is None


def word_of(number: int) -> str:
    return "".join("bcdfgklmnprst"[int(digit)] + "aeiou"[int(digit) % 5] for digit in str(number + 1_000))


def many_routes(count: int) -> tuple[Candidate, ...]:
    """Routes of a word each, with three examples."""
    verbs = ("show", "change", "close")
    return tuple(
        Candidate(
            f"route-{n}", skills=(Skill(word_of(n), examples=tuple(f"{verb} the {word_of(n)}" for verb in verbs)),)
        )
        for n in range(count)
    )


def test_five_hundred_routes_are_learned() -> None:
    strategy = learned(*many_routes(500))
    assert strategy.decide_now(RouteQuestion(f"please show the {word_of(321)}")).choice == "route-321"


def test_twice_as_many_routes_are_twice_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """To fit where each skill has its mean, and to decide: each route against each other would be four times as much."""
    monkeypatch.setattr(ridge, "PLAIN_LIMIT", 10)
    monkeypatch.setattr(ridge, "NUMPY_LIMIT", 12)
    few, many = many_routes(80), many_routes(160)
    assert lines_run_by(lambda: learned(*many)) < 3 * lines_run_by(lambda: learned(*few))
    question = RouteQuestion(f"please show the {word_of(21)}")
    little, much = (lines_run_by(partial(learned(*routes).decide_now, question)) for routes in (few, many))
    assert much < 3 * little


def test_confidence_is_sound_on_requests_that_it_never_saw() -> None:
    """On three manifests drawn from CLINC150: accuracy, and how right it is on what it keeps of 90 % known, 10 % stray."""
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    accuracies, kept_right = [], []
    for draw in sample["draws"][:3]:
        strategy = learned(
            *(
                Candidate(
                    entry["agent"], skills=tuple(Skill(name, examples=tuple(e)) for name, e in entry["skills"].items())
                )
                for entry in draw
            )
        )
        asked = [(t, entry["agent"]) for entry in draw for name in entry["skills"] for t in sample["requests"][name]]
        stray = sample["outside"][: len(asked) // 9]
        chosen = [(strategy.decide_now(RouteQuestion(text)).choice, agent) for text, agent in asked]
        kept = [choice == agent for choice, agent in chosen if choice]
        kept += [False for text in stray if strategy.decide_now(RouteQuestion(text)).choice]
        accuracies.append(
            sum(next(iter(strategy.decide_now(RouteQuestion(text)).scores)) == agent for text, agent in asked)
            / len(asked)
        )
        kept_right.append(sum(kept) / len(kept))
        assert len(kept) > 0.5 * (len(asked) + len(stray))
    assert sum(accuracies) / 3 > 0.9
    assert min(kept_right) > 0.95


def test_a_skill_needs_no_examples() -> None:
    strategy = learned(Candidate("a", skills=(Skill("lost_card"),)), BILLING)
    assert strategy.decide_now(RouteQuestion("i have a lost card")).choice == "a"


def test_numbers_of_an_example_stand_for_any_unless_they_tell_agents_apart() -> None:
    """An order number is no other request; "line 1" and "line 2" are, where each is an agent's."""
    first = Candidate("first", examples=("call line 1", "where is order A-17"), answers=("show T-1001",))
    second = Candidate("second", examples=("call line 2", "hello there"))
    strategy = fit_lexical((first, second), StrategyOptions())
    choices = {
        text: strategy.decide_now(RouteQuestion(text))
        for text in ("Where is order A-99?", "show t-5", "call line 1", "call line 2")
    }
    assert {text: decision.choice for text, decision in choices.items()} == {
        "Where is order A-99?": "first",
        "show t-5": "first",
        "call line 1": "first",
        "call line 2": "second",
    }
    assert all("these are the words of an example" in decision.why for decision in choices.values())
    assert "these are the words" not in strategy.decide_now(RouteQuestion("call line 3")).why


def test_scripts_without_spaces_are_learned_letter_by_letter() -> None:
    """As nobody says there where a word ends: what is alike is known again, and what is not is left open."""
    shop = (
        Candidate("returns", examples=("我想退货", "这个可以退款吗", "怎么换货")),
        Candidate("orders", examples=("我的订单在哪里", "包裹什么时候到", "查一下物流")),
        Candidate("hours", examples=("你们几点开门", "周末营业吗", "几点关门")),
    )
    strategy = fit_lexical(shop, StrategyOptions())
    chosen = {
        text: strategy.decide_now(RouteQuestion(text)).choice for text in ("我要退货", "我的包裹在哪里", "周末几点开门")
    }
    assert chosen == {"我要退货": "returns", "我的包裹在哪里": "orders", "周末几点开门": "hours"}
    assert strategy.decide_now(RouteQuestion("今天天气怎么样")).choice is None
