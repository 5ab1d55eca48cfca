"""A request that is several goes to several agents, and comes back as one reply."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from orchestrator.core.blueprint import RouterSpec
from orchestrator.core.event import Event
from orchestrator.core.request import Result
from orchestrator.serve.run import OWN, SHARED, Run
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import Wanted, agent_spec, model_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
CALL, PRICE, HOURS, STOCK = "call|callback", "price|costs?", "open", "stock"
BOTH = "Please call me back, and what is the price of the drill?"


def front(routes: dict[str, str], **fields: Any) -> RouterSpec:
    """A router that may send a request to several."""
    spec = router_spec("front", routes, **fields)
    spec["several"] = True
    return spec


def by_rules(*more: Any) -> Wanted:
    """Agents that repeat what they are asked."""
    routes = {"calls": CALL, "prices": PRICE, "hours": HOURS, "stock": STOCK}
    agents = [agent_spec(name, models=[], reflex=[rule("{{ text }}")]) for name in routes]
    return Wanted([front(routes), *agents, *more], bound={})


def by_models(*servers: SimulatedEndpoint, **fields: Any) -> tuple[Wanted, tuple[SimulatedEndpoint, ...]]:
    """Two agents, each with a server of its own."""
    agents = [agent_spec("calls", models=["m"], **fields), agent_spec("prices", models=["n"])]
    models = {"m": model_spec(), "n": model_spec("n")}
    wanted = Wanted(
        [front({"calls": CALL, "prices": PRICE}), *agents], models=models, bound={"m": ("m@1",), "n": ("m@2",)}
    )
    return wanted, servers


def saying(text: str, **fields: Any) -> SimulatedEndpoint:
    return simulated(["m"], Script(default=text), **fields)


async def test_each_agent_gets_its_clause_and_the_reply_says_who_said_what() -> None:
    """In the order of the request; the result holds both, and how each came to its agent."""
    async with serving(by_rules()) as served:
        result = await served.run(BOTH)
    assert result.text == "calls:\nPlease call me back\n\nprices:\nwhat is the price of the drill?"
    assert (result.status, result.agent, result.served_by) == ("completed", "calls, prices", "reflex")
    assert result.path == ("router.front", "agent.calls", "agent.prices")
    assert [(part.agent, part.asked, part.status) for part in result.parts] == [
        ("calls", "Please call me back", "completed"),
        ("prices", "what is the price of the drill?", "completed"),
    ]
    assert [(each.choice, each.why) for each in result.decisions[1:]] == [
        ("calls", 'of "Please call me back": the pattern call|callback finds "call"'),
        ("prices", 'of "what is the price of the drill?": the pattern price|costs? finds "price"'),
    ]
    assert [step.kind for step in result.steps] == ["route", "reflex", "reflex"]
    assert Result.from_json(result.as_json()).as_json() == result.as_json()


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("a callback about the price", "a callback about the price", "a callback about the price"),
        ("call me, and tell me its price", "call me, and tell me its price", "call me, and tell me its price"),
        ("Hello! Call me. I am in a hurry. What it costs is not important: price?", None, None),
        ("call me and thanks and the price please", "call me. thanks", "the price please"),
        ("the price and then call me and the price of nails", "the price. the price of nails", "call me"),
    ],
    ids=["about", "points-back", "leans", "with-the-one-before", "same-agent-twice"],
)
async def test_what_leans_on_the_other_part_is_given_whole(text: str, first: str | None, second: str | None) -> None:
    """A clause that nobody is sure of goes with the one before it."""
    async with serving(by_rules()) as served:
        result = await served.run(text)
    assert [part.asked for part in result.parts] == [first or text, second or text]


@pytest.mark.parametrize(
    "text",
    [
        "call me",
        "call me and thank you",
        "bread and butter",
        "call me back and call me soon",
        "when do you open and what is new",
        "price, " * 20,
        "call me and the price " + "x" * 2_000,
    ],
)
async def test_what_is_one_request_stays_one(text: str) -> None:
    """One matter, clauses that nobody is sure of, too many of them, or too long."""
    async with serving(by_rules()) as served:
        result = await served.run(text)
    assert result.parts == ()
    assert len([each for each in result.path if each.startswith("agent")]) <= 1


async def test_who_would_get_the_whole_is_never_passed_over() -> None:
    """A rule that holds for the whole, and for no clause of it, keeps the request."""
    routes = {"desk": "call.*price", "calls": CALL, "prices": PRICE}
    agents = [agent_spec(name, models=[], reflex=[rule("x")]) for name in routes]
    async with serving(Wanted([front(routes), *agents], bound={})) as served:
        result = await served.run(BOTH)
    assert (result.agent, result.parts) == ("desk", ())


async def test_a_request_in_the_words_of_an_example_is_that_examples() -> None:
    keywords = front({"calls": "zzz", "prices": "zzz"}, strategy="cascade", stages=["keyword"])
    keywords["routes"][0]["keywords"], keywords["routes"][1]["keywords"] = ["call"], ["price"]
    agents = [agent_spec("calls", models=[], reflex=[rule("x")]), agent_spec("prices", models=[], reflex=[rule("x")])]
    agents[1]["examples"] = ["call me and say the price"]
    async with serving(Wanted([keywords, *agents], bound={})) as served:
        split, whole = await served.run("call me and the price"), await served.run("call me and say the price")
    assert [part.to for part in split.parts] == ["calls", "prices"]
    assert (whole.agent, whole.parts) == ("prices", ())


async def test_a_fourth_agent_is_not_asked_and_that_is_said() -> None:
    """The one that would get the whole is among the three."""
    async with serving(by_rules()) as served:
        result = await served.run("is it open and in stock and the price, and call me")
    assert [part.to for part in result.parts] == ["calls", "hours", "stock", "prices"]
    assert (result.parts[3].agent, result.parts[3].status) == ("", "unsure")
    assert result.status == "unsure"
    assert result.text.endswith("\n\nOne request goes to 3 agents at most. Please ask this on its own: the price")


async def test_parts_are_answered_at_the_same_time_and_streamed_in_order() -> None:
    """The second is faster, and waits for the first; the reply is what was streamed."""
    wanted, servers = by_models(
        saying("We will call you back soon.", pace=Pace(ttft=2.0, tps=2.0)),
        saying("Ten euro for this drill.", pace=Pace(ttft=1.0)),
    )
    told: list[Event] = []
    async with serving(wanted, *servers) as served:
        result = await served.run(BOTH, told.append)
    pieces = [event.fields["text"] for event in told if event.kind == "run.delta"]
    assert (
        "".join(pieces) == result.text == ("calls:\nWe will call you back soon.\n\nprices:\nTen euro for this drill.")
    )
    assert len(pieces) > 4
    assert {event.run for event in told} == {result.id}
    assert result.timings["total"] < 9_000
    assert (result.usage.model_calls, result.served_by) == (2, "m@1, m@2")
    assert result.usage.completion_tokens == sum(
        event.fields["completion_tokens"] for event in told if event.kind == "run.model"
    )


async def test_one_that_fails_leaves_the_other_its_answer() -> None:
    broken = simulated(["m"])
    broken.arm("unauthorized")
    wanted, servers = by_models(broken, saying("Ten euro."))
    async with serving(wanted, *servers) as served:
        result = await served.run(BOTH)
    failed, answered = result.parts
    assert (result.status, result.error, failed.status, answered.status) == ("unsure", None, "failed", "completed")
    assert failed.error is not None and failed.error["kind"] == "Refused"
    assert result.text == f"calls:\nThis part could not be answered: {failed.error['message']}\n\nprices:\nTen euro."
    assert result.agent == "calls, prices"


async def test_where_all_fail_the_request_fails_with_the_first_fault() -> None:
    one, other = simulated(["m"]), simulated(["m"])
    one.arm("bad-request")
    other.arm("bad-request")
    wanted, servers = by_models(one, other)
    async with serving(wanted, *servers) as served:
        result = await served.run(BOTH, session="s")
        again = await served.run("what is the price", session="s")
        turns = [(each["role"], each["content"]) for each in served.servers[1].records[-1].asked.messages[1:]]
    assert result.status == "failed" and result.error is not None and result.error["kind"] == "BadRequest"
    assert [part.status for part in result.parts] == ["failed", "failed"]
    assert again.status == "completed"
    assert turns == [("user", "what is the price")]


async def test_one_that_escalates_and_one_that_is_unsure() -> None:
    """Who answers in the end is named; all that happened is in the result."""
    parts: list[Any] = [
        front({"calls": CALL, "prices": PRICE}),
        agent_spec("calls", models=[], reflex=[rule("", call="agent.escalate")], escalate_to="desk"),
        agent_spec("prices", models=[], reflex=[rule("Which drill?", unsure=True)]),
        agent_spec("desk", models=[], reflex=[rule("desk: {{ text }}")]),
    ]
    async with serving(Wanted(parts, bound={})) as served:
        result = await served.run(BOTH)
    assert result.text == "desk:\ndesk: Please call me back\n\nprices:\nWhich drill?"
    assert (result.status, [part.status for part in result.parts]) == ("unsure", ["completed", "unsure"])
    assert (result.parts[0].to, result.parts[0].agent) == ("calls", "desk")
    assert result.path == ("router.front", "agent.calls", "agent.desk", "agent.prices")
    assert "agent.calls handed over" in result.why


async def test_the_time_of_the_request_is_each_parts() -> None:
    """The slow one ends with it; the other has answered."""
    wanted, servers = by_models(saying("late", pace=Pace(ttft=100.0)), saying("Ten euro."))
    async with serving(wanted, *servers) as served:
        result = await served.run(BOTH, timeout=5.0, priority="bulk")
    assert [part.error and part.error["kind"] for part in result.parts] == ["DeadlinePassed", None]
    assert result.timings["total"] == pytest.approx(5_000, abs=100)


async def test_priority_and_class_of_the_data_are_each_parts() -> None:
    """A restricted request reaches no cloud by a part either."""
    wanted, servers = by_models(saying("Soon."), saying("Ten euro."))
    wanted.cloud = ["m@2"]
    async with serving(wanted, *servers) as served:
        result = await served.run(BOTH, data_class="restricted")
        assert not served.servers[1].records
    assert [part.status for part in result.parts] == ["completed", "failed"]


async def test_one_that_breaks_off_in_the_stream_says_so() -> None:
    broken = saying("We will call you back soon. " * 5, pace=Pace(tps=10))
    broken.arm("drop-mid")
    wanted, servers = by_models(broken, saying("Ten euro."))
    told: list[Event] = []
    async with serving(wanted, *servers) as served:
        result = await served.run(BOTH, told.append)
    streamed = "".join(event.fields["text"] for event in told if event.kind == "run.delta")
    assert streamed == result.text
    assert streamed.startswith("calls:\n") and streamed.endswith("\n\nprices:\nTen euro.")
    assert result.parts[0].status == "failed" and result.status == "unsure"


async def test_a_session_holds_the_reply_as_one_turn_and_each_part_sees_the_turns_before() -> None:
    wanted, servers = by_models(saying("Soon."), saying("Ten euro."))
    async with serving(wanted, *servers) as served:
        await served.run("what is the price", session="s")
        result = await served.run(BOTH, session="s")
        await served.run("call me", session="s")
        before, after = served.sent(0), served.sent(1)
    first = [("user", "what is the price"), ("assistant", "Ten euro.")]
    assert before[1:] == [*first, ("user", "Please call me back")]
    assert after[1:] == [*first, ("user", BOTH), ("assistant", result.text), ("user", "call me")]


async def test_a_part_is_not_parted_again_behind_a_second_router() -> None:
    """One reply never holds another."""
    inner = router_spec("inner", {"calls": CALL, "prices": PRICE}, default="calls")
    inner["several"] = True
    parts: list[Any] = [
        front({"inner": f"{CALL}|{PRICE}", "hours": HOURS}),
        inner,
        *(agent_spec(name, models=[], reflex=[rule("{{ text }}")]) for name in ("calls", "prices", "hours")),
    ]
    async with serving(Wanted(parts, bound={})) as served:
        result = await served.run("call me and say the price and when do you open")
        alone = await served.run("call me and say the price")
    assert result.text == "calls:\ncall me. say the price\n\nhours:\nwhen do you open"
    assert [part.agent for part in alone.parts] == ["calls", "prices"]


async def test_a_routers_model_is_asked_for_the_whole_and_for_each_clause() -> None:
    def chooses(name: str) -> str:
        return f'{{"agent": "{name}"}}'

    script = Script(
        [
            Rule('"request": "fix the screen of my phone"', say=chooses("repairs")),
            Rule('"request": "who can tell me the cost"', say=chooses("prices")),
            Rule('"request": ', say=chooses("repairs")),
            Rule("", say="done: {text}"),
        ]
    )
    router = front({"repairs": "zzz", "prices": "zzz"}, strategy="intent", models=["m"])
    wanted = Wanted([router, agent_spec("repairs"), agent_spec("prices")])
    async with serving(wanted, simulated(["m"], script)) as served:
        result = await served.run("fix the screen of my phone and who can tell me the cost")
    assert [part.to for part in result.parts] == ["repairs", "prices"], result.why
    assert result.usage.model_calls == 5
    assert len(result.decisions) == 3


async def test_a_caller_that_goes_away_ends_all_parts() -> None:
    wanted, servers = by_models(saying("Soon.", pace=Pace(ttft=50.0)), saying("Ten euro.", pace=Pace(ttft=50.0)))
    async with serving(wanted, *servers) as served:
        with anyio.move_on_after(5.0):
            await served.run(BOTH)
        await anyio.sleep(1.0)
        assert [record.outcome for server in served.servers for record in server.records] == ["cancelled", "cancelled"]
        assert served.engine.in_flight == 0


@pytest.mark.parametrize(("priority", "kind"), [("bulk", "QueueFull"), ("interactive", None)])
async def test_each_part_waits_in_the_queue_of_the_requests_class(priority: Any, kind: str | None) -> None:
    """With one slot a part waits for the other, whichever comes first; in a class that lets nobody wait so long it does not."""
    parts: list[Any] = [front({"calls": CALL, "prices": PRICE}), agent_spec("calls"), agent_spec("prices")]
    wanted = Wanted(parts, slots=1, queue={"bulk": {"timeout": 1.0}})
    async with serving(wanted, saying("Soon.", pace=Pace(ttft=5.0))) as served:
        result = await served.run(BOTH, priority=priority)
    kinds = [part.error["kind"] if part.error else None for part in result.parts]
    assert sorted(kinds, key=str) == sorted([None, kind], key=str)


def test_each_thing_of_a_run_is_shared_with_its_parts_or_is_each_ones_own() -> None:
    """A new one is decided on, and not forgotten."""
    assert sorted([*SHARED, *OWN]) == sorted(Run.__slots__)
