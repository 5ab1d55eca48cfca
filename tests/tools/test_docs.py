"""docs/tools.md says what the code does: every kind, option, function, argument and effect."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from orchestrator.manifest.spec.tool import ToolEntry
from orchestrator.ports.tool import ToolFunction, ToolPlace

PAGE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
KINDS = ["calendar", "clock", "database", "email", "knowledge", "python", "tickets"]


def rows(section: str, head: str) -> list[list[str]]:
    """The cells of the table whose first column is ``head``."""
    table = re.search(rf"^\| {head} \|.*\n\| ---.*\n((?:\|.*\n)*)", section, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()] if table else []


def as_row(function: ToolFunction) -> list[str]:
    required = function.parameters["required"]
    names = [f"`{name}`" if name in required else f"`{name}`?" for name in function.parameters["properties"]]
    return [f"`{function.name}`", ", ".join(names) or "none", function.effect, function.description]


def test_every_kind_has_a_section() -> None:
    assert sorted(SECTIONS) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_options_are_those_of_the_code(kind: str) -> None:
    options = import_module(f"orchestrator.plugins.tools.{kind}").OPTIONS
    assert [row[0].strip("`") for row in rows(SECTIONS[kind], "option")] == list(options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_may_hold_each_option_of_the_page(kind: str) -> None:
    assert {row[0].strip("`") for row in rows(SECTIONS[kind], "option")} <= set(ToolEntry.model_fields)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "python"])
async def test_the_functions_are_those_of_the_code(kind: str, place: ToolPlace) -> None:
    opened = getattr(import_module(f"orchestrator.plugins.tools.{kind}"), f"open_{kind}")
    tool = opened(kind, {"allow_sql": True} if kind == "database" else {}, place)
    assert rows(SECTIONS[kind], "function") == [as_row(function) for function in tool.functions]
    await tool.aclose()


@pytest.mark.anyio
async def test_the_python_example_of_the_page_works(place: ToolPlace) -> None:
    example = re.search(r"```python\n(.*?)```", SECTIONS["python"], re.DOTALL)
    assert example is not None
    (place.folder / "tools.py").write_text(example[1])
    opened = import_module("orchestrator.plugins.tools.python").open_python
    tool = opened("quotes", {"python": "tools:make_quote"}, place)
    (function,) = tool.functions
    assert as_row(function) == [
        "`quotes.make_quote`",
        "`sku`, `quantity`?, `rush`?",
        "write",
        "Price a quote for one product.",
    ]
    assert function.parameters["properties"]["sku"]["description"] == "the product's number"
