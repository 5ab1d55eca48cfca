"""Several files as one manifest: includes below, later files above, parts merged by their name."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.diagnostic import Place
from orchestrator.manifest.load import load, load_texts
from orchestrator.manifest.resolve import resolve
from orchestrator.manifest.spec.agent import AgentEntry
from tests.manifest.golden import resolved

BASE = """\
deployment:
  type: single-device
  timeout: 60s
  models: [phi-4-mini, {alias: qwen3-4b, context_length: 4096}]
  agents:
    - orders
    - name: desk
      instructions: Help.
      timeout: 20s
      tools: [clock, tickets]
  serve: {port: 7000}
"""
SITE = """\
deployment:
  timeout: 90s
  models: [{alias: phi-4-mini, primary: true}, qwen3-4b, qwen2.5-0.5b]
  agents:
    - name: desk
      timeout: null
      tools: [clock]
    - {name: extra, instructions: More.}
    - {name: orders, instructions: Orders.}
  serve:
    port: ${PORT}
"""


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "site.yaml").write_text(SITE)


def test_parts_merge_by_name_and_the_later_scalar_wins() -> None:
    """Order stays that of the lower file; null takes a key away; plain lists are replaced."""
    loaded = load(["base.yaml", "site.yaml"], environment={"PORT": "7001"})
    deployment = loaded.manifest.deployment
    assert (deployment.timeout, deployment.serve.port) == (90.0, 7001)
    agents = [agent for agent in deployment.agents if isinstance(agent, AgentEntry)]
    assert [(agent.name, agent.instructions, agent.timeout, agent.tools) for agent in agents] == [
        ("orders", "Orders.", None, []),
        ("desk", "Help.", None, ["clock"]),
        ("extra", "More.", None, []),
    ]
    models = [model if isinstance(model, str) else (model.alias, model.primary) for model in deployment.models]
    assert models == [("phi-4-mini", True), ("qwen3-4b", False), "qwen2.5-0.5b"]
    assert loaded.name == "base"


def test_every_value_remembers_the_file_that_it_came_from() -> None:
    """A merged agent has places in both files."""
    found = resolved("base.yaml", "site.yaml", environment={"PORT": "7001"})
    assert found.place_of("agent.desk", "instructions") == Place("base.yaml", 8, 21, 5)
    assert found.place_of("agent.desk", "tools") == Place("site.yaml", 7, 7, 5)
    assert found.place_of("agent.orders", "instructions") == Place("site.yaml", 9, 36, 7)
    assert found.place_of("router.router") == found.loaded.marks.key(("deployment", "agents"))


def test_includes_lie_below_and_count_from_their_own_file(tmp_path: Path) -> None:
    """Folders, parents and diamonds work; the including file wins."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "shared" / "deep.yaml").write_text("deployment: {timeout: 10s, serve: {port: 1}}\n")
    (tmp_path / "shared" / "models.yaml").write_text("include: [deep.yaml]\ndeployment: {models: [phi-4-mini]}\n")
    (tmp_path / "shared" / "tools.yaml").write_text("include: [deep.yaml]\ndeployment: {tools: [clock]}\n")
    (tmp_path / "site" / "shop.yaml").write_text(
        "include: [../shared/models.yaml, ../shared/tools.yaml]\n"
        "deployment: {type: single-device, timeout: 20s, agents: [orders]}\n"
    )
    loaded = load(["site/shop.yaml"], environment={})
    deployment = loaded.manifest.deployment
    assert (deployment.models, deployment.tools, deployment.timeout, deployment.serve.port) == (
        ["phi-4-mini"],
        ["clock"],
        20.0,
        1,
    )
    assert list(loaded.sources) == ["site/shop.yaml", "shared/models.yaml", "shared/deep.yaml", "shared/tools.yaml"]


def test_kept_texts_load_again_without_the_disk(tmp_path: Path) -> None:
    """Sources, roots and variables are enough, also with includes, prompts and overrides."""
    (tmp_path / "prompt.md").write_text("Answer in one sentence.")
    (tmp_path / "more.yaml").write_text("deployment: {agents: [{name: desk, context: 'file:prompt.md'}]}\n")
    (tmp_path / "base.yaml").write_text("include: [more.yaml]\n" + BASE.replace("      instructions: Help.\n", ""))
    overrides = {"deployment.serve.host": "localhost", "deployment.resources.max_concurrent_agents": "3"}
    first = load(["base.yaml", "site.yaml"], environment={"PORT": "7001", "OTHER": "1"}, overrides=overrides)
    assert first.variables == {"PORT": "7001"}
    for file in tmp_path.iterdir():
        file.unlink()
    again = load_texts(first.sources, first.folder, first.variables, first.roots)
    assert again.manifest == first.manifest
    assert resolve(again).manifest == resolve(first).manifest
    assert again.manifest.deployment.serve.host == "localhost"
    desk = next(a for a in resolve(again).manifest.deployment.agents if isinstance(a, AgentEntry) and a.name == "desk")
    assert desk.instructions == "Answer in one sentence."


def test_without_roots_the_texts_that_no_other_includes_are_laid_over_each_other() -> None:
    """In their order."""
    loaded = load_texts({"base.yaml": BASE, "site.yaml": SITE}, Path("/nowhere"), {"PORT": "7"})
    assert loaded.manifest.deployment.serve.port == 7
    assert loaded.folder == Path("/nowhere")


@pytest.mark.parametrize("path", ["port", "", "a..b"])
def test_an_override_needs_a_path(path: str) -> None:
    """Anything else is told."""
    from orchestrator.core.errors import ManifestError

    with pytest.raises(ManifestError) as caught:
        load(["base.yaml"], environment={}, overrides={path: "1"})
    assert caught.value.diagnostics[0].code in ("ORC153", "ORC130")
