"""The planner: golden plans, and what must hold of every plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.blueprint import Blueprint, ModelSpec, ServeSpec
from orchestrator.plan.diff import diff, take_down
from orchestrator.plan.observed import ObservedServer, ObservedState
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import after, agent, blueprint, kiosk, model, ollama, router, rule, state, tool

PHI = ollama("phi4-mini:latest")

FIRST = """\
plan for kiosk: 6 to add, 0 to change, 0 to remove
  1. + model.phi-4-mini  bind to ollama at 127.0.0.1:11434 as phi4-mini:latest (the manifest adds it)
  2. + tool.tickets      open (tickets) (the manifest adds it)
  3. + agent.stock       start (the manifest adds it)
  4. + agent.hours       start (the manifest adds it)
  5. + router.desk       fit (lexical) (the manifest adds it)
  6. + deployment.kiosk  take requests (the manifest adds it)"""


def test_a_first_plan_makes_what_is_used_before_what_uses_it() -> None:
    """Models and tools come before agents, agents before routers, and requests last."""
    assert str(diff(kiosk(), state(PHI))) == FIRST


def test_applied_twice_the_second_plan_is_empty() -> None:
    """What runs as wanted needs nothing."""
    plan = diff(kiosk(), after(kiosk(), state(PHI)))
    assert plan.empty
    assert str(plan) == "kiosk runs as wanted: nothing to do"


def test_a_changed_prompt_replaces_only_its_agent() -> None:
    """The other agent, the tool, the model and the router stay as they are."""
    plan = diff(kiosk(instructions="Be brief."), after(kiosk(), state(PHI)))
    assert (
        str(plan)
        == """\
plan for kiosk: 0 to add, 3 to change, 0 to remove
  1. ~ agent.stock       replace (changed: instructions)
  2. ~ deployment.kiosk  send new requests to the new version (parts of it change)
  3. ~ deployment.kiosk  let requests in flight finish on revision 1 (they keep what they began with)"""
    )


def test_a_router_learns_again_once_the_server_of_its_encoder_is_there() -> None:
    """What it learned is of that model's vectors, or of nothing."""
    vectors = model("nomic-embed-text", kind="embedding", ids={"ollama": ["nomic-embed-text"]})
    front = router("desk", "stock", strategy="semantic", encoder="nomic-embed-text")
    shop = blueprint(vectors, agent("stock", reflex=[rule()]), front)
    away = after(shop, state())
    plan = diff(shop, replace(state(ollama("nomic-embed-text")), deployments=away.deployments))
    assert "~ router.desk: fit again (semantic) (changed: servers of its encoder)" in [str(step) for step in plan.steps]


def test_new_examples_of_an_agent_fit_its_router_again() -> None:
    """A router learns from the agents that it may choose."""
    plan = diff(kiosk(examples=["Is the blue one in stock?"]), after(kiosk(), state(PHI)))
    assert [str(step) for step in plan.steps][:2] == [
        "~ agent.stock: replace (changed: examples)",
        "~ router.desk: fit again (lexical) (changed: agents)",
    ]


def test_a_model_server_that_appears_is_bound() -> None:
    """Every agent of the model is made again with the new endpoint, without a new manifest."""
    plan = diff(kiosk(), replace(after(kiosk(), state()), servers=(PHI,)))
    assert (
        str(plan)
        == """\
plan for kiosk: 0 to add, 5 to change, 0 to remove
  1. ~ model.phi-4-mini  bind to ollama at 127.0.0.1:11434 as phi4-mini:latest (changed: server)
  2. ~ agent.stock       replace (changed: servers)
  3. ~ agent.hours       replace (changed: servers)
  4. ~ deployment.kiosk  send new requests to the new version (parts of it change)
  5. ~ deployment.kiosk  let requests in flight finish on revision 1 (they keep what they began with)"""
    )


def test_a_model_server_that_goes_is_unbound() -> None:
    """The plan says why, and goes on with what needs no model."""
    plan = diff(kiosk(), replace(after(kiosk(), state(PHI)), servers=()))
    assert str(plan.steps[0]) == ("~ model.phi-4-mini: go on without it (no model server answers on this device)")


def test_what_the_manifest_no_longer_has_is_removed_with_consent() -> None:
    """Removals are marked, tools are closed only after the drain."""
    smaller = blueprint(model(), agent("hours", models=["phi-4-mini"]))
    plan = diff(smaller, after(kiosk(), state(PHI)))
    assert (
        str(plan)
        == """\
plan for kiosk: 0 to add, 2 to change, 3 to remove
  1. - agent.stock       remove (the manifest no longer has it)
  2. - router.desk       remove (the manifest no longer has it)
  3. ~ deployment.kiosk  send new requests to the new version (changed: entry)
  4. ~ deployment.kiosk  let requests in flight finish on revision 1 (they keep what they began with)
  5. - tool.tickets      close (the manifest no longer has it)"""
    )
    assert [step.number for step in plan.removals] == [1, 2, 5]


def test_an_own_port_is_opened_moved_and_closed() -> None:
    """A new port is open before requests are switched; the old one closes after the drain."""
    closed, opened, moved = (blueprint(agent("a"), port=port) for port in (None, 8001, 8002))
    assert "endpoint.door: listen on 127.0.0.1:8001 (the manifest adds it)" in str(diff(opened, state()).steps[1])
    steps = [str(step) for step in diff(moved, after(opened, state())).steps]
    assert steps[0] == "+ endpoint.door: listen on 127.0.0.1:8002 (changed: port)"
    assert steps[-1] == "- endpoint.door: stop listening on its own port (changed: port)"
    sixth = replace(opened, serve=ServeSpec("::1", 8001))
    assert "endpoint.door: listen on [::1]:8001 (the manifest adds it)" in str(diff(sixth, state()).steps[1])
    steps = [str(step) for step in diff(closed, after(opened, state())).steps]
    assert [step.split(":")[0] for step in steps] == ["~ deployment.kiosk"] * 2 + ["- endpoint.door"]


def test_a_taken_port_is_said_in_the_plan() -> None:
    """The reader learns of it before anything is done."""
    plan = diff(blueprint(agent("a"), port=8001), state(taken_ports={8001: "port 8001 is taken by nginx"}))
    assert plan.notes == ("port 8001 is taken by nginx",)


def test_taking_down_drains_before_it_closes() -> None:
    """New requests are refused first, then those in flight finish, then tools close."""
    assert (
        str(take_down(after(kiosk(), state(PHI)), "kiosk"))
        == """\
plan for kiosk: 0 to add, 1 to change, 2 to remove
  1. - deployment.kiosk  take no new requests (it is taken down)
  2. ~ deployment.kiosk  let requests in flight finish on revision 1 (it is taken down)
  3. - tool.tickets      close (it is taken down)"""
    )
    assert take_down(state(), "kiosk").empty


def test_a_manifest_of_several_nodes_is_planned_with_a_note() -> None:
    """The plan is shown; that the nodes share the work is said."""
    plan = diff(replace(kiosk(), type="distributed-edge"), state(PHI))
    assert str(plan).endswith("note: this manifest spans several nodes; the plan is of one machine that does all of it")


@pytest.mark.parametrize(
    ("servers", "line"),
    [
        ((PHI,), "agent.stock: phi-4-mini (ollama at 127.0.0.1:11434)"),
        (
            (),
            (
                "agent.stock: its 1 reflex rule; with phi-4-mini (2.5 GB) it would also answer in free "
                "words: ollama pull phi4-mini:latest"
            ),
        ),
    ],
)
def test_the_plan_says_who_serves_each_agent_and_what_it_would_gain(servers: tuple[object, ...], line: str) -> None:
    """With the line to type where a model is missing."""
    assert str(diff(kiosk(), state(*servers)).serving[1]) == line  # type: ignore[arg-type] # sightings, whose type pytest does not tell


@pytest.mark.parametrize(
    ("resources", "more"), [({}, ""), ({"power_management": True}, ", on battery small (ollama at 127.0.0.1:11434)")]
)
def test_who_answers_on_battery_is_told_where_it_is_another_model(resources: dict[str, object], more: str) -> None:
    """The smaller one, as the choice of each request takes it; the plan tells both, as the power changes without a plan."""
    small = model("small", ids={"ollama": ["small"]}, builds={"q4_k_m": 500_000_000})
    made = blueprint(model(), small, agent("clerk", models=["phi-4-mini", "small"]))
    server = ollama("phi4-mini:latest", "small:latest")
    serving = diff(replace(made, resources=resources), state(server)).serving
    assert str(serving[0]) == f"agent.clerk: phi-4-mini (ollama at 127.0.0.1:11434){more}"


def test_an_agent_that_nothing_serves_is_named() -> None:
    """No rules and no model: nothing answers, and the plan says so."""
    assert str(diff(kiosk(), state()).serving[2]).startswith("agent.hours: nothing; with phi-4-mini")


@pytest.mark.parametrize(
    ("changed", "called"), [(model(keep_alive=3600.0), "keep alive"), (model(pinned=True), "pinned")]
)
def test_how_long_a_model_rests_is_no_other_server(changed: ModelSpec, called: str) -> None:
    """The agent, which holds the server, is made again all the same."""
    before, now = (blueprint(each, agent("clerk", models=["phi-4-mini"])) for each in (model(), changed))
    causes = [str(step) for step in diff(now, after(before, state(PHI))).steps if "changed" in str(step)]
    assert [cause.rpartition("(")[2] for cause in causes] == [f"changed: {called})", "changed: rest of its models)"]


def test_an_observed_state_survives_its_json_form() -> None:
    """The command line plans from the same snapshot as the runtime."""
    observed = state(PHI, taken_ports={80: "x"}, silent={"http://127.0.0.1:1": "refused"})
    observed = after(kiosk(), observed)
    assert ObservedState.from_json(observed.as_json()) == observed


def test_the_digest_of_a_plan_names_what_it_does() -> None:
    """Two looks at the same state agree; another state does not."""
    assert diff(kiosk(), state(PHI)).digest == diff(kiosk(), state(PHI)).digest
    assert diff(kiosk(), state(PHI)).digest != diff(kiosk(), state()).digest


_NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True)


@st.composite
def _blueprints(draw: st.DrawFn) -> Blueprint:
    tools = [tool(name, flag=draw(st.booleans())) for name in draw(st.lists(st.sampled_from("xyz"), unique=True))]
    agents = [
        agent(
            name,
            instructions=draw(st.sampled_from(["", "brief", "long"])),
            models=draw(st.sampled_from([[], ["phi-4-mini"]])),
            reflex=draw(st.sampled_from([[], [rule()]])),
            tools=[each["name"] for each in tools],
        )
        for name in draw(_NAMES)
    ]
    desk = router("desk", *(each["name"] for each in agents))
    return blueprint(model(), *tools, *agents, desk, port=draw(st.sampled_from([None, 8001])))


@given(_blueprints(), _blueprints(), st.sampled_from([(), (PHI,)]), st.sampled_from([(), (PHI,)]))
def test_any_change_is_planned_once(old: Blueprint, new: Blueprint, before: tuple[()], now: tuple[()]) -> None:
    """From any state to any blueprint: after the plan is carried out nothing is left to do, and equal means empty."""
    observed = replace(after(old, state(*before)), servers=now)
    plan = diff(new, observed)
    assert diff(new, after(new, observed)).empty
    assert plan.empty == (old.digest == new.digest and (before == now or not _uses_models(new)))
    assert [step.number for step in plan.steps] == list(range(1, len(plan.steps) + 1))


def _uses_models(any_blueprint: Blueprint) -> bool:
    return bool(any_blueprint.of_kind("model"))


def test_an_agent_whose_servers_call_no_functions_is_told_with_a_code() -> None:
    """Its rules answer, and the plan says what it takes; calls that come as text are enough."""
    shop = blueprint(model(), tool("tickets"), agent("desk", models=["phi-4-mini"], tools=["tickets"]))
    assert serving(shop, {"tools": "no"}) == (
        "agent.desk: nothing; [ORC421] it has tools, and ollama at 127.0.0.1:11434 calls no functions: "
        "serve its model by a server that calls functions, give it another model, or take its tools away"
    )
    for told in ({"tools": "ignored", "tool_text": "yes"}, {"tools": "yes"}, {}):
        assert serving(shop, told) == "agent.desk: phi-4-mini (ollama at 127.0.0.1:11434)"


def serving(wanted: Blueprint, capabilities: dict[str, str]) -> str:
    server = replace(ollama("phi4-mini:latest"), capabilities=capabilities)
    (told,) = diff(wanted, state(server)).serving
    return str(told)


@pytest.mark.parametrize(
    ("written", "served", "told"),
    [
        (
            16_000,
            4096,
            (
                "phi-4-mini takes 4096 tokens a request, not the 16000 of its context_length: no more are served by vllm at "
                "127.0.0.1:8000; start that with a larger context, or write 4096"
            ),
        ),
        (4096, 4096, ""),
        (2048, 4096, ""),
        (16_000, None, ""),
    ],
)
def test_a_server_that_gives_fewer_tokens_than_the_manifest_writes_is_noted(
    written: int, served: int | None, told: str
) -> None:
    """It is not changed by us, and nothing says so later but requests that do not fit."""
    there = ObservedServer(
        "vllm",
        "http://127.0.0.1:8000",
        "http://127.0.0.1:8000/v1",
        (ServedModel("microsoft/Phi-4-mini-instruct", context=served),),
    )
    shop = blueprint(model(ids={"vllm": ["microsoft/Phi-4-mini-instruct"]}, window=written, context_length=written))
    assert diff(shop, state(there)).notes == ((told,) if told else ())


@pytest.mark.parametrize(
    ("why", "note"),
    [
        (
            "it answers 401: its key is wrong or missing",
            "[ORC523] http://127.0.0.1:9 of phi-4-mini is closed to us: it answers 401: its key is wrong or missing",
        ),
        ("it gives a web page", "[ORC423] http://127.0.0.1:9 of phi-4-mini is no model server: it gives a web page"),
    ],
)
def test_a_server_that_wants_a_key_is_not_told_to_be_no_server(why: str, note: str) -> None:
    """Nobody can know what it is without its key."""
    shop = blueprint(model(endpoint="http://127.0.0.1:9"), agent("desk", models=["phi-4-mini"]))
    assert diff(shop, state(silent={"http://127.0.0.1:9": why})).notes == (note,)


def test_a_server_that_is_too_old_is_told_with_a_code() -> None:
    """Where it serves something of this manifest, and only there."""
    shop = blueprint(model(), agent("desk", models=["phi-4-mini"]))
    note = "version 0.1.48 is too old: nothing is known of versions before 0.5.0"
    old = replace(ollama("phi4-mini:latest"), notes=(note,))
    assert diff(shop, state(old)).notes == (f"[ORC422] ollama at http://127.0.0.1:11434: {note}",)
    assert diff(shop, state(replace(old, models=()))).notes == ()


@pytest.mark.parametrize("changed", [{"most_escalations": 1}, {"people": {"queue": "lead"}}])
def test_what_only_the_deployment_as_such_holds_is_part_of_the_plan(changed: dict[str, Any]) -> None:
    """How often a run may go up, who is asked: a change of it alone is a change."""
    before = blueprint(agent("stock", reflex=[rule()]))
    wanted = replace(before, **changed)
    assert diff(before, after(before, state())).empty
    assert {step.operation.address for step in diff(wanted, after(before, state())).steps} == {"deployment.kiosk"}
