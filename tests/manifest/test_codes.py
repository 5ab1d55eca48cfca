"""The stable codes of the manifest: each has its words, and each is what some text really leads to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.core.codes import references, syntax
from orchestrator.core.codes.code import Code
from orchestrator.core.codes.table import CODES, FAMILIES
from tests.manifest.golden import ROOT

OURS = (*syntax.CODES, *references.CODES)


def told_codes() -> set[str]:
    """Every code that stands in a golden text, and those that other tests here expect by name."""
    here = Path(__file__).parent
    texts = [*(ROOT / "tests" / "invalid").glob("*.txt"), *(here / "bad_input").glob("*.txt")]
    found = {code for path in texts for code in re.findall(r"\[(ORC\d{3})\]", path.read_text(encoding="utf-8"))}
    tests = [path for path in here.glob("test_*.py") if path.name != Path(__file__).name]
    return found | {code for path in tests for code in re.findall(r'"(ORC\d{3})"', path.read_text(encoding="utf-8"))}


def test_no_code_stands_twice() -> None:
    """In the whole project."""
    assert len(CODES) == sum(len(family) for family in FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family[0].code)
def test_codes_stand_in_their_order(family: tuple[Code, ...]) -> None:
    """As `explain code` lists them."""
    assert [code.code for code in family] == sorted(code.code for code in family)


@pytest.mark.parametrize("code", OURS, ids=lambda code: code.code)
def test_each_code_says_what_why_and_what_to_do(code: Code) -> None:
    """A short title without a full stop; a reason and a cure that are sentences."""
    assert re.fullmatch(r"ORC[12]\d\d", code.code)
    assert 3 <= len(code.title) <= 60 and not code.title.endswith(".")
    assert code.why.endswith(".") and code.cure.endswith((".", "`", "}"))
    assert code.why[0].isupper() or code.why.startswith("`")


def test_each_code_is_what_some_test_produces() -> None:
    """None is only written down. ORC100 is the error that holds the others, and the count of those not shown."""
    assert {code.code for code in OURS} - told_codes() == set()


def test_the_code_uses_only_codes_that_exist() -> None:
    """A mistyped code would fail only when its fault happens."""
    used: set[str] = set()
    for path in (ROOT / "orchestrator" / "manifest").rglob("*.py"):
        used |= set(re.findall(r'"(ORC\d{3})"', path.read_text(encoding="utf-8")))
    assert used <= set(CODES)
    assert {code.code for code in OURS} - used == set()
