"""docs/providers.md says what the table of makes says."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.plugins.providers.compatible import provider_of
from orchestrator.plugins.providers.makes.make import Make
from orchestrator.ports.lifecycle import Puller
from orchestrator.ports.provider import Capability, Support

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")


def rows_of(kind: str, columns: int) -> list[list[str]]:
    """The rows of tables of so many columns that begin with this kind."""
    lines = [line for line in PAGE.splitlines() if line.startswith(f"| `{kind}`")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == columns]


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.kind)
def test_the_table_of_the_lifecycle_is_the_declared_one(make: Make) -> None:
    """Who loads, pulls and removes, and whether a pull that is left goes on."""
    (row,) = rows_of(make.kind, 6)
    shown = {Support.UNKNOWN: "?"}
    wanted = [make.capabilities[name] for name in (Capability.LOAD, Capability.PULL, Capability.REMOVE)]
    assert row[1:4] == [shown.get(support, support.value) for support in wanted]
    provider = provider_of(make)
    goes_on = isinstance(provider, Puller) and provider.pull_goes_on
    assert ("goes on" in row[4]) is goes_on
    if isinstance(provider, Puller) and not goes_on:
        said = {Support.YES: "what had come is kept", Support.NO: "is gone", Support.UNKNOWN: "is not known"}
        assert row[4].startswith("is cancelled") and row[4].endswith(said[provider.pull_is_kept])


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.kind)
def test_the_page_tells_where_a_make_is_looked_for(make: Make) -> None:
    """Every default port, and the variable that replaces it."""
    (row,) = rows_of(make.kind, 5)
    assert row[1] == ", ".join(str(urlsplit(url).port) for url in make.default_urls)
    assert make.url_variable in row[2]
