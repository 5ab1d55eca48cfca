"""What the pages list is what the code has: codes, keys, kinds, verbs, settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, place
from tests.docs.reference import PARTS, generated

MADE = [page for page in sorted(DOCS.glob("*.md")) if "<!-- generated: " in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", MADE, ids=place)
def test_a_generated_part_is_what_the_code_says(page: Path) -> None:
    """``ORCHESTRATOR_GOLDEN=write`` writes it anew."""
    text = page.read_text(encoding="utf-8")
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        page.write_text(generated(text), encoding="utf-8")
    assert generated(text) == page.read_text(encoding="utf-8")


def test_every_generated_part_is_on_a_page() -> None:
    """A part that is made and shown nowhere is a part that somebody lost."""
    pages = "".join(page.read_text(encoding="utf-8") for page in MADE)
    assert [name for name in PARTS if f"<!-- generated: {name} -->" not in pages] == []
