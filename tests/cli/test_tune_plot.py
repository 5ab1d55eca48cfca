"""The plot of ``tune``: well-formed, within its page, and with what was measured in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.app.tuned_shop import CASES, SHOP
from tests.cli.commands import here

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest and its cases, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(SHOP)
    lines = [json.dumps({"text": case.text, "agent": list(case.wanted)}) for case in CASES]
    Path("cases.jsonl").write_text("\n".join(lines))


def drawn(*words: str) -> ET.Element:
    ran = here("tune", "shop.yaml", "--cases", "cases.jsonl", "--target", "90%", "--plot", "shop.svg", *words)
    assert (ran.code, ran.err) == (0, "wrote shop.svg\n")
    return ET.fromstring(Path("shop.svg").read_text())  # noqa: S314 - our own


def classes(root: ET.Element, name: str) -> list[ET.Element]:
    return [each for each in root.iter() if name in each.get("class", "").split()]


@pytest.mark.usefixtures("shop")
def test_it_shows_both_measured_in_both_fields_with_their_intervals() -> None:
    root = drawn()
    texts = ["".join(each.itertext()) for each in root.iter(f"{NAMESPACE}text")]
    assert "decided, of all requests" in texts and "computing time of a request" in texts
    assert [len(classes(root, name)) for name in ("spot", "reach", "goal")] == [4, 4, 2]
    assert texts.count("now") == texts.count("proposed") == 2
    assert any(text.startswith("proposed: rules, keyword, lexical; confidence ") for text in texts)


@pytest.mark.usefixtures("shop")
def test_nothing_lies_outside_of_the_page() -> None:
    root = drawn()
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for each in root.iter():
        for x, y, most in (("x", "y", 0.0), ("cx", "cy", 5.5)):
            if each.get(x) is not None:
                assert most <= float(each.get(x, "nan")) <= width - most
                assert most <= float(each.get(y, "nan")) <= height - most
    assert not re.search(r"nan|inf", Path("shop.svg").read_text().partition("</style>")[2])


@pytest.mark.usefixtures("shop")
def test_where_a_model_is_asked_the_cost_is_its_calls() -> None:
    Path("shop.yaml").write_text(
        SHOP.replace("role: router", "role: router\n      model: qwen2.5-0.5b-instruct").replace(
            "  agents:", "  models: [qwen2.5-0.5b-instruct]\n  agents:"
        )
    )
    texts = ["".join(each.itertext()) for each in drawn().iter(f"{NAMESPACE}text")]
    assert "asked of a model, of all requests" in texts


@pytest.mark.usefixtures("shop")
def test_a_place_that_cannot_be_written_is_told() -> None:
    ran = here("tune", "shop.yaml", "--cases", "cases.jsonl", "--target", "90%", "--plot", "none/shop.svg")
    assert ran.code == 64 and "none/shop.svg cannot be written" in ran.err
