"""``tune --ask``: whether a smaller model would do for a router, on simulated models of stated accuracy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.stated import StatedModel
from tests.app.tuned_shop import CASES, SHOP
from tests.cli.commands import Ran, golden, here
from tests.cli.serving import answering

ANSWERS = {
    json.dumps({"request": case.text}, ensure_ascii=False): json.dumps({"agent": next(iter(case.wanted), "none")})
    for case in CASES
}
MODELS = """\
  models:
    - {alias: large, provider: llama-cpp, model: large, endpoint: "LARGE", memory: 4GB}
    - {alias: small, provider: llama-cpp, model: small, endpoint: "SMALL", memory: 400MB}
  agents:
    - name: front
      role: router
      model: large  # to be sure
"""


@contextmanager
def models(small: float, folder: Path) -> Iterator[SimulatedEndpoint]:
    """A manifest whose router asks ``large``, which is always right, with a ``small`` one of this accuracy. Gives the small one."""
    tried = SimulatedEndpoint(("small",), StatedModel(answers=ANSWERS, accuracy=small))
    large = SimulatedEndpoint(("large",), StatedModel(answers=ANSWERS, accuracy=1.0))
    with answering(tried, "llama-cpp") as one, answering(large, "llama-cpp") as other:
        text = SHOP.replace("  agents:\n    - name: front\n      role: router\n", MODELS)
        (folder / "shop.yaml").write_text(text.replace("SMALL", one).replace("LARGE", other))
        lines = [json.dumps({"text": case.text, "agent": list(case.wanted)}) for case in CASES]
        (folder / "cases.jsonl").write_text("\n".join(lines))
        yield tried


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; no runtime and no other server are there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    return tmp_path


def tune(*words: str) -> Ran:
    """On the shop's cases."""
    return here("tune", "shop.yaml", "--cases", "cases.jsonl", "--target", "90%", *words, environment=QUIET)


QUIET = {"ORCHESTRATOR_SERVERS": ""}


def test_a_smaller_model_that_does_as_well_is_proposed(folder: Path) -> None:
    with models(1.0, folder):
        ran = tune("--ask")
    assert ran.code == 0
    assert "small (400 MB) in the place of large (4.0 GB) decides no fewer rightly and no more wrongly" in ran.out
    assert "-      model: large  # to be sure\n+      model: small  # to be sure\n" in ran.out
    assert re.search(r"asked of a model +[1-9]", ran.out) and "calls that failed" not in ran.out


def test_one_that_does_worse_is_not(folder: Path) -> None:
    with models(0.3, folder) as small:
        ran = tune("--ask")
        assert small.records
    assert ran.code == 0
    assert "note: no smaller model does as well: tried small" in ran.out and "+      model:" not in ran.out


def test_without_the_option_none_is_asked_and_that_is_told(folder: Path) -> None:
    with models(1.0, folder) as small:
        said = tune(), tune("--no-models")
        assert not small.records
    for ran in said:
        assert "note: no model was asked: what large decides, or a smaller one, was not tried (--ask)" in ran.out
    assert tune("--ask", "--no-models").code == 64


def test_words_are_not_proposed_in_the_place_of_a_model_that_was_not_asked(folder: Path) -> None:
    """It is always right here, which nobody knows who has not asked it."""
    with models(1.0, folder):
        before = (folder / "shop.yaml").read_text()
        ran = tune("--write", "--fail-if-better")
        assert (folder / "shop.yaml").read_text() == before
    assert ran.code == 0
    told = re.sub(r"\d+\.\d\d ms", "# ms", ran.out)
    assert told == golden("tune/model_not_asked.txt", told)
    assert "requests more are decided rightly" not in told


def test_asked_models_say_whether_words_may_decide_in_their_place(folder: Path) -> None:
    """A model that is mostly wrong is worth less than words that are mostly right."""
    with models(0.3, folder):
        text = (folder / "shop.yaml").read_text()
        (folder / "shop.yaml").write_text(text.replace("accuracy=1.0", "").replace("model: large", "model: small"))
        ran = tune("--ask")
    assert ran.code == 0
    assert "wrong decisions fewer and 0 more" in ran.out or "requests more are decided rightly" in ran.out


def test_where_no_server_answers_it_says_so(folder: Path) -> None:
    with models(1.0, folder):
        pass
    ran = tune("--ask")
    assert ran.code == 0
    assert re.search(r"note: large was not asked, and no smaller one tried: .*127\.0\.0\.1", ran.out)
