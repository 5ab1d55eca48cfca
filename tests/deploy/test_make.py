"""Parts of a deployment are made from their specs."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final, cast

import pytest

from orchestrator.core.blueprint import AgentSpec, ModelSpec, ToolSpec
from orchestrator.deploy.deployment import Agent, Binding, CallSettings
from orchestrator.deploy.make import HAND_OVER, endpoints_of, make_agent, make_router, schema_check
from orchestrator.plugins.strategies.lexical import fit_lexical
from orchestrator.ports.strategy import Candidate, InstantStrategy, Strategy, StrategyOptions
from orchestrator.ports.tool import Tool
from orchestrator.serve.steps.plain import DEEPEST
from tests.serve.engine.parts import FakeTool, agent_spec, model_spec, router_spec


def fit(candidates: tuple[Candidate, ...]) -> InstantStrategy:
    """As the runtime does."""
    return fit_lexical(candidates, StrategyOptions())


ONE: Final = {"m": Binding("m", ("m@1",))}


def made(
    spec: AgentSpec,
    *,
    allowed: tuple[str, ...] = (),
    models: dict[str, ModelSpec] | None = None,
    bindings: Mapping[str, Binding] = ONE,
) -> Agent:
    """An agent that may use a tool with two functions, on one endpoint."""
    tool = FakeTool("shop", {"find": 1, "count": 2})
    tool_spec = {"name": "shop", "kind": "python", "options": {}, "allowed": list(allowed), "timeout": 4.0}
    return make_agent(
        spec,
        bindings,
        models or {"m": model_spec()},
        {"tool.shop": (cast(ToolSpec, tool_spec), cast(Tool, tool))},
        fit,
    )


def test_endpoints_are_those_of_the_models_in_order_then_of_their_fallbacks_each_once() -> None:
    bindings = {
        "a": Binding("a", ("1", "2")),
        "b": Binding("b", ("2", "3")),
        "c": Binding("c", ("1", "4")),
        "d": Binding("d", (), "d is not served"),
    }
    models = {"a": model_spec("a", fallback=["c", "d"]), "b": model_spec("b", fallback=["e"])}
    assert endpoints_of(["a", "b"], bindings, models) == ("1", "2", "3", "4")


@pytest.mark.parametrize("allowed", [("find",), ("shop.find",)])
def test_only_functions_that_are_allowed_are_offered(allowed: tuple[str, ...]) -> None:
    agent = made(agent_spec("a", tools=["shop"]), allowed=allowed)
    assert list(agent.functions) == ["shop_find"] == [schema.name for schema in agent.schemas]
    assert agent.tool_timeouts == {"shop.find": 4.0}


def test_a_hand_over_is_offered_beside_functions_where_the_agent_escalates_on_request() -> None:
    assert made(agent_spec("a", tools=["shop"], escalate_to="b")).schemas[-1] is HAND_OVER
    assert HAND_OVER not in made(agent_spec("a", tools=["shop"], escalate_to="b", escalate_when=["error"])).schemas
    assert made(agent_spec("a", escalate_to="b")).schemas == ()


def test_a_prompt_without_a_template_is_encoded_once_for_all_runs() -> None:
    agent = made(agent_spec("a", instructions="Be kind."))
    assert agent.fixed_prompt is not None and agent.fixed_prompt.encoded() is agent.fixed_prompt.encoded()
    assert made(agent_spec("a", instructions="You are {{ agent }}.")).fixed_prompt is None
    assert made(agent_spec("a", instructions="{# only a note #}Be kind.")).fixed_prompt is None


def test_each_model_has_its_own_settings_and_the_agents_go_before_them() -> None:
    models = {
        "m": model_spec(options={"temperature": 0.9, "top_k": 3, "stop": "END", "seed": None}),
        "n": model_spec("n", options={"temperature": 0.5, "seed": 4, "max_tokens": 9}),
    }
    bindings = {"m": Binding("m", ("m@1", "m@2")), "n": Binding("n", ("n@1", "m@2"))}
    agent = made(agent_spec("a", models=["m", "n"], max_tokens=7), models=models, bindings=bindings)
    assert agent.call == CallSettings(0.9, 7, None, ("END",), {"top_k": 3})
    assert agent.calls == {"n@1": CallSettings(0.5, 7, 4)}, "of two aliases of one endpoint the preferred one counts"
    assert made(agent_spec("a", models=["m"]), models=models, bindings=bindings).calls == {}
    changed = agent.call.with_options({"temperature": 0, "top_p": 1, "stop": ["A", "B"]})
    assert changed == CallSettings(0, 7, None, ("A", "B"), {"top_k": 3, "top_p": 1})


def test_an_agent_without_an_endpoint_says_why() -> None:
    spec = agent_spec("a", models=["m", "n"])
    bindings = {"m": Binding("m", (), "ollama pull m"), "n": Binding("n", ())}
    agent = make_agent(spec, bindings, {"m": model_spec(), "n": model_spec("n")}, {}, fit)
    assert (agent.endpoints, agent.missing) == ((), "ollama pull m; n is not bound")


def test_a_value_that_does_not_fit_its_schema_is_told_with_the_place() -> None:
    check = schema_check({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    assert check({"n": 1}) == ""
    assert check({"n": "x"}) == "$.n: 'x' is not of type 'integer'"
    assert check({}) == "$: 'n' is a required property"


def test_nothing_that_a_schema_refers_to_is_fetched() -> None:
    """Such a manifest is refused; what was applied before that was so asks nobody either, and says why nothing fits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/order.json"
        fault = f"'{address}' is not in the schema itself, and nothing is fetched"
        assert schema_check({"$ref": address})({"n": 1}) == f"no value can be checked against it: {fault}"
        with pytest.raises(BlockingIOError):
            listener.accept()


TOO_DEEP: Final = "the value is nested too deep for it to be checked"


def test_a_schema_that_goes_round_is_followed_by_nobody() -> None:
    """That would end in a library's own fault, which no run can handle."""
    fault = "a $ref leads back to itself without going further into the value"
    assert schema_check({"$ref": "#/x", "x": {"$ref": "#/x"}})(5) == f"no value can be checked against it: {fault}"


@pytest.mark.parametrize("around", [1, 2, 3, 8, 20], ids=lambda around: f"{around}-around")
def test_a_value_that_is_too_deep_to_be_checked_does_not_fit(around: int, capfd: pytest.CaptureFixture[str]) -> None:
    """As deep as answers may be, against a schema that takes some steps for each level: whichever part of the library notices."""
    schema: dict[str, Any] = {"properties": {"a": {"$ref": "#"}}, "required": []}
    for _ in range(around):
        schema = {"oneOf": [schema]}
    value: dict[str, Any] = {}
    for _ in range(DEEPEST - 1):
        value = {"a": value}
    said = schema_check(schema)(value)
    assert said == TOO_DEEP or (said == "" and around < 8)
    assert schema_check(schema)({"a": {"a": {}}}) == ""
    capfd.readouterr()  # a compiled part may have said so too, at length


def test_a_router_stands_for_everything_behind_it() -> None:
    seen: dict[str, Candidate] = {}

    def remember(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Strategy:
        seen.update({each.name: each for each in candidates})
        return fit_lexical(candidates, options)

    targets: dict[str, Any] = {
        "inner": router_spec("inner", {"sales": "x", "help": "y"}),
        "sales": agent_spec(
            "sales", examples=["buy"], keywords=["price"], skills=[{"name": "sell", "examples": ["s"]}]
        ),
        "help": agent_spec("help", examples=["broken"]),
    }
    router = make_router(router_spec("front", {"inner": "z", "help": "h"}), targets, remember, ("m@1",))
    assert seen["inner"].examples == ("buy", "broken") and seen["inner"].keywords == ("price",)
    assert [skill.name for skill in seen["inner"].skills] == ["sell"]
    assert cast(Any, router.instant) is router.strategy and router.endpoints == ("m@1",)


def test_what_rules_answer_is_told_once_and_never_against_what_an_agent_states() -> None:
    """Agents with the same tool have the same rules: the first route gets what both would answer alike."""
    seen: dict[str, Candidate] = {}

    def remember(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Strategy:
        seen.update({each.name: each for each in candidates})
        return fit_lexical(candidates, options)

    def rule(call: str, *examples: str) -> dict[str, Any]:
        return {"call": call, "when": {"regex": "x", "examples": list(examples)}}

    listing = rule("tickets.list", "List tickets!", "what time is it")
    targets: dict[str, Any] = {
        "desk": agent_spec("desk", reflex=[listing, rule("mail.list", "show all"), {"call": None, "when": {}}]),
        "repair": agent_spec("repair", reflex=[listing, rule("tickets.show", "list tickets", "show it")]),
        "hours": agent_spec("hours", examples=["What time is it?"], reflex=[rule("clock.now", "show all")]),
        "inner": router_spec("inner", {"repair": "r", "hours": "h"}),
    }
    make_router(router_spec("front", {"desk": "d", "inner": "i"}), targets, remember, ())
    assert seen["desk"].answers == ("List tickets!", "show all")
    assert seen["inner"].answers == ("list tickets", "show it", "show all")
