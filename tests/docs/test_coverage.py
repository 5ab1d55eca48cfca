"""Nothing that a user can meet is missing from the pages: settings, events, kinds, codes; and no word is used for two things."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from orchestrator.app import start
from orchestrator.app.catalog import FAMILIES
from orchestrator.cli.table import VERBS
from orchestrator.core import errors
from orchestrator.core.codes.table import CODES
from orchestrator.core.event import EventKind
from orchestrator.core.request import Result
from orchestrator.ports.installed import Family
from tests.docs.pages import DOCS, PAGES, ROOT, fences, place, prose

CODE = [
    *sorted((ROOT / "orchestrator").rglob("*.py")),
    *sorted((ROOT / "scripts").glob("*.py")),
    *sorted((ROOT / "examples").rglob("*.py")),
]
LONGEST_ARCHITECTURE = 150
OF_LIBRARIES = {"HTTPS_PROXY", "NO_PROXY", "XDG_STATE_HOME"}
"""Read by Python's own libraries and by those that we use."""
OF_COMMANDS = {"PYTHON", "ORCHESTRATOR_GOLDEN"}
"""Read by make and by the tests."""
SYNONYMS = {
    r"\bbackends?\b": "endpoint, or provider",
    r"\bbots?\b": "agent",
    r"\bworkflows?\b": "run",
    r"\bpipelines?\b": "a sequence of agents",
    r"\bdaemon\b": "runtime",
    r"\bkwargs\b": "options",
    r"\bconfig file\b": "manifest",
    r"\bfailover\b": "fallback",
    r"\bplugins?\b": "plug-in, or kind",
    r"\bLLMs?\b": "model",
    r"\bleverag|\bseamless|\bblazing|\bpowerful\b|\bcutting-edge": "plain words",
}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# ---- settings -------------------------------------------------------------------------------------------------------


def _variables(path: Path) -> Iterator[str]:
    """Names of variables of the environment that a file reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "getenv"):
            yield from _text(node.args[0]) if "environ" in ast.unparse(node.func) else ()
        elif isinstance(node, ast.Subscript) and "environ" in ast.unparse(node.value):
            yield from _text(node.slice)
        elif isinstance(node, ast.keyword) and node.arg in ("url_variable", "store_variable"):
            yield from _text(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^ORCHESTRATOR_[A-Z_]*[A-Z]$", node.value)


def _text(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isupper():
        yield node.value


def test_every_variable_of_the_environment_is_a_setting_on_the_page() -> None:
    """Those that are read, and those that the runtime gets from a shell."""
    read = {name for path in CODE for name in _variables(path)} | start.KEPT
    assert len(read) > 25
    assert sorted(name for name in read if f"`{name}`" not in page("settings.md")) == []


def test_every_setting_of_the_page_is_read_by_the_code() -> None:
    """No setting is made up."""
    read = {name for path in CODE for name in _variables(path)} | start.KEPT | OF_LIBRARIES | OF_COMMANDS
    told = set(re.findall(r"`([A-Z][A-Z_]+[A-Z])`", page("settings.md")))
    assert sorted(told - read) == []


# ---- codes, kinds, events, results ----------------------------------------------------------------------------------


def test_every_code_has_a_reason_and_a_cure() -> None:
    """And none is used without an entry in the table."""
    used = {code for path in CODE for code in re.findall(r"\bORC\d{3}\b", path.read_text(encoding="utf-8"))}
    assert sorted(used - set(CODES)) == []
    assert [name for name, code in CODES.items() if not (code.title and code.why and code.cure)] == []


def test_every_kind_is_explained_on_the_page_of_its_family() -> None:
    """Providers, strategies and tools each have a page of their own."""
    pages: dict[Family, str] = {"provider": "providers.md", "strategy": "routing.md", "tool": "tools.md"}
    missing = [
        (family, name)
        for family, told in pages.items()
        for name in FAMILIES[family]
        if f"`{name}`" not in page(told) and f"## {name}\n" not in page(told)
    ]
    assert missing == []


def test_every_verb_has_its_section() -> None:
    """On the page of the command line."""
    assert [verb.name for verb in VERBS if f"### {verb.name}\n" not in page("cli.md")] == []


def test_every_event_and_field_of_a_result_is_explained() -> None:
    """On the page of results."""
    text = page("results.md")
    fields = {"timings_ms" if each.name == "timings" else each.name for each in dataclasses.fields(Result)}
    assert [name for name in (*get_args(EventKind), *fields) if f"`{name}`" not in text] == []


def test_every_error_has_a_code_of_the_table() -> None:
    """So that what a run's error names can be looked up."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {str(getattr(kind, "code", "")) for kind in kinds if issubclass(kind, errors.OrchestratorError)}
    assert sorted(codes - set(CODES)) == []


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=place)
def test_a_page_uses_the_words_of_the_glossary(path: Path) -> None:
    """A cheap look for synonyms that would make two words of one thing, and for praise."""
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", prose(path))
    found = {word: better for word, better in SYNONYMS.items() if re.search(word, text, re.IGNORECASE)}
    assert found == {}


def test_the_glossary_is_sorted_and_says_each_word_once() -> None:
    """A word is found where it is looked for."""
    words = re.findall(r"^\| ([^|]+) \|", page("glossary.md"), re.MULTILINE)[1:]
    words = [word for word in words if word.strip("-")]
    assert words == sorted(words)
    assert len(words) == len(set(words))


# ---- architecture ---------------------------------------------------------------------------------------------------


def test_the_architecture_is_short() -> None:
    """A newcomer reads it in one go."""
    assert len(page("architecture.md").splitlines()) <= LONGEST_ARCHITECTURE


def test_every_file_that_a_page_names_is_there() -> None:
    """In the checkout, or in the package."""
    wrong = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*\.?(?:py|yaml|md|json|jsonl|toml|txt)?)`", text))
        for name in sorted(named):
            made_up = name.endswith("/x.py") or name == "orchestrator/v1"
            if name.split("/")[0] in ROOMS and not made_up and not _is_there(name, path):
                wrong.append(f"{place(path)}: {name}")
    assert wrong == []


ROOMS = {path.name for path in ROOT.iterdir()} | {path.name for path in (ROOT / "orchestrator").iterdir()}


def _is_there(name: str, path: Path) -> bool:
    return any((folder / name).exists() for folder in (ROOT, ROOT / "orchestrator", path.parent))


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_what_a_command_prints_is_of_the_target_that_it_names(page: Path) -> None:
    """Otherwise a reader takes the figures for those of another wish."""
    asked = ""
    for fence in fences(page):
        if fence.language == "console":
            asked = "".join(re.findall(r"--target (\d+%)", fence.text)[-1:])
        elif asked:
            assert set(re.findall(r"(\d+%) of what is \w+ should be right", fence.text)) <= {asked}, str(fence)
            asked = ""
