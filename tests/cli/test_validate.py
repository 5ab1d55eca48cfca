"""``validate``: every fault of a manifest, for people and for the programs that read diagnostics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import ROOT, apart, golden, here

FAULTY = """\
deployment:
  type: single-device
  models:
    - alias: phi-4-mini
      primry: true
  agents:
    - name: orders
      model: phi-4-mini
      temperature: 3
"""
WARNED = """\
deployment:
  type: single-device
  models: [phi-4-mini, qwen2.5-0.5b]
  agents:
    - name: helper
      model: phi-4-mini
      instructions: Answer briefly.
"""
SOUND = """\
deployment:
  type: single-device
  models: [phi-4-mini]
  agents:
    - {name: helper, model: phi-4-mini, instructions: Answer briefly.}
"""
CYCLE = """\
deployment:
  type: single-device
  models: [phi-4-mini]
  agents:
    - {name: a, model: phi-4-mini, escalate_to: b, instructions: hello}
    - {name: b, role: escalation, model: phi-4-mini, escalate_to: a, instructions: hello}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a faulty, a cyclic, a sound and a warned manifest, which is the working folder."""
    for name, text in (("faulty", FAULTY), ("cycle", CYCLE), ("warned", WARNED), ("sound", SOUND)):
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("seed", ["single-device", "distributed-edge"])
def test_the_seed_manifests_are_valid(seed: str) -> None:
    """Verbatim, for ever."""
    ran = here("validate", str(ROOT / "manifests" / f"{seed}.yaml"))
    assert ran.code == 0 and "not valid" not in ran.out and ": valid, " in ran.out


def test_faults_are_told_all_at_once_with_place_and_cure(desk: Path) -> None:
    """Several files, each by itself; one faulty file is enough for exit code 2."""
    ran = here("validate", "faulty.yaml", "cycle.yaml", "sound.yaml")
    assert (ran.code, ran.err) == (2, "")
    assert ran.out == golden("validate/human.txt", ran.out)


@pytest.mark.parametrize("format_", ["json", "sarif", "github"])
def test_other_programs_read_the_same_faults(desk: Path, format_: str) -> None:
    """As in the golden file."""
    ran = here("validate", "faulty.yaml", "cycle.yaml", "sound.yaml", "--format", format_)
    assert (ran.code, ran.err) == (2, "")
    text = ran.out
    if format_ == "sarif":
        log = json.loads(text)
        log["runs"][0]["tool"]["driver"]["semanticVersion"] = "0.0.0"
        text = json.dumps(log, indent=2, ensure_ascii=False) + "\n"
    assert text == golden(f"validate/{format_}.txt", text)


def test_the_sarif_log_has_what_scanning_services_need(desk: Path) -> None:
    """Version, tool, a rule for each result, messages, and regions that are counted from 1."""
    log: dict[str, Any] = json.loads(here("validate", "faulty.yaml", "--format", "sarif").out)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "orchestrator"
    assert run["results"] and len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "faulty.yaml"
        region = physical["region"]
        assert region["startLine"] >= 1 and 1 <= region["startColumn"] < region["endColumn"]


def test_a_hostile_file_name_cannot_end_a_workflow_command(desk: Path) -> None:
    """Line breaks, commas and colons of names and messages are escaped."""
    name = "a,b:c\nd%.yaml"
    (desk / name).write_text(FAULTY)
    lines = here("validate", name, "--format", "github").out.splitlines()
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)
    assert "file=a%2Cb%3Ac%0Ad%25.yaml," in lines[0]


def test_nothing_wrong_is_nothing_to_annotate(desk: Path) -> None:
    """And still valid JSON and SARIF."""
    assert here("validate", "sound.yaml", "--format", "github").out == ""
    assert json.loads(here("validate", "sound.yaml", "--format", "json").out)["valid"] is True
    assert json.loads(here("validate", "sound.yaml", "--format", "sarif").out)["runs"][0]["results"] == []


def test_warnings_fail_only_when_asked(desk: Path) -> None:
    """``--strict`` is for CI."""
    ran = here("validate", "warned.yaml")
    assert ran.code == 0 and "warning[ORC307]: nobody uses model.qwen2.5-0.5b" in ran.out
    assert here("validate", "warned.yaml", "--strict").code == 2
    assert here("validate", "sound.yaml", "--strict").code == 0


def test_standard_input_is_read_for_a_dash(desk: Path) -> None:
    """It needs a name, which has no file to come from."""
    text = (desk / "sound.yaml").read_text()
    assert "error[ORC150]" in here("validate", "-", stdin=text).out
    ran = here("validate", "-", "--set", "metadata.name=shop", stdin=text)
    assert ran.code == 0 and "<stdin>" not in ran.out and '"shop"' in ran.out


def test_files_are_checked_together_when_asked(desk: Path) -> None:
    """An overlay alone lacks what its base has."""
    (desk / "site.yaml").write_text("deployment:\n  timeout: 10s\n")
    assert here("validate", "sound.yaml", "site.yaml").code == 2
    ran = here("validate", "--together", "sound.yaml", "site.yaml")
    assert (ran.code, ran.out.split(":")[0]) == (0, "sound.yaml + site.yaml")


def test_a_variable_comes_from_the_environment(desk: Path) -> None:
    """And its absence is told."""
    (desk / "port.yaml").write_text(FAULTY.replace("primry: true", "primary: true").replace("3", "${HEAT}"))
    assert here("validate", "port.yaml", environment={"HEAT": "0.5"}).code == 0
    assert "error[ORC140]" in here("validate", "port.yaml").out


@pytest.mark.parametrize(("name", "code"), [("nobody.yaml", "ORC101"), (".", "ORC102")])
def test_what_is_no_file_is_told(desk: Path, name: str, code: str) -> None:
    """Like every other fault."""
    ran = here("validate", name)
    assert ran.code == 2 and ran.out.startswith(f"error[{code}]")


def test_colours_are_shown_on_a_terminal_only(desk: Path) -> None:
    """And never with NO_COLOR or on a dumb terminal."""
    assert "\x1b[1;31merror[" in here("validate", "faulty.yaml", terminal=True).out
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b[" not in here("validate", "faulty.yaml", terminal=True, environment=environment).out
    assert "\x1b[" not in here("validate", "faulty.yaml").out


def test_other_verbs_tell_the_faults_of_a_manifest_on_stderr(desk: Path) -> None:
    """Exit code 2 wherever a manifest is read, and nothing is started."""
    for verb in ("graph", "plan", "apply"):
        ran = here(verb, "faulty.yaml")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.endswith("2 errors\n") and "faulty.yaml:5:7" in ran.err


def test_the_program_itself_gives_the_exit_code(desk: Path) -> None:
    """As a process, with what it says on the right stream."""
    ran = apart("validate", "faulty.yaml", folder=desk)
    assert ran.code == 2 and "2 errors" in ran.out and ran.err == ""
