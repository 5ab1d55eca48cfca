"""An answer that may be wrong goes up; one that shows no sign of it stays, and what looking cost is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.errors import NothingToLabel
from orchestrator.core.event import Event
from orchestrator.core.fitted import Fitted, Scale
from orchestrator.core.isotonic import Block, Isotonic
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.ports.provider import Capability, Support
from orchestrator.serve.outcomes import NO_SIGN, Label, outcomes_of
from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Rule, Said, Script
from tests.serve.engine.parts import FakeTool, Served, Wanted, agent_spec, model_spec, serving

pytestmark = pytest.mark.anyio


class Spoken(Script):
    """Says each of its answers in turn, with its probability; then the last one again."""

    def __init__(self, *answers: tuple[str, float | None]) -> None:
        super().__init__()
        self.answers = list(answers)

    def answer(self, asked: Asked, chance: Any) -> Said:
        del asked, chance
        text, probability = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Said(text, chance=probability)


def doubting(gate: Mapping[str, Any], **fields: Any) -> Wanted:
    """An agent on the first server that looks for these signs, and hands over to one on the second."""
    words = ["error", *gate]
    capabilities = fields.pop("capabilities", {})
    tools = fields.pop("tools", ())
    small = agent_spec(
        "small",
        escalate_to="large",
        escalate_when=words,
        gate=dict(gate),
        tools=[each.name for each in tools],
        **fields,
    )
    return Wanted(
        [small, agent_spec("large", models=["big"])],
        tools,
        models={"m": model_spec(), "big": model_spec("big")},
        bound={"m": ("m@1",), "big": ("m@2",)},
        capabilities=capabilities,
    )


def large() -> SimulatedEndpoint:
    """The server of the larger model."""
    return simulated(["m"], Script(default="the large one"))


def looks(result: Result) -> list[tuple[str, str]]:
    """The signs that were looked at, each with what came of it."""
    return [(step.detail["sign"], step.detail["verdict"]) for step in result.steps if step.kind == "doubt"]


def asks(served: Served, number: int = 0) -> int:
    """How many calls a server got."""
    return len(served.servers[number].records)


# -- low confidence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("probability", "agent"), [(0.95, "small"), (0.55, "large")])
async def test_the_margin_of_the_least_sure_word_decides(probability: float, agent: str) -> None:
    """At 95 % against 5 % it stays; at 55 % against 45 % it goes up, with what was said and why."""
    server = simulated(["m"], Spoken(("it costs nine", probability)))
    async with serving(doubting({"low_confidence": {}}), server, large()) as served:
        result = await served.run("how much")
        assert served.server.records[0].asked.top_logprobs == 2
    (decision,) = [each for each in result.decisions if each.strategy == "doubt"]
    assert (result.agent, decision.choice, decision.router) == (agent, agent, "small")
    assert decision.confidence == pytest.approx(2 * probability - 1)
    assert result.usage.model_calls == (1 if agent == "small" else 2)
    if agent == "large":
        system = served.servers[1].records[0].asked.messages[0]["content"]
        assert 'It had said: "it costs nine"' in system
        assert "low_confidence: the margin of its least sure words is 0.10: 10% sure, 30% is needed" in system
        assert [step.kind for step in result.steps] == ["model", "doubt", "escalate", "model"]


async def test_only_words_of_values_count() -> None:
    """Braces and keys are certain whatever the answer is: they hide nothing. The threshold is the manifest's."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    server = simulated(["m"], Spoken(('{"n": 3}', 0.8)))
    gate = {"low_confidence": {"threshold": 0.7, "measure": "probability", "quantile": 0.0}}
    async with serving(doubting(gate, output_schema=schema), server, large()) as served:
        result = await served.run("how many")
    assert (result.agent, result.value) == ("small", {"n": 3})
    (step,) = [each for each in result.steps if each.kind == "doubt"]
    assert step.detail["score"] == pytest.approx(0.8) and step.detail["threshold"] == 0.7


async def test_a_server_without_log_probabilities_is_told_and_the_model_asked_to_say_it() -> None:
    """What is known beforehand: the cheaper sign stands in, the note says so."""
    server = simulated(["m"], Spoken(("UNKNOWN", None)))
    lacks = {Capability.LOGPROBS: Support.IGNORED}
    async with serving(doubting({"low_confidence": {}}, capabilities=lacks), server, large()) as served:
        result = await served.run("hello")
        assert served.server.records[0].asked.top_logprobs == 0
        system = served.sent(0)[0][1] if asks(served) == 1 else ""
    assert system.endswith("answer only with the word UNKNOWN.")
    assert result.agent == "large" and looks(result) == [("abstains", "handed over")]
    assert any("m@1 tells no log-probabilities: low_confidence was not looked at" in note for note in result.notes)


async def test_a_server_that_tells_none_against_expectation_loses_no_answer() -> None:
    """Nothing was known: the answer stays, and the result says what was not looked at."""
    server = simulated(["m"], Spoken(("nine", 0.1)), ignores=frozenset(("logprobs",)))
    async with serving(doubting({"low_confidence": {}}), server, large()) as served:
        result = await served.run("hello")
    assert (result.text, looks(result)) == ("nine", [("low_confidence", "blind")])
    assert result.notes == ("agent.small: low_confidence was not looked at: m@1 tells no log-probabilities",)


async def test_an_answer_of_signs_alone_goes_up_where_its_model_was_unsure_of_them() -> None:
    """It holds no word; that its server told nothing would not be true."""
    async with serving(doubting({"low_confidence": {}}), simulated(["m"], Spoken(("...", 0.5))), large()) as served:
        result = await served.run("hello")
    assert (looks(result), result.notes, result.agent) == ([("low_confidence", "handed over")], (), "large")


async def test_an_empty_answer_has_no_sure_word_and_is_told_as_empty() -> None:
    """Its server would have told what there is to tell; nobody reads that it tells nothing."""
    async with serving(doubting({"low_confidence": {}}), simulated(["m"], Spoken((" \n", 0.9))), large()) as served:
        result = await served.run("hello")
        told = served.servers[1].records[0].asked.messages[0]["content"]
    assert (looks(result), result.agent) == ([("low_confidence", "handed over")], "large")
    assert result.notes == ("m@1 answered with an empty text (it ended with stop)",)
    assert "low_confidence: its answer is empty: 0% sure" in told


# -- abstention -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "schema", "up"),
    [
        ("unknown.", None, True),
        ("", None, True),
        ("It is unknown.", None, False),
        ('{"abstain": true, "n": 1}', {"properties": {"abstain": {"type": "boolean"}, "n": {}}}, True),
        ('{"abstain": false, "n": 1}', {"properties": {"abstain": {"type": "boolean"}, "n": {}}}, False),
        ('{"town": "UNKNOWN"}', {"properties": {"town": {"type": "string"}}}, True),
    ],
)
async def test_a_model_says_that_it_does_not_know(text: str, schema: Any, up: bool) -> None:
    """By a word that is its whole answer, by a property, or by the word in a text of its schema."""
    server = simulated(["m"], Spoken((text, None)))
    async with serving(doubting({"abstains": {}}, output_schema=schema), server, large()) as served:
        result = await served.run("hello")
        assert served.sent(0)[0][0] == "system" and "If you do not know the answer" in served.sent(0)[0][1]
    assert result.agent == ("large" if up else "small")


async def test_an_answer_that_only_abstains_was_looked_at_for_has_no_score_to_label() -> None:
    """The cure is a sign with a score, and not the agent that is meant already."""
    server = simulated(["m"], Spoken(("nine", None)))
    async with serving(doubting({"abstains": {}}), server, large()) as served:
        run = (await served.run("hello")).as_json()
    with pytest.raises(NothingToLabel) as refused:
        outcomes_of(run, Label(right=True))
    assert refused.value.message.endswith("has no score: abstains gave none")
    assert refused.value.cure.startswith(NO_SIGN) and "--agent" not in refused.value.cure


async def test_an_empty_answer_goes_up_as_what_it_is() -> None:
    """The next model is not told that the model said something."""
    server = simulated(["m"], Spoken((" \n", None)))
    async with serving(doubting({"abstains": {}}), server, large()) as served:
        result = await served.run("hello")
        assert "(abstains: its answer is empty)" in served.servers[1].records[0].asked.messages[0]["content"]
    assert (result.agent, looks(result)) == ("large", [("abstains", "handed over")])


# -- asking again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("further", "up"), [(["Nine.", "nine"], False), (["nine", "ten"], False), (["ten", "eleven"], True)]
)
async def test_answers_that_differ_go_up(further: list[str], up: bool) -> None:
    """Of three, two must say the same in the same words; the two more calls are counted and told."""
    said = [("nine", None), *((text, None) for text in further)]
    async with serving(doubting({"agreement": {"samples": 3}}), simulated(["m"], Spoken(*said)), large()) as served:
        result = await served.run("how much")
        bodies = [record.asked for record in served.server.records]
    assert result.agent == ("large" if up else "small")
    assert [asked.body.get("temperature") for asked in bodies] == [None, 0.7, 0.7]
    assert len({asked.seed for asked in bodies[1:]}) == 2
    assert result.usage.model_calls == 3 + up
    (step,) = [each for each in result.steps if each.kind == "doubt"]
    assert step.detail["calls"] == 2 and step.detail["tokens"] > 0
    assert "cost 2 more calls" in next(each.why for each in result.decisions if each.strategy == "doubt")


async def test_a_long_answer_is_not_asked_again() -> None:
    """It would never be the same in words."""
    server = simulated(["m"], Spoken(("word " * 50, None)))
    async with serving(doubting({"agreement": {}}), server, large()) as served:
        result = await served.run("hello")
        assert asks(served) == 1
    assert looks(result) == [("agreement", "blind")] and "more than 200 characters" in result.notes[0]


@pytest.mark.parametrize(
    ("verdict", "chance", "score", "up"),
    [("yes", 0.9, 0.9, False), ("no", 0.9, 0.1, True), ("no", 0.3, 0.49, True), ("maybe", None, 0.5, True)],
)
async def test_the_model_checks_its_own_answer(
    verdict: str, chance: float | None, score: float | None, up: bool
) -> None:
    """Its probability of yes counts, but a no never as a yes; what is neither yes nor no is as likely right as wrong."""
    server = simulated(["m"], Spoken(("nine", None), (f'{{"right": "{verdict}"}}', chance)))
    async with serving(doubting({"self_check": {}}), server, large()) as served:
        result = await served.run("how much")
        asked = served.server.records[1].asked
    assert result.agent == ("large" if up else "small")
    assert '"request": "how much", "answer": "nine"' in asked.text and asked.schema is not None
    step = next(each for each in result.steps if each.kind == "doubt")
    assert step.detail["score"] == pytest.approx(score, abs=1e-6)


async def test_another_model_judges() -> None:
    """A judge of the manifest: its server is asked, with what a tool found; its numbers are a scale of their own."""
    tool = FakeTool("shop", {"find": "the price is 9"})
    small = simulated(["m"], Script([Rule("", say="nine", calls=(("shop_find", {}),))]))
    big = simulated(["m"], Spoken(('{"right": "no"}', 0.99), ("the large one", None)))
    wanted = doubting({"judge": {"model": "big", "prompt": "Is it the price?"}}, tools=(tool,))
    async with serving(wanted, small, big) as served:
        result = await served.run("how much")
        asked = served.servers[1].records[0].asked
    assert result.text == "the large one" and result.agent == "large"
    assert '"found": ["\\"the price is 9\\""]' in asked.text and "Is it the price?" in asked.messages[0]["content"]
    (step,) = [each for each in result.steps if each.kind == "doubt"]
    assert step.detail["scale"].startswith("judge:") and step.detail["scale"].endswith(":simulated/m")


async def test_a_judge_that_does_not_answer_loses_no_answer() -> None:
    """The fault is told; the answer stays."""
    big = simulated(["m"])
    big.arm("unauthorized")
    async with serving(doubting({"judge": {"model": "big"}}), simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("hello")
    assert (result.text, looks(result)) == ("nine", [("judge", "blind")])
    assert "judge was not looked at: Invalid API Key" in result.notes[0] and "(ORC523)" in result.notes[0]


async def test_a_restricted_request_reaches_no_judge_in_the_cloud() -> None:
    """Nor does its answer: the judge is passed over."""
    wanted = doubting({"judge": {"model": "big"}})
    wanted.cloud = ["m@2"]
    async with serving(wanted, simulated(["m"], Spoken(("nine", None))), large()) as served:
        result = await served.run("hello", data_class="restricted")
        assert asks(served, 1) == 0
    assert looks(result) == [("judge", "blind")] and "big may not see this request" in result.notes[0]


# -- the order, the limits, streams ---------------------------------------------------------------------------------


async def test_the_dearer_signs_are_not_looked_at_once_one_decides() -> None:
    """Neither after a hand-over, nor after an answer that is sure enough."""
    gate = {"low_confidence": {"sure": 0.8}, "agreement": {}, "judge": {"model": "big"}}
    for probability, verdict, calls in ((0.5, "handed over", 1), (0.95, "sure", 0)):
        async with serving(doubting(gate), simulated(["m"], Spoken(("nine", probability))), large()) as served:
            result = await served.run("hello")
            assert (asks(served), asks(served, 1)) == (1, calls)
        assert looks(result) == [("low_confidence", verdict)]


async def test_no_piece_is_said_before_the_answer_is_kept() -> None:
    """It could not be taken back; whoever listens gets the whole of it then."""
    for probability, text in ((0.95, "it costs nine"), (0.5, "the large one")):
        events: list[Event] = []
        server = simulated(["m"], Spoken(("it costs nine", probability)))
        async with serving(doubting({"low_confidence": {}}), server, large()) as served:
            result = await served.run("hello", events.append)
        heard = [event.fields["text"] for event in events if event.kind == "run.delta"]
        assert "".join(heard) == result.text == text


async def test_a_run_is_handed_over_only_so_often() -> None:
    """Then the answer stays, whatever its signs: three agents in a row, two hand-overs are allowed."""
    names = ["a", "b", "c", "d"]
    parts = [
        agent_spec(name, escalate_to=to, escalate_when=["abstains"], gate={"abstains": {}})
        for name, to in zip(names, [*names[1:], None], strict=True)
    ]
    async with serving(Wanted(parts), simulated(["m"], Spoken(("UNKNOWN", None)))) as served:
        result = await served.run("hello")
    assert result.path == ("agent.a", "agent.b", "agent.c", "agent.d")
    wanted = Wanted(parts, most_escalations=2)
    async with serving(wanted, simulated(["m"], Spoken(("UNKNOWN", None)))) as served:
        result = await served.run("hello")
    assert result.path == ("agent.a", "agent.b", "agent.c") and result.text == "UNKNOWN"


async def test_the_next_agent_has_the_conversation() -> None:
    """And not only the last request."""
    turns = (Message("user", "I bought a drill"), Message("assistant", "Which one?"))
    server = simulated(["m"], Spoken(("UNKNOWN", None)))
    async with serving(doubting({"abstains": {}}), server, large()) as served:
        await served.run("the red one", history=turns)
        messages = served.servers[1].records[0].asked.messages
    assert [each["content"] for each in messages[1:]] == ["I bought a drill", "Which one?", "the red one"]


async def test_what_was_fitted_goes_before_what_is_usual() -> None:
    """The curve makes a probability of the score, the threshold is the fitted one; a written one still goes before it."""
    curve = Isotonic((Block(0.0, 2, 10), Block(0.5, 9, 10)))
    fitted = Fitted(curve, 0.85, 0.9, 200, 110, 90, 85, 0.02)
    for gate, agent in (({}, "large"), ({"threshold": 0.1}, "small")):
        server = simulated(["m"], Spoken(("nine", 0.7)))  # a margin of 0.4: kept by the usual threshold
        async with serving(doubting({"low_confidence": gate}), server, large()) as served:
            version = served.engine.deployment.agents["small"].version
            scale = Scale("small", "simulated/m", "low_confidence:margin:0.1", version)
            served.engine.fitted = {scale: fitted}
            result = await served.run("hello")
        decision = next(each for each in result.decisions if each.strategy == "doubt")
        assert (result.agent, decision.confidence) == (agent, 0.2)
        assert "not fitted" not in decision.why


async def test_the_score_that_is_kept_for_labels_is_the_one_that_the_curve_is_asked_with() -> None:
    """Two of three that agree were kept as 0.666667, which is more than 2/3: a curve of such labels put it a block lower."""
    said = [("nine", None), ("nine", None), ("ten", None)]
    wanted = doubting({"agreement": {"samples": 3}})
    async with serving(wanted, simulated(["m"], Spoken(*said)), large()) as served:
        kept = next(step.detail["score"] for step in (await served.run("when?")).steps if step.kind == "doubt")
    curve = Isotonic((Block(0.333333, 0, 10), Block(kept, 10, 10)))
    agent = served.engine.deployment.agents["small"]
    scale = Scale("small", "simulated/m", "agreement:3:0.7", agent.version)
    async with serving(wanted, simulated(["m"], Spoken(*said)), large()) as served:
        served.engine.fitted = {scale: Fitted(curve, 0.85, 0.9, 200, 110, 90, 85, 0.02)}
        result = await served.run("when?")
    assert (result.text, looks(result)) == ("nine", [("agreement", "kept")])
    assert "100% sure" in result.decisions[-1].why and result.decisions[-1].scores == {"agreement": kept}


@pytest.mark.parametrize(
    "other", [{"model": "ollama/m"}, {"signal": "low_confidence:probability:0.1"}, {"version": "0"}]
)
async def test_what_was_fitted_on_another_scale_is_not_gone_by(other: dict[str, str]) -> None:
    """Of another make of server, of other numbers, of the agent as it was before: the score counts as it is."""
    fitted = Fitted(Isotonic((Block(0.0, 1, 10),)), 0.85, 0.9, 200, 110, 90, 85, 0.02)
    server = simulated(["m"], Spoken(("nine", 0.7)))
    async with serving(doubting({"low_confidence": {}}), server, large()) as served:
        version = served.engine.deployment.agents["small"].version
        scale = Scale("small", "simulated/m", "low_confidence:margin:0.1", version)
        served.engine.fitted = {replace(scale, **other): fitted}
        result = await served.run("hello")
    decision = next(each for each in result.decisions if each.strategy == "doubt")
    assert result.agent == "small" and decision.confidence == pytest.approx(0.4)


async def test_looking_spends_no_more_than_the_agent_may() -> None:
    """Its cap of tokens holds for the further calls too; the answer that is there stays."""
    wanted = doubting({"self_check": {}}, max_total_tokens=1)
    async with serving(wanted, simulated(["m"], Spoken(("nine", None))), large()) as served:
        result = await served.run("how much")
        assert asks(served) == 1
    assert (result.text, looks(result)) == ("nine", [("self_check", "blind")])
    assert "(ORC506)" in result.notes[0]


async def test_looking_takes_no_longer_than_the_agent_has() -> None:
    """The judge hangs: the answer is given when the agent's time is over."""
    big = simulated(["m"], pace=Pace(ttft=1000.0))
    wanted = doubting({"judge": {"model": "big"}}, timeout=5.0)
    async with serving(wanted, simulated(["m"], Spoken(("nine", None))), big) as served:
        result = await served.run("how much")
    assert (result.text, result.status) == ("nine", "completed")
    assert result.timings["total"] == pytest.approx(5000, abs=10)
