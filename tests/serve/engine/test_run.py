"""A request's way through the graph, and everything that its result and its events tell."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, router_spec, rule, serving, shown

pytestmark = pytest.mark.anyio
GOLDEN = Path(__file__).with_name("golden")


def shop() -> Wanted:
    """A router over an agent with a tool and one without."""
    return Wanted(
        [
            router_spec("front", {"sales": "drill", "help": "broken|help"}),
            agent_spec("sales", tools=["stock"]),
            agent_spec("help"),
        ],
        [FakeTool("stock", {"find": {"name": "drill", "left": 3}})],
    )


def seller(**fields: object) -> Script:
    """A model that looks drills up."""
    return Script([Rule("drill", say="Yes: {result}", calls=(("stock_find", {"text": "drill"}),))])


async def test_a_result_tells_decisions_steps_timings_usage_and_why() -> None:
    """Router, specialist, tool, answer: the whole result, on virtual time."""
    server = simulated(["m"], seller(), pace=Pace(ttft=1.0, tps=10))
    async with serving(shop(), server) as served:
        result = await served.run("do you have a drill?", id="run_1")
    assert shown(result) == (GOLDEN / "result.json").read_text(encoding="utf-8").rstrip("\n")


async def test_events_come_in_the_order_of_what_happens() -> None:
    """The sinks hear each step when it ends; the last event holds the result."""
    async with serving(shop(), simulated(["m"], seller())) as served:
        result = await served.run("do you have a drill?", id="run_1")
        told = [event for event in served.events if event.kind != "endpoint.state"]
    expected = ["run.started", "run.routed", "run.model", "run.tool", "run.model", "run.finished"]
    assert [event.kind for event in told] == expected
    assert told[-1].fields["result"] is result
    assert {(event.deployment, event.revision, event.run) for event in told} == {("shop", 3, "run_1")}


async def test_the_model_sees_the_prompt_the_tools_answer_and_the_request() -> None:
    """The second call holds the model's own wish and what the tool gave."""
    async with serving(shop(), simulated(["m"], seller())) as served:
        await served.run("do you have a drill?")
        assert served.sent() == [
            ("system", "You are sales."),
            ("user", "do you have a drill?"),
            ("assistant", ""),
            ("tool", '{"name": "drill", "left": 3}'),
        ]
        assert served.server.records[0].asked.function_names() == ["stock_find"]


async def test_a_listener_gets_the_answer_in_pieces_that_make_up_its_text() -> None:
    """Deltas come while the model writes; together they are the result's text."""
    pieces: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "run.delta":
            pieces.append(event.fields["text"])

    server = simulated(["m"], Script(default="one two three four five"), pace=Pace(tps=10))
    async with serving(shop(), server) as served:
        result = await served.run("help me", listen)
        assert "run.delta" not in served.kinds(), "pieces are for the caller only"
    assert len(pieces) > 1 and "".join(pieces) == result.text == "one two three four five"


async def test_what_a_model_says_before_it_calls_a_function_is_a_paragraph_of_the_answer() -> None:
    """A listener has seen it, so it stays part of the text."""

    class Talkative(Script):
        def answer(self, asked, chance):  # type: ignore[no-untyped-def] # as the class above it has it
            said = seller().answer(asked, chance)
            return type(said)("Let me look.", said.calls) if said.calls else said

    pieces: list[str] = []
    async with serving(shop(), simulated(["m"], Talkative())) as served:
        result = await served.run(
            "a drill", lambda event: pieces.append(event.fields.get("text", "")) if event.kind == "run.delta" else None
        )
    assert "".join(pieces) == result.text == 'Let me look.\n\nYes: {"name": "drill", "left": 3}'


async def test_a_router_that_is_not_sure_asks_back() -> None:
    """The status is unsure, and the choices are named."""
    async with serving(shop()) as served:
        result = await served.run("good morning")
    assert (result.status, result.agent, result.path) == ("unsure", "", ("router.front",))
    assert "- sales: about sales\n- help: about help" in result.text
    assert not result.steps[1:] and "no route" in result.why


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"on_unsure": "default", "default": "help"}, ("router.front", "agent.help")),
        ({"on_unsure": "escalate", "escalate_to": "sales"}, ("router.front", "agent.sales")),
    ],
)
async def test_a_router_that_is_not_sure_takes_its_default_or_escalates(fields: dict[str, str], path: object) -> None:
    """As its manifest says."""
    wanted = Wanted([router_spec("front", {"sales": "drill"}, **fields), agent_spec("sales"), agent_spec("help")])
    async with serving(wanted) as served:
        assert (await served.run("good morning")).path == path


async def test_a_request_may_name_its_agent() -> None:
    """It goes past the routers; a name that is none is told with the nearest."""
    async with serving(shop()) as served:
        assert (await served.run("a drill", agent="help")).path == ("agent.help",)
        result = await served.run("a drill", agent="halp")
    assert result.error is not None
    assert (result.error["message"], result.error["cure"]) == ('no agent is called "halp"', 'did you mean "help"?')


async def test_a_router_asks_its_model_through_the_same_slots() -> None:
    """The call is a step of the run, and its tokens count."""
    wanted = Wanted(
        [
            router_spec("front", {"sales": "drill", "help": "x"}, strategy="intent", models=["m"]),
            agent_spec("sales"),
            agent_spec("help"),
        ]
    )
    server = simulated(["m"], Script(sequence=['{"agent": "help"}']))
    async with serving(wanted, server) as served:
        result = await served.run("hello")
    assert result.path == ("router.front", "agent.help")
    assert [(step.kind, step.subject) for step in result.steps] == [
        ("model", "router.front"),
        ("route", "router.front"),
        ("model", "agent.help"),
    ]
    assert result.usage.model_calls == 2 and result.decisions[0].router == "front"


async def test_a_router_whose_model_fails_abstains_and_the_failed_call_is_a_step() -> None:
    """The default answers, and nothing is hidden."""
    wanted = Wanted(
        [
            router_spec(
                "front", {"sales": "drill"}, strategy="intent", models=["m"], on_unsure="default", default="sales"
            ),
            agent_spec("sales"),
        ]
    )
    server = simulated(["m"])
    server.arm("unauthorized")
    async with serving(wanted, server, simulated(["m"])) as served:
        result = await served.run("hello")
    assert result.steps[0].detail["fault"] == "Refused"
    assert result.decisions[0].choice is None and "Refused" in result.decisions[0].why


async def test_settings_of_the_request_go_before_the_agents_before_the_models() -> None:
    """And what only the server knows reaches it."""
    models = {"m": model_spec(options={"temperature": 0.9, "top_k": 5, "max_tokens": 7, "seed": 1})}
    wanted = Wanted([agent_spec("a", temperature=0.1)], models=models)
    async with serving(wanted) as served:
        await served.run("hello", options={"max_tokens": 3, "top_p": 0.5, "stop": ["x"]})
        asked = served.server.records[0].asked
    assert (asked.max_tokens, asked.seed, asked.stop) == (3, 1, ("x",))
    assert (asked.body["top_k"], asked.body["top_p"]) == (5, 0.5)


async def test_a_cut_answer_says_so() -> None:
    """The finish reason is the model's."""
    async with serving(Wanted([agent_spec("a", max_tokens=2)])) as served:
        result = await served.run("one two three four")
    assert (result.finish_reason, result.text) == ("length", "one two")


async def test_the_conversation_is_shown_from_a_users_turn_on_with_one_system_message() -> None:
    """Chat templates of small models refuse everything else."""
    turns = (
        Message("system", "Be brief."),
        Message("user", "first"),
        Message("assistant", "1"),
        Message("user", "second"),
        Message("assistant", "2"),
    )
    async with serving(Wanted([agent_spec("a", history_turns=3)])) as served:
        await served.run("third", history=turns)
        assert served.sent() == [
            ("system", "You are a.\n\nBe brief."),
            ("user", "second"),
            ("assistant", "2"),
            ("user", "third"),
        ]


async def test_instructions_are_a_template_over_the_request() -> None:
    """What the user says is a value in it, never a template."""
    wanted = Wanted([agent_spec("a", instructions="You are {{ agent }}. Asked: {{ text }}")])
    async with serving(wanted) as served:
        await served.run("{{ 7 * 7 }}")
        assert served.sent()[0] == ("system", "You are a. Asked: {{ 7 * 7 }}")


async def test_a_fault_of_a_plugin_is_a_failed_run_with_its_place_for_the_sinks_only() -> None:
    """Nothing is raised, and no traceback reaches the caller."""

    class Broken:
        async def decide(self, question: object) -> object:
            raise ZeroDivisionError("inside")

    async with serving(shop()) as served:
        router = served.engine.deployment.routers["front"]
        object.__setattr__(router, "instant", None)
        object.__setattr__(router, "strategy", Broken())
        result = await served.run("x")
        finished = served.events[-1]
    assert result.error is not None and result.error["message"] == "unexpected: ZeroDivisionError: inside"
    assert "Traceback" not in json.dumps(result.as_json()) and "test_run.py" in finished.fields["fault"]


async def test_a_plugin_that_cancels_what_nobody_cancelled_is_a_failed_run() -> None:
    """It is told, and its end is kept like any other's."""

    class Broken:
        async def decide(self, question: object) -> object:
            raise asyncio.CancelledError("by itself")

    async with serving(shop()) as served:
        router = served.engine.deployment.routers["front"]
        object.__setattr__(router, "instant", None)
        object.__setattr__(router, "strategy", Broken())
        result = await served.run("x")
        assert served.kinds()[-1] == "run.finished" and served.engine.in_flight == 0
    assert result.error is not None and result.error["message"] == "unexpected: CancelledError: by itself"


async def test_a_reflex_answers_without_a_model() -> None:
    """Its function is called with what the text gave, its template says the result."""
    tool = FakeTool("orders", {"find": lambda arguments, context: {"state": "sent", "number": arguments["number"]}})
    rules = [
        rule(
            "Order {{ number }} is {{ result.state }}.",
            when={"regex": r"\border\b"},
            extract={"number": r"\d{4}"},
            call="orders.find",
            arguments={"number": "{{ number }}"},
        ),
    ]
    wanted = Wanted([agent_spec("a", tools=["orders"], reflex=rules)], [tool])
    async with serving(wanted) as served:
        result = await served.run("where is order 1234?", session="s")
        assert not served.server.records
        other = await served.run("where is my parcel?")
    assert (result.text, result.served_by, result.value) == (
        "Order 1234 is sent.",
        "reflex",
        {"state": "sent", "number": "1234"},
    )
    assert tool.calls[0][2].run == result.id and tool.calls[0][2].session == "s"
    assert other.served_by == "m@1"


async def test_rules_of_a_template_answer_only_while_no_model_serves() -> None:
    """They are the degraded mode."""
    spec = agent_spec("a", reflex=[rule("by rule", first=False)])
    async with serving(Wanted([spec])) as served:
        assert (await served.run("hello")).served_by == "m@1"
    async with serving(Wanted([spec], bound={})) as served:
        assert (await served.run("hello")).text == "by rule"


async def test_a_rule_with_nothing_to_say_leaves_the_answer_to_the_next() -> None:
    """An empty text is no answer."""
    rules = [rule("{% if 'x' in text %}x{% endif %}"), rule("otherwise", unsure=True)]
    async with serving(Wanted([agent_spec("a", models=[], reflex=rules)])) as served:
        assert (await served.run("has x")).text == "x"
        result = await served.run("nothing")
    assert (result.text, result.status) == ("otherwise", "unsure")


async def test_an_agent_by_rule_that_has_none_for_a_request_says_what_it_can() -> None:
    """An honest non-answer."""
    spec = agent_spec("a", models=[], examples=["where is order 1?"], reflex=[rule("x", when={"keywords": ["order"]})])
    async with serving(Wanted([spec])) as served:
        result = await served.run("good morning")
    assert result.status == "unsure"
    assert result.text == 'I am not sure what you mean. I can answer requests like: "where is order 1?".'
