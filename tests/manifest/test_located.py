"""Where the paths of a manifest lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.manifest.located import locate
from tests.graph.small import manifest
from tests.manifest.golden import compare, refused_text


def test_links_are_followed_and_what_is_not_there_is_placed_all_the_same(tmp_path: Path) -> None:
    """Absolute paths stay, and two ways to one file lead to one place."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    written = manifest(
        tools=["clock", {"name": "stock", "path": "link/data.csv"}],
        knowledge=[{"name": "docs", "path": "real/../docs"}],
        security={"tool_roots": ["link", "/elsewhere"]},
    )
    located = locate(written, tmp_path)
    assert located.folder == str(tmp_path)
    assert located.of("link/data.csv") == str(tmp_path.resolve() / "real" / "data.csv")
    assert located.of("real/../docs") == str(tmp_path.resolve() / "docs")
    assert located.of("link") == str(tmp_path.resolve() / "real")
    assert located.of("/elsewhere") == "/elsewhere"


TALK = "agents: [{name: talk, description: Talks., reflex: [{say: hi}]}]"


PATHS = {
    "through-a-loop": "tools: [{name: database, path: round/stock.db}]",
    "a-loop": "knowledge: [{name: docs, path: round}]",
    "zero-character": 'tools: [{name: calendar, path: "a\\0b"}]',
    "tool-root": "security: {tool_roots: [round]}",
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_cannot_be_followed_is_told_with_its_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything follows it."""
    (tmp_path / "round").symlink_to("trip")
    (tmp_path / "trip").symlink_to("round")
    monkeypatch.chdir(tmp_path)
    text = f"deployment:\n  type: single-device\n  {PATHS[name]}\n  {TALK}\n"
    compare(Path(__file__).parent / "bad_input" / f"path-{name}.txt", refused_text(text, tmp_path))


def test_a_prompt_file_that_leads_back_to_itself_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as any other file that cannot be read."""
    (tmp_path / "desk.md").symlink_to("desk.md")
    monkeypatch.chdir(tmp_path)
    text = "deployment:\n  type: single-device\n  agents: [{name: talk, instructions: file:desk.md}]\n"
    told = refused_text(text, tmp_path)
    assert told.startswith("error[ORC241]: desk.md cannot be read: Too many levels of symbolic links\n")
