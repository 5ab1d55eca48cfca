"""Drawings: golden texts of the two seed manifests, and what must hold of every picture."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.render.formats import FORMATS, render
from orchestrator.graph.render.glyphs import fitted, text_width
from tests.graph.small import DESK, graph

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
SEEDS = ["single-device", "distributed-edge"]
ENDINGS = {"text": "txt", "mermaid": "mmd", "dot": "dot", "json": "json"}
SVG = "{http://www.w3.org/2000/svg}"


def _seed(name: str) -> AgentGraph:
    return compile_files([str(ROOT / "manifests" / f"{name}.yaml")], environment={}).graph


@pytest.mark.parametrize("format_", ENDINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_drawings_of_the_seed_manifests(seed: str, format_: str) -> None:
    """As in the golden file; ``ORCHESTRATOR_GOLDEN=write`` writes them anew, for a person to compare."""
    drawn = render(_seed(seed), format_)
    golden = GOLDEN / f"{seed}.{ENDINGS[format_]}"
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        golden.write_text(drawn)
    assert drawn == golden.read_text()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_drawing_is_the_same_every_time(format_: str) -> None:
    """So that it can be kept under version control."""
    assert render(graph(**DESK), format_) == render(graph(**DESK), format_)


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_graph_can_be_drawn(format_: str) -> None:
    """There is nothing in it; Mermaid's diagrams have no title."""
    told = {"mermaid": "flowchart LR"}.get(format_, "shop")
    assert told in render(graph(), format_)


def test_the_text_says_what_no_request_reaches() -> None:
    """A lost agent is not left out of the drawing."""
    agents = [{"name": "front", "role": "router", "routes": ["a"]}, {"name": "a"}, {"name": "lost"}]
    assert "no request reaches\n  agent.lost\n" in render(graph(agents=agents), "text")


def test_the_text_of_a_cycle_ends() -> None:
    """A vertex that was shown is not opened again."""
    agents = [{"name": "a", "escalate_to": "b"}, {"name": "b", "role": "escalation", "escalate_to": "a"}]
    assert render(graph(agents=agents), "text").count("(see above)") == 1


def test_the_text_of_a_very_long_chain_is_drawn() -> None:
    """Without recursion."""
    agents = [{"name": f"a{number}", "escalate_to": f"a{number + 1}"} for number in range(1500)] + [{"name": "a1500"}]
    assert "agent.a1500" in render(graph(agents=agents), "text")


HOSTILE = '</title><script>alert("1")</script> & {b} | `c` # \\ "d" \x07\ufffe'


@pytest.mark.parametrize("format_", FORMATS)
def test_what_a_user_wrote_stays_text(format_: str) -> None:
    """A description cannot become a tag, an attribute or a statement."""
    agents = [{"name": "a", "description": HOSTILE}, {"name": "b"}]
    drawn = render(graph(agents=agents), format_)
    if format_ == "svg":
        assert "<script" not in drawn
        ET.fromstring(drawn)  # noqa: S314 - our own text
    if format_ == "mermaid":
        label = next(line for line in drawn.splitlines() if "alert" in line)
        assert label.count('"') == 2 and "<script" not in label
    if format_ == "dot":
        label = next(line for line in drawn.splitlines() if "alert" in line)
        assert len(re.findall(r'(?<!\\)"', label.replace("\\\\", ""))) == 4


def test_a_picture_is_well_formed_and_named_for_those_who_cannot_see_it() -> None:
    """Title and description; every vertex and every link says its whole text."""
    root = ET.fromstring(render(graph(**DESK), "svg"))  # noqa: S314 - our own text
    assert root.get("role") == "img" and root.get("aria-labelledby") == "orc-title orc-about"
    texts = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert "shop" in texts
    assert "agent.orders (specialist)" in texts
    assert "agent.orders escalates to agent.person: error, timeout, requested" in texts
    described = root.find(f"{SVG}desc")
    assert described is not None and described.text == (
        "single-device with 1 router, 2 specialists, 1 escalation, 2 models, 1 tool, 1 knowledge set;"
        " requests enter at router.front."
    )


def test_a_picture_shows_itself_in_light_and_dark() -> None:
    """Both modes have a colour for every class that is drawn."""
    drawn = render(graph(**DESK), "svg")
    light, _, dark = drawn.partition("@media (prefers-color-scheme:dark)")
    for name in (".page", ".box", ".title", ".bar.router", ".bar.model", ".link.route", ".link.uses", ".head.enter"):
        assert f"{name}{{" in light or f"{name}," in light
        assert f"{name}{{" in dark or f"{name}," in dark


def test_a_picture_needs_nothing_from_elsewhere() -> None:
    """No font, image, script or style is fetched."""
    drawn = render(graph(**DESK), "svg").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|url\(|@import|href", drawn)


def test_a_long_text_is_cut_to_its_room() -> None:
    """Wide letters count more than narrow ones; the full text is in the title."""
    assert fitted("stock", 13, 100) == "stock"
    cut = fitted("W" * 50, 13, 100)
    assert cut.endswith("…") and text_width(cut, 13) <= 100
    assert len(fitted("i" * 50, 13, 100)) > len(cut)
