"""How hard a request looks, and who gets it."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import pytest

from orchestrator.core.blueprint import RouterSpec
from orchestrator.deploy.candidates import candidates_of
from orchestrator.plugins.strategies.cascade import InstantCascade, fit_cascade
from orchestrator.plugins.strategies.complexity import fit_complexity, look_at
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions
from tests.serve.engine.parts import agent_spec, router_spec

OPTIONS = StrategyOptions()
SMALL = Candidate("small", complexity=("simple",))
MIDDLE = Candidate("middle", complexity=("moderate",))
BIG = Candidate("big", complexity=("complex",))
PRICE = "it looks simple (-0.15: short, simple words (what is))"
THREE = (BIG, MIDDLE, SMALL)
CODE = "Please refactor this Python function so that it handles the exception, and add a regex for dates."
REASONS = "Compare both contracts and explain why the second one is better for us in the long run."


@pytest.mark.parametrize(
    ("text", "complexity", "score"),
    [
        ("What is the price?", "simple", -0.15),
        ("Ciao, quanto costa?", "simple", -0.15),
        ("Can you tell me until when the shop in the harbour street is open on Saturday?", "simple", 0.0),
        (
            "Analizza nel dettaglio la nuova normativa sulle spedizioni internazionali per la nostra azienda.",
            "complex",
            0.25,
        ),
        ("Please write a Python program for me that tells the weather of tomorrow in the harbour.", "moderate", 0.15),
        (
            "Write a Python program that reads JSON, and explain why the latency of the protocol is so high.",
            "complex",
            0.60,
        ),
        (CODE, "moderate", 0.30),
        (REASONS, "complex", 0.25),
        ("word " * 400, "simple", 0.10),
    ],
)
def test_the_score_of_a_request(text: str, complexity: str, score: float) -> None:
    look = look_at(text)
    assert (look.complexity, round(look.score, 3)) == (complexity, score)


def test_steps_and_questions_count_a_little() -> None:
    steps = look_at("First send the offer to the customer in Rome, then wait a week and call him about the delivery.")
    asked = look_at("When do you open? Where are you? Who works on Sunday? Can I come with my dog then?")
    assert (steps.score, steps.signs) == (0.015, ("several steps",))
    assert (asked.score, asked.signs) == (0.01, ("4 questions",))


@pytest.mark.parametrize(
    ("text", "said", "candidates", "chosen", "why"),
    [
        (
            "What is the price?",
            "",
            THREE,
            "small",
            "it looks simple (-0.15: short, simple words (what is)); small claims simple",
        ),
        (
            CODE,
            "",
            THREE,
            "middle",
            "it looks moderate (+0.30: code (function, python, regex)); middle claims moderate",
        ),
        ("What is the price?", "complex", THREE, "big", "the request says that it is complex; big claims complex"),
        (
            "What is the price?",
            "",
            (BIG, MIDDLE),
            "middle",
            f"{PRICE}, and moderate is the next higher that somebody claims; middle claims moderate",
        ),
        (
            REASONS,
            "",
            (SMALL, MIDDLE),
            None,
            "it looks complex (+0.25: reasoning (explain why, compare)); nobody claims that or more",
        ),
        (
            "hi",
            "",
            (replace(BIG, name="a", complexity=("simple", "complex")), SMALL),
            "a",
            "it looks simple (-0.15: short, simple words (hi)); a claims simple",
        ),
    ],
    ids=["own", "moderate", "said", "next-higher", "nobody", "first-route"],
)
def test_who_gets_it(text: str, said: str, candidates: tuple[Candidate, ...], chosen: str | None, why: str) -> None:
    decision = fit_complexity(candidates, OPTIONS).decide_now(RouteQuestion(text, complexity=said))
    assert (decision.choice, decision.why) == (chosen, why)


def test_it_is_a_stage_after_what_is_written() -> None:
    desk = Candidate("desk", when={"keywords": ["lawyer"]})
    cascade = fit_cascade((desk, *THREE), StrategyOptions(stages=("rules", "complexity")))
    assert isinstance(cascade, InstantCascade)
    assert cascade.decide_now(RouteQuestion("my lawyer asks")).choice == "desk"
    assert cascade.decide_now(RouteQuestion("how much is it")).choice == "small"


def test_it_is_not_judged_by_examples() -> None:
    """Who has an example is not who is meant for so hard a request."""
    cascade = fit_cascade(THREE, StrategyOptions(stages=("rules", "complexity")))
    assert cascade.judge_unseen(RouteQuestion("hi"), "big", whole=False) is None


def test_without_claims_it_says_so_and_abstains() -> None:
    strategy = fit_complexity((Candidate("a"), Candidate("b")), OPTIONS)
    assert strategy.notes == ("no agent claims a complexity",)
    assert strategy.decide_now(RouteQuestion("hi")).choice is None


def test_a_route_says_it_before_its_agent_and_a_router_for_those_behind() -> None:
    front = router_spec("front", {"inner": "x", "small": "y"})
    inner: RouterSpec = router_spec("inner", {"big": "z"})
    front["routes"][1]["complexity"] = ["moderate"]
    targets = {
        "inner": inner,
        "small": {**agent_spec("small"), "complexity": ["simple"]},
        "big": {**agent_spec("big"), "complexity": ["complex"]},
    }
    found = candidates_of(front, targets)  # type: ignore[arg-type] # specs with what is looked at
    assert [(each.name, each.complexity) for each in found] == [("inner", ("complex",)), ("small", ("moderate",))]


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "\n" * 50_000, "1. \n" * 9_000, "1. " * 30_000, "first " * 15_000, "? " * 50_000]
)
def test_a_long_text_costs_little(text: str) -> None:
    began = perf_counter()
    look_at(text)
    assert perf_counter() - began < 0.1
