"""A request that only goes on with an earlier one goes where that went; and no request goes round for ever."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.message import Message
from orchestrator.serve.steps.follow_up import continued, goes_on
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
ROUTES = {"weather": "weather|rain", "hours": "open"}


def wanted(**fields: Any) -> Wanted:
    """Two agents and a desk for what nobody has."""
    agents = [
        agent_spec(name, models=[], reflex=[rule(f"{name}: {{{{ text }}}}")]) for name in ("weather", "hours", "desk")
    ]
    return Wanted([router_spec("front", ROUTES, default="desk", on_unsure="default", **fields), *agents], bound={})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("and tomorrow?", True),
        ("And what about Rome?", True),
        ("what about the red one", True),
        ("e domani?", True),
        ("E per dopodomani, grazie", True),
        ("Why?", True),
        ("yes, please!", True),
        ("tomorrow", True),
        ("perché?", True),
        ("Sì", True),
        ("a person please", False),
        ("andiamo", False),
        ("echo", False),
        ("and then I want to know when you open on Sunday", False),
        ("lawyer", False),
        ("", False),
        ("?!", False),
    ],
)
def test_what_only_goes_on(text: str, found: bool) -> None:
    assert goes_on(text) is found


def test_the_earlier_request_is_the_one_that_said_what_it_is_about() -> None:
    def turns(*texts: str) -> tuple[Message, ...]:
        return tuple(Message("user" if n % 2 == 0 else "assistant", text) for n, text in enumerate(texts))

    assert continued("and tomorrow?", turns("will it rain", "no", "and today?", "no")) == "will it rain"
    assert continued("and tomorrow?", turns("and today?", "no")) == ""
    assert continued("and tomorrow?", ()) == ""
    assert continued("tell me more of it", turns("will it rain", "no")) == ""
    assert continued("why?", turns("will it rain", *["no", "why?"] * 4)) == ""


async def test_a_follow_up_goes_by_the_session() -> None:
    """Its own words go first; what nobody had before is nobody's again."""
    async with serving(wanted()) as served:
        first = await served.run("will it rain", session="s")
        again = await served.run("and tomorrow?", session="s")
        third = await served.run("e domenica?", session="s")
        own = await served.run("and when do you open?", session="s")
        back = await served.run("and on Sunday?", session="s")
        alone = await served.run("and tomorrow?")
        other = await served.run("and tomorrow?", session="t")
    assert [each.agent for each in (first, again, third, own, back)] == [
        "weather",
        "weather",
        "weather",
        "hours",
        "weather",
    ]
    assert again.text == "weather: and tomorrow?"
    assert again.decisions[0].why == 'it goes on with "will it rain": the pattern weather|rain finds "rain"'
    assert (alone.agent, other.agent) == ("desk", "desk")


async def test_a_follow_up_goes_by_the_history_that_the_caller_sends() -> None:
    """And the model of the agent sees both."""
    parts: list[Any] = [
        router_spec("front", ROUTES),
        agent_spec("weather"),
        agent_spec("hours", models=[], reflex=[rule("x")]),
    ]
    history = (Message("user", "will it rain"), Message("assistant", "no"))
    async with serving(Wanted(parts), simulated(["m"], Script(default="yes"))) as served:
        result = await served.run("and tomorrow?", history=history)
        sent = served.sent()
    assert (result.agent, result.text) == ("weather", "yes")
    assert sent[1:] == [("user", "will it rain"), ("assistant", "no"), ("user", "and tomorrow?")]


async def test_a_routers_model_sees_the_turns_before() -> None:
    """It is asked once: it can place the request by them."""
    script = Script([Rule("will it rain.*and tomorrow", say='{"agent": "weather"}')], default='{"agent": "none"}')
    front = router_spec("front", {"weather": "zzz", "hours": "zzz"}, strategy="intent", models=["m"])
    parts: list[Any] = [front, *(agent_spec(name, models=[], reflex=[rule(name)]) for name in ("weather", "hours"))]
    history = (Message("user", "will it rain"), Message("assistant", "no"))
    async with serving(Wanted(parts), simulated(["m"], script)) as served:
        result = await served.run("and tomorrow?", history=history)
    assert (result.agent, result.usage.model_calls) == ("weather", 1)


async def test_who_was_sure_of_nobody_before_is_not_guessed_now() -> None:
    async with serving(wanted()) as served:
        await served.run("sing a song", session="s")
        result = await served.run("and another?", session="s")
    assert (result.agent, result.decisions[0].choice) == ("desk", None)


@pytest.mark.parametrize(("depth", "status"), [(7, "completed"), (8, "failed")])
async def test_the_way_of_a_request_is_bounded(depth: int, status: str) -> None:
    """Routers behind routers: no manifest with a circle is applied (ORC301), and what is deeper than eight fails."""
    routers = [router_spec(f"r{n}", {f"r{n + 1}" if n + 1 < depth else "a": "x"}) for n in range(depth)]
    async with serving(Wanted([*routers, agent_spec("a", models=[], reflex=[rule("here")])], bound={})) as served:
        result = await served.run("x")
    assert (result.status, len(result.path)) == (status, 8)
    if result.error:
        assert result.error["kind"] == "LimitReached"
        assert result.error["message"].startswith("the request was passed on 8 times: router.r0 -> router.r1")
