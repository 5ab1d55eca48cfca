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
