"""Stages 1 to 4 in one call: what every verb stands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.core.diagnostic import Severity
from orchestrator.core.errors import ManifestError, UsageError

SOUND = """\
deployment:
  type: single-device
  models: [phi-4-mini, qwen2.5-0.5b]
  agents:
    - {name: helper, model: phi-4-mini, instructions: hello, timeout: soon}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A sound manifest with a model that nobody uses."""
    path = tmp_path / "shop.yaml"
    path.write_text(SOUND.replace(", timeout: soon", ""))
    return path


def _codes(error: ManifestError) -> list[str]:
    return [diagnostic.code for diagnostic in error.diagnostics if diagnostic.severity is Severity.ERROR]


def test_a_sound_manifest_gives_graph_blueprint_and_warnings(shop: Path) -> None:
    """With the lines of its sources, to show what is told."""
    compilation = compile_files([str(shop)], environment={})
    assert compilation.blueprint.name == compilation.graph.name == "shop"
    assert sorted(compilation.blueprint.elements) == ["agent.helper", "model.phi-4-mini", "model.qwen2.5-0.5b"]
    (warning,) = [each for each in compilation.diagnostics if each.severity is Severity.WARNING]
    assert warning.code == "ORC307" and warning.place is not None
    lines = compilation.sources[warning.place.file]
    assert lines[warning.place.line - 1][warning.place.column - 1 :].startswith("qwen2.5-0.5b")


def test_the_name_can_be_given(shop: Path) -> None:
    """It is the deployment's in the graph, in the blueprint and in what is kept; one that is no name is wrong usage."""
    compilation = compile_files([str(shop)], environment={}, name="milan")
    assert (compilation.blueprint.name, compilation.graph.name, compilation.loaded.name) == ("milan",) * 3
    with pytest.raises(UsageError, match="no deployment name"):
        compile_files([str(shop)], environment={}, name="not a name")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SOUND, "ORC136"),
        (SOUND.replace(", timeout: soon", ", tools: [databse]"), "ORC2"),
        (
            SOUND.replace(
                "timeout: soon}",
                "escalate_to: b}\n    - {name: b, role: escalation, model: phi-4-mini, "
                "instructions: x, escalate_to: helper}",
            ),
            "ORC301",
        ),
    ],
)
def test_the_faults_of_each_stage_are_raised(shop: Path, text: str, code: str) -> None:
    """Of the text, of its references, of the graph."""
    shop.write_text(text)
    with pytest.raises(ManifestError) as caught:
        compile_files([str(shop)], environment={})
    assert [found[: len(code)] for found in _codes(caught.value)] == [code]
    assert caught.value.sources


def test_faults_of_the_graph_come_with_the_warnings_before_them(shop: Path) -> None:
    """Everything that is known is told at once, in the order of the text."""
    second = "\n    - {name: b, role: escalation, model: phi-4-mini, instructions: x, escalate_to: helper}"
    shop.write_text(SOUND.replace("timeout: soon}", "escalate_to: b}" + second))
    with pytest.raises(ManifestError) as caught:
        compile_files([str(shop)], environment={})
    codes = [diagnostic.code for diagnostic in caught.value.diagnostics]
    assert "ORC307" in codes and len(_codes(caught.value)) == 1


HEAD = "deployment:\n  type: single-device\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD, [("error", "ORC305", "the deployment has no agent", "shop.yaml:1:1")]),
        (
            HEAD
            + "  agents:\n    - {name: a, description: x, tools: [clock]}\n    - {name: b, description: y, tools: [clock]}\n",
            [
                (
                    "note",
                    "ORC304",
                    "router.router has no default: when it is unsure it asks back with the choices",
                    "shop.yaml:3:3",
                )
            ],
        ),
        (
            HEAD + "  entry: a\n  agents:\n    - {name: a, description: x, tools: [clock]}\n"
            "    - {name: b, description: y, tools: [clock]}\n",
            [("error", "ORC306", "no request can reach agent.b from agent.a", "shop.yaml:6:7")],
        ),
        (
            HEAD + "  entry: a\n  agents:\n    - {name: a, description: x, tools: [clock], escalate_to: b}\n"
            "    - {name: b, description: y, tools: [clock]}\n",
            [],
        ),
        (
            HEAD + "  entry: a\n  models: [{alias: gpt, model: g, provider: openai}]\n"
            "  agents:\n    - {name: a, description: x, tools: [clock]}\n    - {name: b, description: y, model: gpt}\n",
            [("error", "ORC306", "no request can reach agent.b from agent.a", "shop.yaml:7:7")],
        ),
    ],
    ids=[
        "no agent",
        "an added router",
        "an entry that leads past an agent",
        "an entry that escalates",
        "an unreachable user",
    ],
)
def test_what_is_told_of_the_whole_graph_has_a_place(shop: Path, text: str, told: list[tuple[str, ...]]) -> None:
    """Also of what was never written: a router that was added is told at the agents that it was added over."""
    shop.write_text(text)
    try:
        found = compile_files([str(shop)], environment={}).diagnostics
    except ManifestError as error:
        found = tuple(error.diagnostics)
    shown = [(one.severity.value, one.code, one.message, str(one.place).rpartition("/")[2]) for one in found]
    assert shown == told
    assert all(one.cure for one in found)
