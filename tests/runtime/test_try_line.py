"""The line that ``apply`` prints to be tried is answered by what serves now; where nothing answers, it says what to do."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.verbs.init import MESH, STARTERS
from orchestrator.cli.view.applied import shown_try
from orchestrator.manifest.catalogue.reader import template_names
from orchestrator.plan.serving import NOTHING
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.cli.commands import Ran, here
from tests.cli.serving import answering
from tests.runtime.living import Home, eventually

NEED_A_MODEL = {"coding-template", "specialist-template", "ollama", "openai-compatible"}
NEED_DOCUMENTS = {"documentation-template", "faq-template"}
NAMES = [*(f"{name}-template" for name in template_names()), *(name for name in STARTERS if name != MESH)]


@pytest.fixture(scope="module")
def served() -> Iterator[Path]:
    """The home of one runtime without any model server."""
    path = Path(tempfile.mkdtemp(prefix="orc-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCHESTRATOR_HOME", str(path))
        patch.setenv("ORCHESTRATOR_SERVERS", "")
        home = Home(path)
        try:
            home.start()
            yield path
        finally:
            home.close()
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(autouse=True)
def same_home(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(served))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")


def manifest(name: str, folder: Path) -> Path:
    """The starter of this name as ``init`` writes it, else one agent of the template."""
    path = folder / f"{name}.yaml"
    if name in STARTERS:
        assert here("init", name, "--no-schema", "-o", str(path)).code == 0
    else:
        template = name.removesuffix("-template")
        path.write_text(f"deployment: {{type: single-device, models: [phi-4-mini], agents: [{template}]}}\n")
    return path


def applied(path: Path) -> str:
    ran = here("apply", str(path), "--yes")
    assert ran.code == 0, ran.err
    return ran.out


def typed(line: str) -> Ran:
    """What comes of a printed line."""
    program, *words = shlex.split(line)
    assert program == "orchestrator"
    return here(*words, "--json")


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_line_is_answered_or_says_what_is_missing(name: str, tmp_path: Path) -> None:
    said = applied(manifest(name, tmp_path))
    line = re.search(r"^  try      (orchestrator run .*)$", said, re.MULTILINE)
    if name in NEED_A_MODEL | NEED_DOCUMENTS:
        assert line is None, said
        wanted = "put documents (Markdown or text) into " if name in NEED_DOCUMENTS else "it would answer: "
        assert re.search(rf"^  try      nothing yet, .*{re.escape(wanted)}", said, re.MULTILINE), said
        return
    assert line is not None, said
    ran = typed(line[1])
    assert ran.code == 0, ran.err
    assert '"status": "completed"' in ran.out
    assert not re.search("nothing|not found|no such", ran.out.partition('"text": ')[2].splitlines()[0], re.IGNORECASE)


def test_documents_that_are_put_where_it_says_are_found_by_the_next_line(tmp_path: Path) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text("deployment: {type: single-device, agents: [faq]}\n")
    folder = re.search(r"into (\S+)$", applied(path), re.MULTILINE)
    assert folder is not None
    (Path(folder[1]) / "hours.md").write_text("# Opening hours\n\nThe opening hours are 9 to 18.\n")
    eventually(lambda: "  try      orchestrator run" in applied(path))  # the folder is looked at once a second
    line = re.search(r"^  try      (orchestrator run .*)$", applied(path), re.MULTILINE)
    assert line is not None
    ran = typed(line[1])
    assert ran.code == 0
    assert "9 to 18" in ran.out


ROUTED = """\
metadata: {{name: routed}}
deployment:
  type: single-device
  models: [{{alias: mine, provider: openai-compatible, model: m, endpoint: "{url}/v1"}}]
  agents:
    - {{name: front, role: router, strategy: intent, model: mine, routes: [hours, returns]}}
    - {{name: hours, description: Hours., examples: [when do you open], reflex: [{{say: Nine to six.}}], model: []}}
    - {{name: returns, description: Returns., examples: [take it back], reflex: [{{say: Bring it.}}], model: []}}
"""


def test_where_the_model_of_a_router_decides_an_example_is_offered_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "routed.yaml"
    with answering(simulated(["m"], Script(default='{"choice": "hours"}')), "openai") as url:
        path.write_text(ROUTED.format(url=url))
        said = applied(path)
    lines = said.splitlines()
    at = lines.index("  try      orchestrator run routed 'when do you open'")
    assert lines[at + 1 :][:2] == [
        "           (not tried: the model of front decides who answers it)",
        "           orchestrator chat routed",
    ]


def test_where_the_model_of_a_router_is_away_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "routed.yaml"
    path.write_text(ROUTED.format(url="http://127.0.0.1:9").replace("name: routed", "name: unchosen"))
    said = applied(path)
    assert re.search(
        r"^  try      nothing yet, .*; first router.front: with mine a model would choose: ", said, re.MULTILINE
    ), said


WITHOUT_EXAMPLES = """\
metadata: {name: {NAME}}
deployment:
  type: single-device
  agents:
    - {name: hours, description: Tells the hours., reflex: [{when: {WHEN}, say: Nine to six.}], model: []}
"""


@pytest.mark.parametrize("when", ["{keywords: [opening hours]}", "{asks: when do you open}", "{regex: opens at}"])
def test_a_rule_without_examples_is_tried_with_the_words_that_it_looks_for(when: str, tmp_path: Path) -> None:
    path = tmp_path / "wordless.yaml"
    name = f"wordless-{when[1:].partition(':')[0]}"
    path.write_text(WITHOUT_EXAMPLES.replace("{WHEN}", when).replace("{NAME}", name))
    line = re.search(r"^  try      (orchestrator run .*)$", applied(path), re.MULTILINE)
    assert line is not None
    assert "Nine to six." in typed(line[1]).out


@pytest.mark.parametrize(
    ("by", "first"),
    [
        ("phi-4-mini", "give its agents examples, or its router a model, to tell who answers what"),
        (NOTHING, "give an agent a model, or reflex rules"),
    ],
)
def test_where_models_are_served_nobody_is_told_to_give_agents_one(by: str, first: str) -> None:
    """A router that knows no examples and has no model reaches none of them."""
    serving = [{"agent": "agent.a", "by": by, "gain": "", "cure": ""}, {"agent": "router.front", "by": NOTHING}]
    trial = {"text": "", "cures": [], "example": "hello", "router": ""}
    lines = shown_try("kiosk", trial, [{"gain": "", "cure": "", **each} for each in serving])
    assert lines[0].endswith(f"; first {first}")
    told = shown_try("kiosk", trial, [], answers=by != NOTHING)  # of a fleet, whose nodes name only what they lack
    assert told == lines
