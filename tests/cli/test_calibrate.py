"""``label`` and ``calibrate`` against a real runtime, on a simulated model of stated accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.stated import StatedModel
from tests.cli.commands import Ran, apart, here
from tests.cli.serving import answering

SHOP = """\
metadata: {name: shop}
deployment:
  type: single-device
  models:
    - {alias: small, provider: llama-cpp, model: small, endpoint: "SMALL"}
    - {alias: large, provider: llama-cpp, model: large, endpoint: "LARGE"}
  entry: clerk
  agents:
    - name: clerk
      description: Knows the prices.
      instructions: INSTRUCTIONS
      model: small
      escalate_to: lead
      escalate_when: [low_confidence]
    - {name: lead, description: Knows better., model: large, role: escalation}
"""
QUESTIONS = 260
ANSWERS = {f"price {number}": f"{number} euro" for number in range(QUESTIONS)}
Run = Callable[..., Ran]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Run]:
    """Runs a verb as a user with a runtime that serves the shop."""
    small = SimulatedEndpoint(("small",), StatedModel(answers=ANSWERS, accuracy=0.7))
    large = SimulatedEndpoint(("large",), StatedModel(answers=ANSWERS, accuracy=1.0))
    environment = {"ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": "", "USER": "maria"}

    def run(*words: str, stdin: str = "") -> Ran:
        return apart(*words, stdin=stdin, folder=tmp_path, environment=environment)

    with answering(small, "llama-cpp") as one, answering(large, "llama-cpp") as other:
        text = SHOP.replace("SMALL", one).replace("LARGE", other).replace("INSTRUCTIONS", "You are short.")
        (tmp_path / "shop.yaml").write_text(text)
        applied = run("apply", "shop.yaml")
        assert applied.code == 0, applied.err
        yield run
        assert run("runtime", "stop", "--drain", "1s").code == 0


def test_labels_make_a_calibration_that_the_gate_goes_by(shop: Run, tmp_path: Path) -> None:
    """Identity until enough is labelled; then a curve and a threshold with intervals, which outlive the runtime."""
    assert shop("calibrate", "shop").out == (
        "shop: nothing is labelled yet (orchestrator label RUN right, or --cases FILE)\n"
    )
    result = json.loads(shop("run", "shop", "price 1", "--json").out)
    ran = shop("label", result["id"], "wrong", "--agent", "clerk")
    assert ran.code == 0 and f"{result['id']}: the answer of clerk was wrong (low_confidence:margin:0.1" in ran.out
    few = shop("calibrate", "shop").out
    assert "clerk, llama-cpp/small, low_confidence:margin:0.1: 1 labelled answer\n" in few
    assert "199 more are needed to fit: until then the score is taken for the probability itself" in few

    cases = [json.dumps({"text": text, "answer": answer}) for text, answer in ANSWERS.items()]
    cases += [json.dumps({"run": result["id"], "right": True, "agent": "clerk"})]
    (tmp_path / "cases.jsonl").write_text("\n".join(cases))
    ran = shop("calibrate", "shop", "--cases", "cases.jsonl", "--target", "90%", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    (scale,) = found["scales"]
    assert ran.err.startswith(f"{QUESTIONS + 1} labels noted") and scale["labelled"] == QUESTIONS + 1
    fitted = scale["fitted"]
    assert scale["serves"] and abs(scale["right"] / scale["labelled"] - 0.7) < 0.1
    assert fitted["kept_right"] / fitted["kept"] > 0.85 and fitted["ece"] < 0.12

    told = shop("calibrate", "shop", "--target", "90%").out
    assert "kept from a probability of" in told and "so that 90% is right" in told and "[" in told
    assert shop("runtime", "stop", "--drain", "1s").code == 0 and shop("runtime", "start").code == 0
    result = json.loads(shop("run", "shop", "price 7", "--json").out)
    (decision,) = [each for each in result["decisions"] if each["strategy"] == "doubt"]
    assert "not fitted" not in decision["why"]
    assert (decision["choice"], result["agent"]) in (("clerk", "clerk"), ("lead", "lead")) and result["error"] is None

    text = (tmp_path / "shop.yaml").read_text().replace("You are short.", "You are long.")
    (tmp_path / "shop.yaml").write_text(text)
    assert shop("apply", "shop.yaml", "--yes").code == 0
    result = json.loads(shop("run", "shop", "price 7", "--json").out)
    (decision,) = [each for each in result["decisions"] if each["strategy"] == "doubt"]
    assert "not fitted yet" in decision["why"]
    told = shop("calibrate", "shop").out
    assert "of an earlier version of the agent: the one that serves does not go by it" in told


def test_what_cannot_be_labelled_is_told(shop: Run) -> None:
    """An agent that doubted nothing, a run that is not there."""
    result = json.loads(shop("run", "shop", "price 3", "--json", "--agent", "lead").out)
    ran = shop("label", result["id"], "right")
    assert ran.code != 0 and "error[ORC432]" in ran.err and "has no score" in ran.err
    ran = shop("label", "run_none", "right")
    assert ran.code == 64 and 'no run begins with "run_none"' in ran.err
    ran = shop("calibrate", "shops")
    assert ran.code != 0 and "ORC413" in ran.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[1]", "case 1: a case is a map"),
        ("[{run: run_1, right: maybe}]", "case 1: `run` is no id, or `right` is not true or false"),
        ("[{text: hello}]", "case 1: `answer` is missing"),
        ("[{text: a, answer: b, agent: 3}]", "case 1: `agent` is no name"),
        ("[{run: run_1, right: true, router: [a]}]", "case 1: `router` is no name"),
        (
            "[{run: run_1, right: true, router: a, agent: b}]",
            "case 1: a `router` is labelled by `run`, without an `agent`",
        ),
        ("[{text: a, answer: b, router: c}]", "case 1: a `router` is labelled by `run`, without an `agent`"),
    ],
)
def test_a_case_that_is_none_is_told_with_its_place(
    line: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked."""
    monkeypatch.chdir(tmp_path)
    Path("cases.yaml").write_text(line)
    ran = here("calibrate", "shop", "--cases", "cases.yaml")
    assert ran.code == 64 and f"cases.yaml, {told}" in ran.err


@pytest.mark.parametrize(
    "words", [["--target", "0"], ["--target", "1"], ["--target", "100%"], ["--target", "much"], ["--wrong-costs", "-1"]]
)
def test_options_out_of_range_are_wrong_usage(words: list[str]) -> None:
    """Told at once."""
    assert here("calibrate", "shop", *words).code == 64
