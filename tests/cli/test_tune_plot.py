"""The plot of ``tune``: well-formed, within its page, and with what was measured in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from orchestrator.app.routing.comparison import Comparison, Measured
from orchestrator.app.routing.figures import Figures, Tried
from orchestrator.app.routing.patch import Patch
from orchestrator.app.routing.search import Setting, Tally
from orchestrator.app.routing.tune import Tuned, Wish
from orchestrator.cli.view.tuned import Told
from orchestrator.cli.view.tuned_plot import _round_up, plot
from orchestrator.core.request import Decision
from orchestrator.graph.render.glyphs import text_width
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
    marks = ("now", "then")
    assert [len(classes(root, name)) for name in marks] == [
        5,
        5,
    ]  # each at the head, and with its interval in both fields
    assert [len(classes(root, name)) for name in ("spot", "reach")] == [6, 4]
    assert "now: rules, keyword, lexical; confidence as fitted" in texts
    assert any(text.startswith("proposed: rules, keyword, lexical; confidence ") for text in texts)


@pytest.mark.usefixtures("shop")
def test_every_line_is_told_and_no_other() -> None:
    """The target too. Where no threshold changes the time, there is no curve of it."""
    root = drawn()
    texts = ["".join(each.itertext()) for each in root.iter(f"{NAMESPACE}text")]
    assert "the target: 90%" in texts and len(classes(root, "goal")) == 3
    assert [text for text in texts if text.startswith("every confidence: ")] == [
        "every confidence: rules, keyword, lexical"
    ]
    assert len(classes(root, "curve")) == 2  # in the field of what is decided, and at the foot


@pytest.mark.usefixtures("shop")
def test_no_word_covers_another_or_a_curve() -> None:
    root = drawn()
    boxes = [
        tuple(float(each.get(key, "nan")) for key in ("x", "y", "width", "height")) for each in classes(root, "box")
    ]
    assert len(boxes) == 2
    places = [_place(each) for each in root.iter(f"{NAMESPACE}text")]
    for left, top, right, bottom in places:
        assert left >= 0 and right <= float(root.get("width", "0")) and bottom <= float(root.get("height", "0"))
        for x, y, width, height in boxes:
            assert right <= x or left >= x + width or bottom <= y or top >= y + height
    for at, one in enumerate(places):
        for other in places[:at]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def _place(text: ET.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text, as wide as a usual font makes it."""
    size = 18 if text.get("class") == "title" else 12
    width = text_width("".join(text.itertext()), size)
    x, y = float(text.get("x", "nan")), float(text.get("y", "nan"))
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
    return left, y - 0.8 * size, left + width, y + 0.2 * size


@pytest.mark.parametrize(
    ("most", "axis"), [(0.0, 1.0), (1.1e-4, 2e-4), (0.9e-4, 1e-4), (0.0021, 0.004), (7.0, 8.0), (8.0, 8.0)]
)
def test_an_axis_ends_at_four_steps_that_are_easily_read(most: float, axis: float) -> None:
    assert _round_up(most) == pytest.approx(axis)


def test_what_is_now_is_seen_where_the_proposal_does_the_same() -> None:
    """Another model that decides alike: the ring is larger than the spot, and its interval broader. Nothing is decided by a
    threshold here, so that there is no curve, and none is told."""
    decision = Decision("cascade", "a", confidence=0.9)
    measured = Measured(Figures((Tried("1", "text", ("a",), decision, "a"),) * 20), 20, 0.001)
    now = Setting(("rules", "lexical", "intent"), None)
    of = Tally(20, 0, 0, 20, 0.02)
    one = Tuned(
        "front",
        now,
        measured,
        replace(now, model="small"),
        measured,
        Comparison(True, "smaller"),
        20,
        (),
        {now.stages: [(0.5, of)]},
    )
    root = ET.fromstring(plot(Told(Wish(0.95), (one,), (), Patch())))  # noqa: S314 - our own
    rings = [each for each in classes(root, "spot") if "now" in each.get("class", "")]
    spots = [each for each in classes(root, "spot") if "then" in each.get("class", "")]
    assert {(a.get("cx"), a.get("cy")) for a in rings[1:]} == {(b.get("cx"), b.get("cy")) for b in spots[1:]}
    assert min(float(each.get("r", "0")) for each in rings) > max(float(each.get("r", "0")) for each in spots)
    assert classes(root, "curve") == [] and "every confidence" not in "".join(root.itertext())


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
    assert "name another file with --plot" in ran.err
