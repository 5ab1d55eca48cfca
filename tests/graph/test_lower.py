"""From a graph to its blueprint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.graph.compile import compile_manifest
from orchestrator.manifest.located import Located, locate
from orchestrator.serve.doubt.abstention import FIELD, WORD
from orchestrator.serve.doubt.signs import LONGEST, QUANTILE, SAMPLES, TEMPERATURE
from tests.graph.small import DESK, FOLDER, compiled, manifest


def _spec(blueprint: Blueprint, address: str) -> dict[str, Any]:
    return dict(blueprint.elements[address].spec)


def test_every_vertex_but_nodes_becomes_an_element() -> None:
    """A blueprint says what runs; where is the placement's business."""
    blueprint = compiled(**DESK, nodes=[{"id": "edge-1", "agents": ["faq"]}]).blueprint
    assert sorted(blueprint.elements) == [
        "agent.faq",
        "agent.orders",
        "agent.person",
        "knowledge.docs",
        "model.large",
        "model.small",
        "router.front",
        "tool.database",
    ]
    assert blueprint.entry == "router.front"


def test_an_element_needs_what_it_uses_and_where_it_leads() -> None:
    """Needs tell the order in which parts must be ready."""
    elements = compiled(**DESK).blueprint.elements
    assert elements["agent.orders"].needs == ("model.large", "model.small", "tool.database")
    assert elements["router.front"].needs == ("model.small", "agent.orders", "agent.faq")


def test_the_stored_form_reads_back_the_same() -> None:
    """Through JSON, as the store keeps it."""
    blueprint = compiled(**DESK).blueprint
    again = Blueprint.from_json(json.loads(json.dumps(blueprint.as_json())))
    assert again.as_json() == blueprint.as_json()
    assert again.digest == blueprint.digest


def test_only_the_parts_that_change_have_another_digest() -> None:
    """What the planner compares."""
    before = compiled(**DESK).blueprint.elements
    agents = [{**agent, "temperature": 0.5} if agent["name"] == "faq" else agent for agent in DESK["agents"]]
    after = compiled(**{**DESK, "agents": agents}).blueprint.elements
    changed = [address for address, element in after.items() if element.digest != before[address].digest]
    assert changed == ["agent.faq"]


@pytest.mark.parametrize(
    ("sign", "written"),
    [
        ("agreement", {"samples": SAMPLES, "temperature": TEMPERATURE, "longest": LONGEST, "sure": None}),
        ("low_confidence", {"measure": "margin", "quantile": QUANTILE, "threshold": None}),
        ("abstains", {"word": WORD, "field": FIELD}),
    ],
)
def test_a_sign_with_what_is_usual_is_the_sign_alone(sign: str, written: dict[str, Any]) -> None:
    """The explained manifest leaves out what is usual, and must mean the same; what is usual is what the engine takes."""

    def gated(when: Any) -> Blueprint:
        agents = [{**each, "escalate_when": [when]} if each["name"] == "orders" else each for each in DESK["agents"]]
        return compiled(**{**DESK, "agents": agents}).blueprint

    other = {"word": "NO"} if sign == "abstains" else {"threshold": 0.4}
    plain = gated({sign: {}})
    assert gated({sign: written}).digest == plain.digest == gated(sign).digest
    assert _spec(plain, "agent.orders")["gate"] == {sign: {}}
    assert _spec(gated({sign: {**written, **other}}), "agent.orders")["gate"] == {sign: other}


def test_paths_count_from_the_manifests_folder() -> None:
    """A blueprint holds absolute paths only, and where they lead is found out before."""
    written = manifest(**DESK)
    told = Located("/shop", {"data.csv": "/a/data.csv", "docs": "/b"})
    moved = compile_manifest(written, "shop", told, lambda address: None).blueprint
    assert _spec(moved, "tool.database")["options"]["path"] == "/a/data.csv"
    assert _spec(moved, "knowledge.docs")["path"] == "/b"
    blueprint = compiled(**DESK, security={"tool_roots": ["lib"]}).blueprint
    assert _spec(blueprint, "tool.database")["options"]["path"] == "/shop/data.csv"
    assert _spec(blueprint, "knowledge.docs")["path"] == "/shop/docs"
    assert blueprint.tool_roots == ("/shop/lib",)
    assert blueprint.folder == "/shop"


def test_a_known_model_brings_its_ids_and_context() -> None:
    """From the catalogue, for each make of server."""
    models = [{"alias": "phi-4-mini"}, {"alias": "mine", "provider": "ollama", "model": "mine:1b"}]
    blueprint = compiled(models=models, agents=[{"name": "a", "model": ["phi-4-mini", "mine"]}]).blueprint
    known, own = _spec(blueprint, "model.phi-4-mini"), _spec(blueprint, "model.mine")
    assert "ollama" in known["ids"] and known["context_length"] > 4096
    assert own["ids"] == {"ollama": ["mine:1b"]} and own["context_length"] is None


def test_why_an_agent_has_its_model_is_in_the_blueprint_only_where_one_was_chosen() -> None:
    """So that the blueprints of all others keep their digests."""
    written = manifest(**DESK)

    def lowered(reasons: Mapping[str, str]) -> Blueprint:
        return compile_manifest(written, "shop", locate(written, FOLDER), lambda address: None, reasons).blueprint

    plain, told = compiled(**DESK).blueprint, lowered({"faq": "the primary model"})
    assert "model_why" not in _spec(plain, "agent.faq")
    assert lowered({}).digest == plain.digest
    assert _spec(told, "agent.faq") == {**_spec(plain, "agent.faq"), "model_why": "the primary model"}
    assert told.elements["agent.orders"].digest == plain.elements["agent.orders"].digest


def test_a_cascade_asks_a_model_only_where_the_router_has_one() -> None:
    """The intent stage needs a model."""
    router = {"name": "front", "role": "router", "routes": ["a"]}
    target = {"name": "a"}
    bare = _spec(compiled(agents=[router, target]).blueprint, "router.front")
    with_model = compiled(agents=[{**router, "model": "m"}, target], models=[{"alias": "m"}])
    asking = _spec(with_model.blueprint, "router.front")
    assert (bare["strategy"], bare["stages"]) == ("cascade", ["rules", "keyword", "lexical"])
    assert asking["stages"] == ["rules", "keyword", "lexical", "intent"]


def test_an_encoder_adds_its_stage_and_a_folder_counts_from_the_manifest() -> None:
    """One that no stage asks is not opened."""
    front = {"name": "front", "role": "router", "routes": ["b", "c"], "encoder": "./mine", "model": "m"}
    inner = {"name": "b", "role": "router", "routes": ["a"], "strategy": "semantic"}
    words = {"name": "c", "role": "router", "routes": ["a"], "stages": ["rules", "lexical"]}
    written = manifest(agents=[front, inner, words, {"name": "a"}], models=[{"alias": "m"}])
    blueprint = compile_manifest(
        written, "shop", Located("/srv", {"./mine": "/srv/mine"}), lambda address: None
    ).blueprint
    specs = {name: _spec(blueprint, f"router.{name}") for name in ("front", "b", "c")}
    assert specs["front"]["stages"] == ["rules", "keyword", "lexical", "semantic", "intent"]
    assert [specs[name]["encoder"] for name in ("front", "b", "c")] == ["/srv/mine", "minilm", ""]


def test_an_unsure_router_does_the_safest_thing_that_it_can() -> None:
    """Its default, else whom it escalates to, else it asks back."""
    target = {"name": "a"}
    unsure = [
        _spec(compiled(agents=[{"name": "r", "role": "router", "routes": ["a"], **keys}, target]).blueprint, "router.r")
        for keys in ({"default": "a"}, {"escalate_to": "a"}, {})
    ]
    assert [spec["on_unsure"] for spec in unsure] == ["default", "escalate", "ask"]


def test_privacy_and_compliance_make_an_agent_restricted_and_offline() -> None:
    """Either of them."""
    agents = [{"name": "a", "privacy_mode": True}, {"name": "b", "compliance": ["HIPAA"]}, {"name": "c"}]
    blueprint = compiled(agents=agents).blueprint
    specs = [_spec(blueprint, f"agent.{name}") for name in "abc"]
    assert [(spec["data_class"], spec["offline"]) for spec in specs] == [
        ("restricted", True),
        ("restricted", True),
        ("internal", False),
    ]


def test_the_seeds_priorities_are_classes_of_the_queue() -> None:
    """high, normal, low."""
    agents = [{"name": name, "priority": name} for name in ("high", "normal", "low")]
    blueprint = compiled(agents=agents).blueprint
    assert [_spec(blueprint, f"agent.{agent['name']}")["priority"] for agent in agents] == [
        "interactive",
        "default",
        "bulk",
    ]


def test_what_an_agent_is_specialised_for_are_words_to_route_by() -> None:
    """Underscores are blanks."""
    blueprint = compiled(agents=[{"name": "a", "keywords": ["visit"], "specialized_for": "patient_intake"}]).blueprint
    assert _spec(blueprint, "agent.a")["keywords"] == ["visit", "patient intake"]


def test_a_python_tool_keeps_its_functions_and_a_built_in_its_allowed_ones() -> None:
    """``functions`` means two things, by the kind of the tool."""
    tools = [
        {"name": "quote", "python": "quotes:make", "functions": ["send"]},
        {"name": "stock", "use": "database", "functions": ["find"]},
    ]
    blueprint = compiled(agents=[{"name": "a", "tools": ["quote", "stock"]}], tools=tools).blueprint
    python, built_in = _spec(blueprint, "tool.quote"), _spec(blueprint, "tool.stock")
    assert (python["kind"], python["options"]["functions"], python["allowed"]) == ("python", ["send"], [])
    assert (built_in["kind"], built_in["options"], built_in["allowed"]) == ("database", {}, ["find"])


def test_what_needs_people_is_in_the_blueprint_and_where_nothing_does_nothing_is() -> None:
    """So that a stored revision of an older version keeps its digests."""
    plain = compiled(**DESK).blueprint
    assert "people" not in plain.as_json()
    assert "approval" not in _spec(plain, "tool.database")
    assert _spec(plain, "agent.person")["human"] == {"queue": "front-desk", "say": ""}
    person = {"name": "p", "role": "escalation", "human": {"expires": "2h"}}
    agents = [{"name": "a", "tools": ["mail"], "escalate_to": "p", "examples": ["send it"]}, person]
    tools = [{"name": "mail", "use": "email", "approval": "writes"}]
    hook = {"url": "env:HOOK", "secret": "env:KEY"}
    people = {"expires": "4h", "most_waiting": 7, "notify": {"webhook": hook}}
    asked = compiled(agents=agents, tools=tools, people=people).blueprint
    assert asked.people == {"expires": 14_400.0, "most_waiting": 7, "notify": {"webhook": hook}}
    assert _spec(asked, "tool.mail")["approval"] == "writes"
    assert _spec(asked, "tool.mail")["options"] == {}
    assert _spec(asked, "agent.p")["human"]["expires"] == 7_200.0
    again = Blueprint.from_json(json.loads(json.dumps(asked.as_json())))
    assert (again.people, again.digest) == (asked.people, asked.digest)
