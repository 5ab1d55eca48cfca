"""The two manifests that everything began with: kept word for word, valid, and what they are taken to mean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.view.explained import explained
from orchestrator.core.diagnostic import Severity
from orchestrator.manifest.load import load_texts
from orchestrator.manifest.resolve import resolve
from orchestrator.manifest.resolved import Resolved
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.tool import ToolEntry
from tests.manifest.golden import ROOT, compare, resolved

SINGLE = """\
deployment:
  type: single-device
  hardware: edge-device
  models:
    - alias: "phi-4-mini"
      primary: true
      tasks: ["conversation", "reasoning"]
    - alias: "qwen2.5-0.5b"
      secondary: true
      tasks: ["routing", "classification"]
  agents:
    - name: "primary-agent"
      model: "phi-4-mini"
      tools: ["database", "calendar", "email"]
"""
DISTRIBUTED = """\
deployment:
  type: distributed-edge
  nodes:
    - id: "edge-1"
      agents: ["customer-service", "scheduling"]
      models: ["phi-4-mini"]
    - id: "edge-2"
      agents: ["technical-support", "documentation"]
      models: ["qwen2.5-coder-0.5b"]
  coordination:
    load_balancing: true
    failover: automatic
"""


def seed(name: str) -> Resolved:
    """One of the two, resolved."""
    return resolved(str(ROOT / "manifests" / f"{name}.yaml"))


@pytest.mark.parametrize(("name", "text"), [("single-device", SINGLE), ("distributed-edge", DISTRIBUTED)])
def test_the_seed_manifests_are_kept_word_for_word(name: str, text: str) -> None:
    """Not a letter changes."""
    assert (ROOT / "manifests" / f"{name}.yaml").read_text() == text


def test_one_agent_needs_no_router_and_gets_the_template_of_its_name() -> None:
    """Its own model and tools stay; the secondary is the primary's fallback; built-ins are added."""
    found = seed("single-device")
    deployment = found.manifest.deployment
    [agent] = [agent for agent in deployment.agents if isinstance(agent, AgentEntry)]
    assert (agent.name, agent.role, agent.model) == ("primary-agent", "specialist", ["phi-4-mini"])
    assert agent.tools == ["database", "calendar", "email"]
    assert agent.instructions and agent.reflex and all(rule.without_model for rule in agent.reflex)
    assert {rule.call.partition(".")[0] for rule in agent.reflex if rule.call} <= {"database", "calendar", "email"}
    models = [model for model in deployment.models if isinstance(model, ModelEntry)]
    assert [(model.alias, model.fallback) for model in models] == [
        ("phi-4-mini", ["qwen2.5-0.5b"]),
        ("qwen2.5-0.5b", []),
    ]
    tools = [tool for tool in deployment.tools if isinstance(tool, ToolEntry)]
    assert [tool.use for tool in tools] == ["database", "calendar", "email"]


def test_four_agents_get_a_router_and_the_models_of_their_nodes() -> None:
    """What stands under nodes is lifted, and the nodes keep the names."""
    found = seed("distributed-edge")
    deployment = found.manifest.deployment
    agents = [agent for agent in deployment.agents if isinstance(agent, AgentEntry)]
    assert [(agent.name, agent.role, agent.model) for agent in agents] == [
        ("router", "router", []),
        ("customer-service", "specialist", ["phi-4-mini"]),
        ("scheduling", "specialist", ["phi-4-mini"]),
        ("technical-support", "specialist", ["qwen2.5-coder-0.5b"]),
        ("documentation", "specialist", ["qwen2.5-coder-0.5b"]),
    ]
    assert agents[0].routes == ["customer-service", "scheduling", "technical-support", "documentation"]
    assert [node.agents for node in deployment.nodes] == [agents[0].routes[:2], agents[0].routes[2:]]
    assert all(agent.instructions and agent.skills for agent in agents[1:])


@pytest.mark.parametrize("name", ["single-device", "distributed-edge"])
def test_nothing_of_the_seed_is_ignored_in_silence(name: str) -> None:
    """What this version does not act on is said, as warnings and notes; there is no error."""
    found = seed(name)
    keys = [(one.code, one.severity, one.message.split('"')[1]) for one in found.diagnostics]
    single = [("ORC139", Severity.NOTE, "hardware")]
    assert keys == (single if name == "single-device" else [])


@pytest.mark.parametrize("name", ["single-device", "distributed-edge"])
def test_the_explained_manifest_means_the_same_and_leaves_nothing_to_infer(name: str) -> None:
    """It is a manifest itself: the long form of the short one."""
    first = seed(name)
    text = explained(first)
    again = resolve(load_texts({f"{name}.yaml": text}, Path(), {}))
    assert again.manifest.deployment == first.manifest.deployment
    assert again.inferences == ()


def test_the_explanation_gives_the_reason_of_each_inferred_value() -> None:
    """The whole text for a small manifest of two files."""
    folder = Path(__file__).with_name("explained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = resolved("base.yaml", "site.yaml", environment={})
    text = explained(found, places=True)
    compare(folder / "explained.txt", text)
    again = resolve(load_texts({"base.yaml": text}, folder, {}))
    assert again.manifest.deployment == found.manifest.deployment


def test_validating_needs_none_of_the_heavy_libraries() -> None:
    """No HTTP client or server, no graph, no SDK, no template engine is loaded for a manifest without templates."""
    code = (
        "import sys\nfrom orchestrator.manifest.load import load\nfrom orchestrator.manifest.resolve import resolve\n"
        "resolve(load(['manifests/single-device.yaml'], environment={}))\n"
        "heavy = {'jinja2', 'jsonschema', 'networkx', 'aiohttp', 'openai', 'starlette', 'uvicorn', 'rich', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
