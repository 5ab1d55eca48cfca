"""Where the paths of a manifest lead."""

from __future__ import annotations

from pathlib import Path

from orchestrator.manifest.located import locate
from tests.graph.small import manifest


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
