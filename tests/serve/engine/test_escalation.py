"""A fault goes up to another agent or a person where the manifest says so, and never once the answer has begun."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.errors import ToolFailed
from orchestrator.core.event import Event
from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Rule, Said, Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, history, model_spec, rule, serving

pytestmark = pytest.mark.anyio
ANSWER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def two(when: list[str], tools: tuple[FakeTool, ...] = (), **fields: Any) -> Wanted:
    """An agent on the first server that escalates to one on the second."""
    return Wanted(
        [
            agent_spec("small", escalate_to="large", escalate_when=when, tools=[tool.name for tool in tools], **fields),
            agent_spec("large", models=["big"]),
        ],
        tools,
        models={"m": model_spec(), "big": model_spec("big")},
        bound={"m": ("m@1",), "big": ("m@2",)},
    )


def large() -> SimulatedEndpoint:
    """The server of the larger model."""
    return simulated(["m"], Script(default="the large one"))


async def test_a_models_fault_escalates() -> None:
    """The next agent is told why, and the run tells both."""
    small = simulated(["m"])
    small.arm("unauthorized")
    async with serving(two(["error"]), small, large()) as served:
        result = await served.run("hello")
        system = served.servers[1].records[0].asked.messages[0]["content"]
        assert "run.escalated" in served.kinds()
    assert (result.text, result.agent, result.path) == ("the large one", "large", ("agent.small", "agent.large"))
    assert "agent.small handed over: Invalid API Key; m@1 is not asked again for 15 s (ORC523)" in result.why
    assert [step.kind for step in result.steps] == ["model", "escalate", "model"]
    assert system.startswith("You are large.\n\nagent.small could not finish this request (Invalid API Key; ")


async def test_an_agents_time_out_escalates_within_the_runs_time() -> None:
    """The rest of the time is the other's."""
    small = simulated(["m"], pace=Pace(ttft=1000.0))
    async with serving(two(["timeout"], timeout=5.0), small, large()) as served:
        result = await served.run("hello")
    assert result.text == "the large one"
    assert result.timings["total"] == pytest.approx(5000)


async def test_nothing_escalates_when_the_runs_own_time_is_over() -> None:
    """Nobody could answer any more."""
    small = simulated(["m"], pace=Pace(ttft=1000.0))
    async with serving(two(["timeout", "error"]), small, large()) as served:
        result = await served.run("hello", timeout=5.0)
        assert not served.servers[1].records
    assert result.error is not None and result.error["kind"] == "DeadlinePassed"


async def test_a_person_is_still_told_when_the_runs_own_time_is_over() -> None:
    """It takes no time to open a ticket; the answer says so, a moment late."""
    tickets = FakeTool("tickets", {"create": {"number": "T-1"}})
    tickets.parameters = {"type": "object", "properties": {"subject": {}, "body": {}}}
    person = agent_spec("desk", models=[], tools=["tickets"], human={"queue": "support", "say": "Ticket {{ ticket }}."})
    small = agent_spec("small", escalate_to="desk", escalate_when=["timeout"])
    async with serving(Wanted([small, person], [tickets]), simulated(["m"], pace=Pace(ttft=1000.0))) as served:
        result = await served.run("hello", timeout=5.0)
    assert (result.status, result.text, result.agent) == ("completed", "Ticket T-1.", "desk"), result.error
    assert result.path == ("agent.small", "agent.desk")


async def test_a_request_may_ask_for_the_escalation() -> None:
    """The first agent is not asked at all."""
    async with serving(two(["requested"]), simulated(["m"]), large()) as served:
        result = await served.run("hello", escalate=True)
        assert not served.server.records
    assert result.text == "the large one"


async def test_a_model_may_hand_over() -> None:
    """By a function that it is offered beside its own; its reason is passed on."""
    tool = FakeTool("shop", {"find": "x"})
    script = Script([Rule("person", calls=(("escalate", {"reason": "wants a person"}),))])
    async with serving(two(["requested"], (tool,)), simulated(["m"], script), large()) as served:
        result = await served.run("a person please")
        assert served.server.records[0].asked.function_names() == ["shop_find", "escalate"]
    assert result.text == "the large one"
    assert "the model asked for a hand-over: wants a person" in result.why


async def test_a_hand_over_that_was_not_offered_is_an_unknown_function() -> None:
    """A model cannot escalate where the manifest does not let it."""
    tool = FakeTool("shop", {"find": "x"})
    script = Script([Rule("", say="{result}", calls=(("escalate", {"reason": "x"}),))])
    async with serving(two(["error"], (tool,)), simulated(["m"], script), large()) as served:
        result = await served.run("hello")
    assert result.text == "error: there is no function 'escalate'; the functions are: shop_find"


async def test_an_answer_that_stays_invalid_escalates() -> None:
    """After one repair."""
    script = Script([Rule("", say="no json")])
    async with serving(two(["schema_invalid"], output_schema=ANSWER), simulated(["m"], script), large()) as served:
        result = await served.run("hello")
        assert len(served.server.records) == 2
        system = served.servers[1].records[0].asked.messages[0]["content"]
    assert result.text == "the large one" and 'It had said: "no json".' in system


async def test_a_tool_that_fails_escalates_where_the_manifest_says_so_and_is_told_to_the_model_otherwise() -> None:
    """``tool_failed`` is a choice."""

    def fail(arguments: object, context: object) -> object:
        raise ToolFailed("the shop is closed")

    script = Script([Rule("", say="sorry: {result}", calls=(("shop_find", {}),))])
    for when, text in [(["tool_failed"], "the large one"), (["error"], "sorry: error: the shop is closed")]:
        tool = FakeTool("shop", {"find": fail})
        async with serving(two(when, (tool,)), simulated(["m"], script), large()) as served:
            assert (await served.run("hello")).text == text


async def test_a_rules_tool_that_fails_escalates() -> None:
    """There is no model that could mend it."""

    def crash(arguments: object, context: object) -> object:
        raise OSError("disk full")

    tool = FakeTool("shop", {"find": crash})
    wanted = two(["tool_failed"], (tool,), reflex=[rule("{{ result }}", call="shop.find")])
    async with serving(wanted, simulated(["m"]), large()) as served:
        result = await served.run("hello")
    assert result.text == "the large one" and "shop.find failed: OSError: disk full (ORC5" in result.why


async def test_a_rule_may_hand_over() -> None:
    """Without a call."""
    wanted = two(["error"], reflex=[rule("-", when={"keywords": ["lawyer"]}, call="agent.escalate")])
    async with serving(wanted, simulated(["m"]), large()) as served:
        assert (await served.run("my lawyer says")).text == "the large one"
        assert (await served.run("hello")).text == "hello"


async def test_overload_escalates_only_where_the_manifest_says_so() -> None:
    """A busy server is no failure of the agent."""
    for when, text in [(["overloaded"], "the large one"), (["timeout"], "")]:
        small = simulated(["m"])
        small.arm(*["rate-limit:1000s"] * 50)
        async with serving(two(when), small, large()) as served:
            result = await served.run("hello", timeout=30.0)
        assert result.text == text, result.error


async def test_nothing_takes_over_once_the_answer_has_begun_to_stream() -> None:
    """The caller has seen a part: the fault is told, with that part."""
    small = simulated(["m"], Script(default=" ".join(f"word{n}" for n in range(200))), pace=Pace(tps=10))
    small.arm("drop-mid:100")
    heard: list[Event] = []
    async with serving(two(["error", "timeout"]), small, large()) as served:
        result = await served.run("hello", heard.append)
        assert not served.servers[1].records
    said = "".join(event.fields["text"] for event in heard if event.kind == "run.delta")
    assert result.status == "failed" and result.error is not None and result.error["kind"] == "CutOff"
    assert result.text == said and said.startswith("word0 word1")


async def test_agents_that_escalate_to_each_other_end() -> None:
    """After three hand-overs with the last fault; where the manifest allows more, at the cap of eight vertices."""
    parts = [agent_spec("a", escalate_to="b"), agent_spec("b", escalate_to="a")]
    for most, kind, length in ((3, "NoModel", 4), (20, "LimitReached", 8)):
        async with serving(Wanted(parts, bound={}, most_escalations=most)) as served:
            result = await served.run("hello")
        assert result.error is not None and result.error["kind"] == kind
        assert len(result.path) == length


async def test_a_person_gets_a_ticket_with_the_conversation_and_the_reason() -> None:
    """The user is told its number."""
    tickets = FakeTool("tickets", {"create": {"number": "T-1001", "subject": "s"}})
    tickets.parameters = {"type": "object", "properties": {"subject": {"type": "string"}, "body": {"type": "string"}}}
    calendar = FakeTool("calendar", {"create": {"event": 1}})
    wanted = Wanted(
        [
            agent_spec("a", escalate_to="desk"),
            agent_spec("desk", models=[], tools=["calendar", "tickets"], human={"queue": "support", "say": ""}),
        ],
        [calendar, tickets],
        bound={},
    )
    async with serving(wanted) as served:
        result = await served.run("my drill\nburns", history=history(2), session="s1", id="run_1")
    assert result.text == "I have passed this on to a colleague (T-1001). They will get back to you."
    assert (result.served_by, result.agent, result.value["number"]) == ("person", "desk", "T-1001")
    assert not calendar.calls
    arguments = tickets.calls[0][1]
    assert arguments["subject"] == "my drill burns"
    assert arguments["body"].split("\n") == [
        "queue: support",
        "run: run_1",
        "session: s1",
        "",
        "user: turn 0",
        "assistant: turn 1",
        "user: my drill",
        "burns",
        "agent.a handed over: no model serves agent.a (ORC502)",
    ]


async def test_what_the_user_is_told_may_use_the_tickets_fields() -> None:
    """``{{ ticket }}`` is its number."""
    tickets = FakeTool("tickets", {"create": {"number": "T-1", "priority": "high"}})
    tickets.parameters = {"type": "object", "properties": {"subject": {}, "body": {}}}
    human = {"queue": "q", "say": "{{ ticket }} {{ ticket.id }} {{ ticket.priority }} {{ queue }}"}
    async with serving(Wanted([agent_spec("desk", models=[], tools=["tickets"], human=human)], [tickets])) as served:
        assert (await served.run("x")).text == "T-1 T-1 high q"


async def test_a_long_conversation_does_not_break_the_ticket() -> None:
    """What does not fit is left out, and the body says so."""
    tickets = FakeTool("tickets", {"create": {"number": "T-1"}})
    limited = {"type": "string", "maxLength": 8_000}
    tickets.parameters = {"type": "object", "properties": {"subject": limited, "body": limited}}
    wanted = Wanted([agent_spec("desk", models=[], tools=["tickets"], human={"queue": "q"})], [tickets])
    async with serving(wanted) as served:
        turns = tuple(type(turn)(turn.role, turn.content * 100) for turn in history(20))
        result = await served.run("x" * 20_000, history=turns)
        assert result.status == "completed"
        await served.run("short", history=turns)
    assert "(earlier turns left out)" in tickets.calls[1][1]["body"]
    assert "assistant: turn 19" in tickets.calls[1][1]["body"]


def desk(limit: int = 8_000) -> tuple[FakeTool, Wanted]:
    """An agent without a model that hands over to a person, and the person's tickets."""
    tickets = FakeTool("tickets", {"create": {"number": "T-1"}})
    limited = {"type": "string", "maxLength": limit}
    tickets.parameters = {"type": "object", "properties": {"subject": limited, "body": limited}}
    person = agent_spec("desk", models=[], tools=["tickets"], human={"queue": "q"})
    return tickets, Wanted([agent_spec("a", escalate_to="desk"), person], [tickets], bound={})


@pytest.mark.parametrize("length", [7_700, 9_000, 300_000])
async def test_a_long_request_keeps_its_beginning_its_end_and_the_reason_in_the_ticket(length: int) -> None:
    """How much of the middle is missing stands there, and in the notes of the result."""
    tickets, wanted = desk()
    text = f"I BOUGHT A DRILL {'x' * length} MY ORDER NUMBER IS 4711"
    async with serving(wanted) as served:
        result = await served.run(text, history=history(2))
    body = tickets.calls[0][1]["body"]
    assert len(body) <= 8_000 and "user: I BOUGHT A DRILL x" in body and "x MY ORDER NUMBER IS 4711\n" in body
    assert body.endswith("agent.a handed over: no model serves agent.a (ORC502)")
    left_out = int(body.partition("characters left out)")[0].rpartition("(")[2]) if len(text) > 7_800 else 0
    assert body.count("x" * 1_000) and body.count("x") - "agent.a handed".count("x") == length - left_out
    told = f"the ticket lacks {left_out} characters of the middle of the request, for which it has no room"
    assert (told in result.notes) is (length > 7_800)


async def test_a_long_reason_leaves_room_for_the_request() -> None:
    """Its beginning and its end stand in the ticket."""
    tickets, wanted = desk()
    small = agent_spec("a", escalate_to="desk", escalate_when=["requested"], tools=["shop"])
    wanted = replace(wanted, parts=[small, wanted.parts[1]], tools=[tickets, FakeTool("shop", {"find": 1})])
    wish = (("escalate", {"reason": f"FIRST {'y' * 20_000} LAST"}),)
    async with serving(
        replace(wanted, bound={"m": ("m@1",)}), simulated(["m"], Script([Rule("", calls=wish)]))
    ) as served:
        result = await served.run("where is my order 4711?")
    body = tickets.calls[0][1]["body"]
    assert "user: where is my order 4711?\n" in body and body.endswith("yyy LAST")
    assert "agent.a handed over: the model asked for a hand-over: FIRST yyy" in body
    assert len(body) <= 8_000 and "characters left out)" in body
    assert result.notes == ()


async def test_a_ticket_has_all_turns_that_it_has_room_for() -> None:
    """And says, with the result, where there are more."""
    tickets, wanted = desk()
    async with serving(wanted) as served:
        result = await served.run("short", history=history(60))
        assert "user: turn 0\n" in tickets.calls[0][1]["body"] and result.notes == ()
        turns = tuple(type(turn)(turn.role, turn.content * 10) for turn in history(200))
        result = await served.run("short", history=turns)
    body = tickets.calls[1][1]["body"]
    assert len(body) <= 8_000 and body.count("(earlier turns left out)\n") == 1
    missing = 200 - body.count("user: turn") - body.count("assistant: turn")
    assert 0 < missing < 200 and result.notes == (
        f"the ticket lacks the {missing} earliest turns, for which it has no room",
    )


# -- arguments that do not fit --------------------------------------------------------------------------------------

MATCH = re.compile("").match("") or pytest.fail("no match")
PRICE = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}


def stubborn(name: str, arguments: dict[str, Any]) -> Script:
    """It makes the same call whatever it is told."""
    return Script([Rule("", say="it is {result}", calls=((name, arguments),), always=True)])


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("shop_price", {}, 'shop.price: "sku" is missing'),
        ("shop_cost", {"sku": "A"}, "there is no function 'shop_cost'; the functions are: shop_price"),
    ],
)
async def test_a_call_that_stays_invalid_escalates_after_one_repair(
    name: str, arguments: dict[str, Any], words: str
) -> None:
    """The model is told the validator's words once; then the next agent is, with them as the reason."""
    tool = FakeTool("shop", {"price": 9}, parameters=PRICE)
    async with serving(
        two(["schema_invalid"], (tool,)), simulated(["m"], stubborn(name, arguments)), large()
    ) as served:
        result = await served.run("how much")
        told = [each for each in served.server.records[1].asked.messages if each["role"] == "tool"]
        system = served.servers[1].records[0].asked.messages[0]["content"]
        assert len(served.server.records) == 2 and not tool.calls
    assert words.partition(";")[0] in told[0]["content"]
    assert result.agent == "large" and words.partition(";")[0] in result.why and words.partition(";")[0] in system
    assert f'It had said: "{name}({json.dumps(arguments)})".' in system


async def test_a_call_that_is_mended_goes_on() -> None:
    """Each fault has its own repair: what comes right between two faults is no second one."""
    tool = FakeTool("shop", {"price": 9}, parameters=PRICE)
    bad: tuple[str, dict[str, Any]] = ("shop_price", {})
    good: tuple[str, dict[str, Any]] = ("shop_price", {"sku": "A"})
    calls = iter([bad, good, bad, good])

    class Learning(Script):
        def answer(self, asked: Asked, chance: random.Random) -> Said:
            call = next(calls, None)
            return self._by_rule(Rule("", say="nine", calls=(call,) if call else (), always=True), MATCH, asked, chance)

    async with serving(two(["schema_invalid"], (tool,)), simulated(["m"], Learning()), large()) as served:
        result = await served.run("how much")
    assert (result.agent, result.text, len(tool.calls)) == ("small", "nine", 2)


async def test_without_the_word_a_model_may_go_on_trying() -> None:
    """Up to its cap of steps, as ever."""
    tool = FakeTool("shop", {"price": 9}, parameters=PRICE)
    async with serving(two(["tool_failed"], (tool,)), simulated(["m"], stubborn("shop_price", {})), large()) as served:
        result = await served.run("how much")
        assert len(served.server.records) == 8
    assert result.error is not None and result.error["kind"] == "LimitReached"


async def test_the_next_agent_is_told_what_was_done_already() -> None:
    """A call that wrote something is not made a second time for not knowing of it."""
    tool = FakeTool("shop", {"order": {"number": "O-7"}})
    script = Script([Rule("", say="UNKNOWN", calls=(("shop_order", {"sku": "A"}),))])
    wanted = two(["abstains"], (tool,), gate={"abstains": {}})
    async with serving(wanted, simulated(["m"], script), large()) as served:
        await served.run("order it")
        system = served.servers[1].records[0].asked.messages[0]["content"]
    assert "It has called already: shop.order (ok)." in system


async def test_the_last_one_answers_whatever_asks_for_more() -> None:
    """Neither the caller nor the model passes a request on more often than the manifest lets it; a rule that does fails."""
    tool = FakeTool("shop", {"find": "x"})
    wish = Script([Rule("", say="{result}", calls=(("escalate", {"reason": "x"}),))])
    small = agent_spec("small", escalate_to="large", tools=["shop"])
    large_one = agent_spec("large", escalate_to="small", tools=["shop"])
    async with serving(Wanted([small, large_one], [tool], most_escalations=1), simulated(["m"], wish)) as served:
        result = await served.run("hello")
        asked = await served.run("hello", escalate=True)
    assert result.path == asked.path == ("agent.small", "agent.large")
    assert result.text.startswith("error: there is no function 'escalate'") and result.status == "completed"
    up = rule("", call="agent.escalate")
    parts = [agent_spec(name, escalate_to=to, models=[], reflex=[up]) for name, to in (("a", "b"), ("b", "a"))]
    async with serving(Wanted(parts, bound={}, most_escalations=1)) as served:
        result = await served.run("hello")
    assert result.error is not None and result.error["kind"] == "LimitReached"
    assert "handed over 1 times already: agent.a -> agent.b" in result.error["message"]
