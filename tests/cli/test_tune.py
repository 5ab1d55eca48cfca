"""``tune``: what it prints, what it writes, and when it fails."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.app.tuned_shop import CASES, SHOP
from tests.cli.commands import golden, here

SURE = SHOP.replace("role: router", "role: router  # who gets what\n      confidence: 95%  # guessed")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest and its cases, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(SURE)
    lines = [json.dumps({"text": case.text, "agent": list(case.wanted)}) for case in CASES]
    Path("cases.jsonl").write_text("\n".join(lines))


def tune(*words: str) -> tuple[int, str, str]:
    """On the shop's cases; times of computing, which no machine has twice, as a sign."""
    ran = here("tune", "shop.yaml", "--cases", "cases.jsonl", *words)
    return ran.code, re.sub(r"\d+\.\d\d ms", "# ms", ran.out), ran.err


@pytest.mark.usefixtures("shop")
def test_it_prints_what_is_now_what_is_proposed_and_the_patch() -> None:
    code, out, err = tune("--target", "90%")
    assert (code, err) == (0, "")
    assert out == golden("tune/shop.txt", out)
    assert "-      confidence: 95%  # guessed" in out
    assert Path("shop.yaml").read_text() == SURE


@pytest.mark.usefixtures("shop")
def test_the_same_seed_says_the_same_and_another_halves_otherwise() -> None:
    first, again, other = (tune("--target", "90%", "--seed", seed)[1] for seed in ("3", "3", "4"))
    assert first == again != other


@pytest.mark.usefixtures("shop")
def test_it_writes_what_it_proposes_and_then_finds_nothing_better() -> None:
    code, out, err = tune("--target", "90%", "--write", "--fail-if-better")
    assert (code, err) == (1, "wrote shop.yaml\n")
    proposed = re.findall(r"^\+ +(confidence: \S+  # guessed)$", out, re.MULTILINE)
    assert len(proposed) == 1
    assert Path("shop.yaml").read_text() == SURE.replace("confidence: 95%  # guessed", proposed[0])
    code, out, err = tune("--target", "90%", "--write", "--fail-if-better")
    assert (code, err) == (0, "")
    assert out == golden("tune/nothing_better.txt", out)


@pytest.mark.usefixtures("shop")
def test_json_holds_both_measured_the_curve_and_the_patch() -> None:
    told = json.loads(tune("--target", "90%", "--json")[1])
    (router,) = told["routers"]
    assert (told["target"], told["seed"], told["interval"]) == (0.9, 0, "Wilson, 95 %")
    assert router["better"] is True and router["now"]["confidence"] == 0.95
    assert router["proposed"]["decided"]["right"] > router["now"]["decided"]["right"]
    assert router["now"]["requests"] + router["proposed_from"] == len(CASES)
    points = router["curves"][0]["points"]
    assert [point["confidence"] for point in points] == sorted(point["confidence"] for point in points)
    assert told["patch"].startswith("--- a/shop.yaml\n+++ b/shop.yaml\n@@ ")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--target", "much"), "--target much is no share"),
        (("--target", "100%"), "--target 100% cannot be shown by any number of requests"),
        (("--target", "0"), "--target 0 asks for nothing"),
        (("--target", "99.9%"), "2000 are needed for 99.9%"),
        (("--router", "frond"), 'no router is called "frond"'),
    ],
)
def test_wrong_usage_is_told_with_a_cure(words: tuple[str, ...], told: str) -> None:
    code, _, err = tune(*words)
    assert code == 64
    assert told in err and "cure: " in err
