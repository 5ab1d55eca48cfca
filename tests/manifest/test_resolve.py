"""What a short manifest is taken to mean, and that each inferred value says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.errors import ManifestError
from orchestrator.manifest.load import load_texts
from orchestrator.manifest.resolve import resolve
from orchestrator.manifest.resolved import Resolved
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.model import ModelEntry

HEAD = "deployment:\n  type: single-device\n"


def meant(body: str, folder: Path = Path("/nowhere")) -> Resolved:
    """Resolve a manifest whose deployment has these keys, indented by two."""
    return resolve(load_texts({"shop.yaml": HEAD + body}, folder, {}))


def agent_of(found: Resolved, name: str) -> AgentEntry:
    """One of its agents."""
    return next(a for a in found.manifest.deployment.agents if isinstance(a, AgentEntry) and a.name == name)


def why(found: Resolved, subject: str, key: str) -> str:
    """The reason of an inferred value, or an empty text."""
    return next((one.why for one in found.inferences if (one.subject, one.key) == (subject, key)), "")


def codes(found: Resolved) -> list[str]:
    """The codes of what it warns of."""
    return [one.code for one in found.diagnostics]


def test_an_unknown_name_gets_the_neutral_specialist() -> None:
    """It can answer with a model, and says so."""
    found = meant("  agents: [gardener]\n")
    assert agent_of(found, "gardener").instructions
    assert why(found, "agent.gardener", "template") == "no template has its name: the neutral one"


def test_an_agent_that_says_what_it_is_for_gets_no_template() -> None:
    """Also when its name is one of the catalogue's."""
    found = meant("  agents: [{name: scheduling, instructions: Plan.}]\n")
    agent = agent_of(found, "scheduling")
    assert (agent.template, agent.reflex, agent.tools) == (None, [], [])


def test_own_keys_stay_and_the_template_fills_the_rest() -> None:
    """Own reflex rules come first; those of the template answer only without a model, and only with the tools that are there."""
    body = """\
  agents:
    - name: help
      template: technical-support
      description: Mine.
      tools: [desk]
      reflex: [{when: {regex: hello}, say: hi}]
  tools: [{name: desk, use: tickets}]
"""
    found = meant(body)
    agent = agent_of(found, "help")
    assert (agent.description, agent.tools, agent.reflex[0].say) == ("Mine.", ["desk"], "hi")
    rules = agent.reflex[1:]
    assert rules and all(rule.without_model for rule in rules) and not agent.reflex[0].without_model
    assert {rule.call.split(".")[0] for rule in rules if rule.call} == {"desk"}
    assert why(found, "agent.help", "skills") == 'from the template "technical-support"'


def test_free_text_under_role_becomes_instructions_with_a_note() -> None:
    """As the seed document writes it."""
    found = meant("  agents: [{name: a, role: Handle customer inquiries}]\n")
    agent = agent_of(found, "a")
    assert (agent.role, agent.instructions) == ("specialist", "Handle customer inquiries")
    assert codes(found) == ["ORC223"]


def test_other_spellings_mean_the_same() -> None:
    """model_provider, model_id, context and routing_strategy."""
    body = """\
  models: [{alias: mine, model_provider: ollama, model_id: "mine:1"}]
  agents:
    - {name: a, context: Be brief., model: mine}
    - {name: b, context: Be long., model: mine}
    - {name: front, role: router, routing_strategy: intent-based, default: a}
"""
    found = meant(body)
    [model] = [model for model in found.manifest.deployment.models if isinstance(model, ModelEntry)]
    assert (model.provider, model.model, model.model_provider, model.model_id) == ("ollama", "mine:1", None, None)
    assert (agent_of(found, "a").instructions, agent_of(found, "front").strategy) == ("Be brief.", "cascade")


@pytest.mark.parametrize(
    ("models", "served", "reason"),
    [
        ("[]", [], ""),
        ("[phi-4-mini]", ["phi-4-mini"], "the only model of the manifest"),
        ("[phi-4-mini, qwen3-4b]", ["phi-4-mini"], "the first model of the manifest"),
        ("[phi-4-mini, {alias: qwen3-4b, primary: true}]", ["qwen3-4b"], "the primary model"),
        (
            "[{alias: phi-4-mini, secondary: true}, qwen3-4b]",
            ["qwen3-4b"],
            "the first model of the manifest that is no secondary",
        ),
        (
            "[{alias: phi-4-mini, primary: true}, {alias: qwen3-4b, tasks: [Technical_Support]}]",
            ["qwen3-4b"],
            "its tasks claim what the agent is specialised for",
        ),
        ("[bge-m3]", [], ""),
        ("[{alias: gpt, provider: openai, model: gpt-x, zone: cloud}]", [], ""),
    ],
)
def test_an_agent_without_a_model_is_served(models: str, served: list[str], reason: str) -> None:
    """By the model that claims its work, else the primary, else the first; never by an embedder or the cloud."""
    found = meant(f"  models: {models}\n  agents: [{{name: a, instructions: x, specialized_for: technical-support}}]\n")
    assert agent_of(found, "a").model == served
    assert why(found, "agent.a", "model") == reason


@pytest.mark.parametrize(
    ("models", "more", "reasons"),
    [
        ("[phi-4-mini, {alias: qwen3-4b, primary: true}]", "", {"a": "the primary model"}),
        ("[phi-4-mini, qwen3-4b]", ", model: qwen3-4b", {}),
        ("[phi-4-mini]", "", {}),
        ("[phi-4-mini, bge-m3]", "", {}),
        ("[]", "", {}),
    ],
)
def test_a_reason_is_kept_where_a_model_was_chosen_of_several(models: str, more: str, reasons: dict[str, str]) -> None:
    """One that the agent names, or the only one that could be, was not chosen."""
    assert meant(f"  models: {models}\n  agents: [{{name: a, instructions: x{more}}}]\n").reasons == reasons


def test_the_only_model_of_a_node_is_a_choice_where_the_manifest_has_more() -> None:
    """The agent has it for where it runs."""
    body = """\
  models: [phi-4-mini, qwen3-4b]
  nodes: [{id: till, models: [qwen3-4b], agents: [a]}, {id: back, models: [phi-4-mini], agents: [b]}]
  agents: [{name: a, instructions: x}, {name: b, instructions: y}]
"""
    text = "deployment:\n  type: distributed-edge\n" + body
    found = resolve(load_texts({"shop.yaml": text}, Path("/nowhere"), {}))
    assert found.reasons == {"a": "the only model of its node till", "b": "the only model of its node back"}


def test_the_routers_model_is_the_one_for_routing() -> None:
    """What the manifest says counts before what the catalogue says; a router without one needs no model."""
    body = "  models: [granite-3.3-2b, {alias: phi-4-mini, tasks: [routing]}]\n  agents: [orders, sales]\n"
    assert agent_of(meant(body), "router").model == ["phi-4-mini"]
    assert agent_of(meant("  models: [granite-3.3-2b]\n  agents: [orders, sales]\n"), "router").model == [
        "granite-3.3-2b"
    ]
    assert agent_of(meant("  models: [phi-4]\n  agents: [orders, sales]\n"), "router").model == []


@pytest.mark.parametrize(
    ("written", "more", "models"),
    [
        ("", "", []),
        (", tasks: [conversation]", "", ["e"]),
        (", primary: true", "", ["e"]),
        ("", "    - {name: sales, instructions: Sell., model: e}\n", ["e"]),
    ],
)
def test_what_is_known_only_as_an_encoder_answers_nobody(written: str, more: str, models: list[str]) -> None:
    """An agent gets it only where something says that it can answer."""
    model = f"{{alias: e, provider: openai-compatible, model: x, endpoint: 'http://127.0.0.1:1/v1'{written}}}"
    front = "{name: front, role: router, encoder: e}"
    found = meant(f"  models: [{model}]\n  agents:\n    - {front}\n    - {{name: a, instructions: Help.}}\n{more}")
    assert agent_of(found, "a").model == models
    assert why(found, "model.e", "tasks") == ("" if models else "a router has it as its encoder")


def test_a_model_for_embeddings_alone_answers_nobody_that_does_not_name_it() -> None:
    """Under whatever alias; who names it is told. One that does something else too may be chosen."""
    vectors = (
        "{alias: e, provider: openai-compatible, model: x, endpoint: 'http://127.0.0.1:1/v1', tasks: [Embeddings]}"
    )
    found = meant(f"  models: [{vectors}, phi-4-mini]\n  agents: [orders]\n")
    assert agent_of(found, "orders").model == ["phi-4-mini"]
    assert agent_of(meant(f"  models: [{vectors}]\n  agents: [orders]\n"), "orders").model == []
    both = vectors.replace("[Embeddings]", "[embedding, conversation]")
    assert agent_of(meant(f"  models: [{both}]\n  agents: [orders]\n"), "orders").model == ["e"]
    with pytest.raises(ManifestError, match="e gives vectors for texts and cannot answer"):
        meant(f"  models: [{vectors}]\n  agents: [{{name: orders, model: e}}]\n")


ENCODER = """\
  models:
    - {alias: emb, provider: openai-compatible, model: emb, endpoint: 'http://127.0.0.1:1'}
    - {alias: talk, provider: openai-compatible, model: talk, endpoint: 'http://127.0.0.1:1'}
  agents:
    - {name: front, role: router, encoder: emb}
    - {name: a, examples: [one], instructions: x}
    - {name: b, examples: [two], instructions: y}
"""


def test_a_model_that_is_an_encoder_alone_answers_nobody() -> None:
    found = meant(ENCODER)
    assert (agent_of(found, "a").model, agent_of(found, "b").model) == (["talk"], ["talk"])
    assert why(found, "model.emb", "tasks") == "a router has it as its encoder"
    without = meant(ENCODER.replace("    - {alias: talk", "    # - {alias: talk"))
    assert (agent_of(without, "a").model, agent_of(without, "b").model) == ([], [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{name: a, ", "{name: a, model: emb, "),
        ("model: emb,", "model: emb, primary: true,"),
        ("model: emb,", "model: emb, tasks: [chat],"),
        ("model: talk,", "model: talk, fallback: [emb],"),
        ("{name: a, ", "{name: a, escalate_to: b, escalate_when: [{judge: {model: emb}}], "),
    ],
)
def test_one_that_is_named_for_answers_too_stays_what_it_is(old: str, new: str) -> None:
    assert why(meant(ENCODER.replace(old, new, 1)), "model.emb", "tasks") == ""


def test_a_router_leads_to_every_specialist_and_takes_the_defaults() -> None:
    """Escalations are no routes."""
    body = """\
  agents: [orders, sales, {name: boss, role: escalation}, {name: front, role: router}]
  routing: {strategy: lexical, default: sales, confidence: 60%}
  escalation: {to: boss, when: [error]}
"""
    found = meant(body)
    front = agent_of(found, "front")
    assert (front.routes, front.strategy, front.default, front.confidence) == (
        ["orders", "sales"],
        "lexical",
        "sales",
        0.6,
    )
    assert (agent_of(found, "orders").escalate_to, agent_of(found, "orders").escalate_when) == ("boss", ["error"])
    assert agent_of(found, "boss").escalate_to is None
    assert "router" not in [agent.name for agent in found.manifest.deployment.agents if isinstance(agent, AgentEntry)]


def test_the_added_router_takes_a_name_that_is_free() -> None:
    """An agent may be called router."""
    found = meant("  agents: [{name: router, instructions: I sell routers.}, sales]\n")
    assert agent_of(found, "main-router").routes == ["router", "sales"]


def test_an_escalation_without_a_model_is_a_person_with_tickets() -> None:
    """With instructions it is an agent like others."""
    body = """\
  models: [phi-4-mini]
  agents: [orders, {name: boss, role: escalation}, {name: big, role: escalation, instructions: x}]
"""
    found = meant(body)
    boss, big = agent_of(found, "boss"), agent_of(found, "big")
    assert boss.human is not None and boss.tools == ["tickets"]
    assert big.human is None and big.model == ["phi-4-mini"]


def test_document_sets_and_the_knowledge_tool_belong_together(tmp_path: Path) -> None:
    """Sets give the tool; the tool without sets gives all of them."""
    (tmp_path / "docs").mkdir()
    body = """\
  knowledge: [{name: faq, path: docs}, {name: rules, path: docs}]
  agents:
    - {name: a, instructions: x, knowledge: [faq]}
    - {name: b, instructions: x, tools: [knowledge]}
"""
    found = meant(body, tmp_path)
    assert agent_of(found, "a").tools == ["knowledge"]
    assert agent_of(found, "b").knowledge == ["faq", "rules"]


def test_a_model_that_only_an_agent_names_is_added_from_the_catalogue() -> None:
    """And an alias in another spelling is known."""
    found = meant("  agents: [{name: a, instructions: x, model: [qwen3-4b, phi4-mini]}]\n")
    assert [model.alias for model in found.manifest.deployment.models if isinstance(model, ModelEntry)] == [
        "qwen3-4b",
        "phi4-mini",
    ]


def test_an_intent_takes_its_examples_from_the_skill_of_its_name() -> None:
    """So they are written once."""
    body = """\
  agents:
    - name: a
      skills: [{name: refund, examples: [I want my money back]}]
      reflex: [{when: {intent: refund}, say: ok}]
"""
    assert agent_of(meant(body), "a").reflex[0].when.examples == ["I want my money back"]


def test_a_path_with_nothing_there_is_a_warning(tmp_path: Path) -> None:
    """A writable store may come into being later; a folder of documents should be there."""
    body = "  knowledge: [{name: faq, path: docs}]\n  agents: [{name: a, instructions: x, knowledge: [faq]}]\n"
    assert codes(meant(body, tmp_path)) == ["ORC250"]


def test_python_tools_may_come_from_further_folders(tmp_path: Path) -> None:
    """Modules, packages, and modules inside packages; nothing is run to find out."""
    (tmp_path / "more" / "kit").mkdir(parents=True)
    (tmp_path / "here.py").write_text("raise SystemExit\ndef one(): ...\n")
    (tmp_path / "more" / "kit" / "__init__.py").write_text("def two(): ...\n")
    (tmp_path / "more" / "kit" / "deep.py").write_text("from x import three\n")
    body = """\
  security: {tool_roots: [more]}
  tools:
    - {name: a, python: "here:one"}
    - {name: b, python: "kit:two"}
    - {name: c, python: "kit.deep:three"}
  agents: [{name: a, instructions: x, tools: [a, b, c]}]
"""
    assert codes(meant(body, tmp_path)) == []


def test_a_prompt_may_not_be_a_link_out_of_the_folder(tmp_path: Path) -> None:
    """Where a link leads is looked at, not its name."""
    from orchestrator.core.errors import ManifestError
    from orchestrator.manifest.load import load

    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "inside" / "prompt.md").symlink_to(tmp_path / "secret.md")
    (tmp_path / "inside" / "shop.yaml").write_text(HEAD + "  agents: [{name: a, instructions: 'file:prompt.md'}]\n")
    with pytest.raises(ManifestError) as caught:
        load([str(tmp_path / "inside" / "shop.yaml")], environment={})
    assert [one.code for one in caught.value.diagnostics] == ["ORC240"]


@pytest.mark.parametrize(
    ("stem", "name"), [("shop", "shop"), ("shop.v2", "shop.v2"), ("my shop (new)", "my-shop-new"), ("Ünter", "nter")]
)
def test_the_files_stem_is_the_name(stem: str, name: str, tmp_path: Path) -> None:
    """Made to fit where it must be, with a note."""
    loaded = load_texts({f"{stem}.yaml": HEAD + "  agents: [a]\n"}, tmp_path, {})
    assert loaded.name == name
    assert [one.code for one in loaded.diagnostics] == ([] if stem == name else ["ORC151"])


@pytest.mark.parametrize("stem", ["---", "(…)"])
def test_a_stem_without_a_letter_is_no_name(stem: str, tmp_path: Path) -> None:
    """Then metadata.name is needed."""
    from orchestrator.core.errors import ManifestError

    with pytest.raises(ManifestError) as caught:
        load_texts({f"{stem}.yaml": HEAD + "  agents: [a]\n"}, tmp_path, {})
    assert [one.code for one in caught.value.diagnostics] == ["ORC151"]
