"""What a judge says of an answer: only a yes keeps it, said once and more likely than not."""

from __future__ import annotations

import pytest

from orchestrator.testing.endpoint import simulated
from tests.serve.engine.parts import serving
from tests.serve.engine.test_doubt import Spoken, doubting

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("verdict", "score"),
    [
        ('{"right": "no", "right": "yes"}', 0.5),
        ('{"right": "yes", "right": "yes"}', 0.5),
        ('```json\n{"right": "yes", "Right": "no"}\n```', 0.5),
        ('{"right": false}', 0.0),
        ('{"right": "false"}', 0.0),
        ("false", 0.0),
        ("No.", 0.0),
        ('{"right": "non"}', 0.0),
        ("Non.", 0.0),
        ('{"right": 0}', 0.0),
        ('{"right": 0.0}', 0.0),
        ('{"right": "0"}', 0.0),
        ("not", 0.0),
        ('{"right": "Not right."}', 0.0),
        ('["no"]', 0.0),
        ('{"right": ["no"]}', 0.0),
        ('["no", "yes"]', 0.5),
        ('{"right": "No, it is wrong"}', 0.0),
        ('{"answer": "no"}', 0.0),
        ("n", 0.0),
        ('{"verdict": {"correct": false}}', 0.0),
        ("-1", 0.0),
        ("0.2", 0.0),
        ("The answer is not corr", 0.0),
        ("<think>It is right, yes.</think>no", 0.0),
        ("**Verdict:** incorrect", 0.0),
        ('{"right": ["yes", "yes"]}', 0.5),
        ('{"right": "yes", "answers_request": false}', 0.5),
        ('{"right": "yes", "score": 0}', 0.5),
    ],
)
async def test_what_says_no_or_two_things_keeps_no_answer(verdict: str, score: float) -> None:
    """JSON's reader would tell the last of two; a model whose server holds it to no schema says no in its own way."""
    big = simulated(["m"], Spoken((verdict, None), ("the large one", None)), ignores=frozenset(("logprobs",)))
    async with serving(doubting({"judge": {"model": "big"}}), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    (step,) = [each for each in result.steps if each.kind == "doubt"]
    assert (result.agent, step.detail["score"]) == ("large", score)


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        ('{"right": true}', "says yes to whether it is right (1.00)"),
        ('{"right": "yes"}', "says yes to"),
        ('{"right": 1}', "says yes to"),
        ('{"right": 1.0}', "says yes to"),
        ('["yes"]', "says yes to"),
    ],
)
async def test_a_plain_yes_keeps_the_answer(verdict: str, why: str) -> None:
    """In either spelling of JSON."""
    big = simulated(["m"], Spoken((verdict, None)), ignores=frozenset(("logprobs",)))
    async with serving(doubting({"judge": {"model": "big"}}), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    decision = next(each for each in result.decisions if each.strategy == "doubt")
    assert (result.agent, result.notes, why in decision.why) == ("small", (), True)


@pytest.mark.parametrize(
    "verdict",
    [
        *('{"right": 0.7}', '{"right": null}', '{"right": {"no": 1}}', "1", "[]", "10", "It costs nine.", ""),
        '{"right":"yes"} although the price is outdated',
        "Yes, the answer is incomplete.",
        "Yes. The answer is misleading: it should be 99 euro instead of 89.",
        "Yes, I doubt it.",
        "yes/n",
    ],
)
async def test_what_is_neither_is_not_decided_and_keeps_no_answer(verdict: str) -> None:
    """Who was asked and did not say yes has not said that it is right; a number alone may be of anything. It is told."""
    big = simulated(["m"], Spoken((verdict, None), ("the large one", None)), ignores=frozenset(("logprobs",)))
    async with serving(doubting({"judge": {"model": "big"}}), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    (step,) = [each for each in result.steps if each.kind == "doubt"]
    assert (result.agent, step.detail["score"]) == ("large", 0.5)
    decision = next(each for each in result.decisions if each.strategy == "doubt")
    assert (
        "says neither yes nor no to whether it is right" in decision.why and "more than 50% is needed" in decision.why
    )


async def test_the_manifest_may_be_content_with_an_undecided_judge() -> None:
    """Then the answer stays, and the decision says on what."""
    gate = {"judge": {"model": "big", "threshold": 0.4}}
    big = simulated(["m"], Spoken(("I cannot tell.", None)), ignores=frozenset(("logprobs",)))
    async with serving(doubting(gate), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    decision = next(each for each in result.decisions if each.strategy == "doubt")
    assert result.agent == "small" and "kept: judge: m@2 says neither yes nor no" in decision.why


async def test_who_is_sure_of_what_is_no_yes_keeps_nothing() -> None:
    """Log-probabilities of a word that is none of the two are no more than undecided."""
    big = simulated(["m"], Spoken(('{"right": "yes and no"}', 0.99), ("the large one", None)))
    async with serving(doubting({"judge": {"model": "big"}}), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    (step,) = [each for each in result.steps if each.kind == "doubt"]
    assert result.agent == "large" and step.detail["score"] <= 0.5


@pytest.mark.parametrize(
    ("chance", "threshold", "up"), [(0.5, None, True), (0.51, None, False), (0.5, 0.5, True), (0.5, 0.4, False)]
)
async def test_an_undecided_judge_keeps_no_answer(chance: float, threshold: float | None, up: bool) -> None:
    """As likely right as wrong is no yes, unless the manifest is content with less."""
    gate = {"judge": {"model": "big"} | ({} if threshold is None else {"threshold": threshold})}
    big = simulated(["m"], Spoken(('{"right": "yes"}', chance), ("the large one", None)))
    async with serving(doubting(gate), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    decision = next(each for each in result.decisions if each.strategy == "doubt")
    assert result.agent == ("large" if up else "small"), decision.why
    assert ("more than 50% is needed" in decision.why) is up


async def test_a_yes_that_its_server_is_sure_of_is_none_where_it_stands_twice() -> None:
    """Log-probabilities tell of the words, and not of which of them counts."""
    big = simulated(["m"], Spoken(('{"right": "yes", "right": "yes"}', 0.99), ("the large one", None)))
    async with serving(doubting({"judge": {"model": "big"}}), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    (step,) = [each for each in result.steps if each.kind == "doubt"]
    assert (result.agent, step.detail["score"]) == ("large", 0.5)
