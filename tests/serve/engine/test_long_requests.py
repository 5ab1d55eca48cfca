"""A request that is longer than what conditions look at: nothing is kept from whoever asked."""

from __future__ import annotations

import pytest

from orchestrator.core.words import LONGEST_TEXT
from tests.serve.engine.parts import Wanted, agent_spec, router_spec, rule, serving

LONG = "x " * (LONGEST_TEXT // 2)
RULES = [rule("about you", when={"keywords": ["lawyer"]})]


@pytest.mark.anyio
async def test_a_rule_without_conditions_answers_a_request_of_any_length() -> None:
    async with serving(Wanted([agent_spec("a", models=[], reflex=[rule("yes")])])) as served:
        result = await served.run(LONG + "lawyer")
    assert (result.status, result.text, result.notes) == ("completed", "yes", ())


@pytest.mark.anyio
async def test_what_rules_did_not_look_at_is_said_where_none_fits() -> None:
    async with serving(Wanted([agent_spec("a", models=[], reflex=RULES)])) as served:
        result = await served.run(LONG + "lawyer")
        assert (await served.run("lawyer " + LONG)).text == "about you"
    assert (result.status, result.why) == ("unsure", "agent.a: no rule fits the first 20,000 of 20,006 characters")
    assert result.notes == ("agent.a: rules that did not fire look at the first 20,000 of 20,006 characters",)


@pytest.mark.anyio
async def test_what_rules_did_not_look_at_is_said_where_the_model_answers() -> None:
    rules = [rule("on its way", when={"regex": "from .+ to .+ for .+ by"})]
    async with serving(Wanted([agent_spec("a", reflex=rules)])) as served:
        result = await served.run("from here " + "and there " * 30 + "to Rome for Anna by noon")
        assert (await served.run("from here to Rome for Anna by noon")).text == "on its way"
    assert result.served_by == "m@1"
    assert result.notes == ("agent.a: rules that did not fire look at the first 66 of 334 characters",)


@pytest.mark.anyio
async def test_what_a_router_did_not_look_at_is_said() -> None:
    router = router_spec("front", {"a": "lawyer"}, default="b", on_unsure="default")
    agents = [agent_spec(name, models=[], reflex=[rule(name)]) for name in ("a", "b")]
    async with serving(Wanted([router, *agents])) as served:
        result = await served.run(LONG + "lawyer")
    told = "conditions that did not hold look at the first 20,000 of 20,006 characters"
    assert (result.text, result.notes) == ("b", (f"front: {told}",))
    assert result.decisions[0].why == f"the conditions of no route hold; {told}"


@pytest.mark.anyio
async def test_a_rule_looks_at_the_complexity_of_a_request() -> None:
    rules = [rule("hard", when={"complexity": "complex"}), rule("easy")]
    async with serving(Wanted([agent_spec("a", models=[], reflex=rules)])) as served:
        assert (await served.run("x", complexity="complex")).text == "hard"
        assert (await served.run("x")).text == "easy"
