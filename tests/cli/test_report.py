"""``report`` against a real runtime that really serves: rules, a small, a larger and a cloud model, a person."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.script import Rule, Script
from tests.cli.commands import Ran, apart, golden
from tests.cli.serving import answering

OFFICE = """\
metadata: {name: office}
deployment:
  type: single-device
  models:
    - {alias: phi-4-mini, provider: llama-cpp, model: phi-4-mini, endpoint: "SMALL"}
    - {alias: phi-4, provider: llama-cpp, model: phi-4, endpoint: "LARGER"}
    - {alias: gpt-5-mini, provider: llama-cpp, model: gpt-5-mini, endpoint: "CLOUD", zone: cloud}
  tools: [tickets]
  entry: clerk
  agents:
    - name: clerk
      description: Answers.
      model: phi-4-mini
      escalate_to: senior
      escalate_when: [error, abstains]
      reflex: [{when: {keywords: [hours]}, say: Nine to six.}, {when: {keywords: [what]}, unsure: true, say: What do you mean?}]
    - {name: senior, role: escalation, model: phi-4, escalate_to: expert, escalate_when: [error, abstains]}
    - {name: expert, role: escalation, model: gpt-5-mini, escalate_to: person, escalate_when: [error, abstains]}
    - {name: person, role: escalation, human: {queue: desk}}
"""
DIFFICULTY = {"small": "easy", "larger": "easy|hard", "cloud": "easy|hard|harder"}
NAMES = {"small": "phi-4-mini", "larger": "phi-4", "cloud": "gpt-5-mini"}
Run = Callable[..., Ran]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Run]:
    """Runs a verb as a user with a runtime that serves the office."""
    environment = {"ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": "", "USER": "maria"}

    def run(*words: str) -> Ran:
        return apart(*words, folder=tmp_path, environment=environment)

    with ExitStack() as stack:
        text = OFFICE
        for role, model in NAMES.items():
            script = Script((Rule(rf"^({DIFFICULTY[role]})\b", say="Done."),), default="UNKNOWN")
            url = stack.enter_context(answering(SimulatedEndpoint((model,), script), "llama-cpp"))
            text = text.replace(role.upper(), url)
        (tmp_path / "office.yaml").write_text(text)
        applied = run("apply", "office.yaml")
        assert applied.code == 0, applied.err
        yield run
        assert run("runtime", "stop", "--drain", "1s").code == 0


def ask(office: Run) -> None:
    for text in ("hours?", "hours today", "what", "easy one", "easy two", "hard one", "harder one", "nobody knows"):
        done = office("run", "office", text)
        assert done.code == 0, done.err


def settled(text: str) -> str:
    """Without what differs from run to run: moments, times, ports."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-26 12:00:00", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", text)
    text = re.sub(r"(?<=\])  +\S+ ?m?s +\S+ ?m?s$", "  0 ms  0 ms", text, flags=re.MULTILINE)
    return re.sub(r"(INTERVAL)( +)P50( +)P95", r"\1  P50   P95", text)


def test_who_answered_and_what_that_saved(office: Run) -> None:
    """The zone is what each run recorded; what is not known is said."""
    assert office("report", "office").out == "office: no run is kept of that time (orchestrator run office …)\n"
    ask(office)
    plain = office("report", "office")
    assert plain.code == 0, plain.err
    shown = settled(plain.out)
    assert shown == golden("report-office.txt", shown)
    shown = office("report", "office", "--cloud-price", "0.25/2").out
    assert re.search(
        r"the cloud alone \d\.\d{4}: 6 answered requests of \d+ tokens read and \d+ written$", shown, re.MULTILINE
    )
    assert "(the 2 that nobody answered count here, not for the cloud alone)" in shown
    priced = office("report", "office", "--cloud-price", "0.25/2", "--watts", "45", "--kwh-price", "0.3", "--json")
    told = json.loads(priced.out)
    counts = {tier: found["count"] for tier, found in told["tiers"].items() if found["count"]}
    assert counts == {"rule": 2, "small": 2, "larger": 1, "cloud": 1, "unsure": 1, "waiting": 1}
    assert told["local"]["count"] == 5 and told["local"]["share"] == 0.625
    assert set(told["tokens"]) == {"node", "cloud"} and told["tokens"]["cloud"]["calls"] == 2
    estimate = told["estimate"]
    assert estimate["missing"] == [] and estimate["all_cloud"] > estimate["spent"] > 0
    assert estimate["energy_wh"] > 0 and estimate["electricity"] > 0


def test_a_part_of_the_runs(office: Run) -> None:
    """The newest, or those of the last time; and what is asked wrongly."""
    ask(office)
    assert json.loads(office("report", "office", "--last", "2", "--json").out)["runs"] == 2
    assert json.loads(office("report", "office", "--since", "1h", "--json").out)["runs"] == 8
    assert office("report", "office", "--since", "0s").out.startswith("office: no run is kept of that time")
    for words, said in (
        (("nobody",), "no deployment was ever called"),
        (("office", "--since", "soon"), "--since soon is no span of time"),
        (("office", "--last", "0"), "--last 0 is no number of runs"),
        (("office", "--cloud-price", "3"), "--cloud-price 3 is one number"),
        (("office", "--watts", "much"), "--watts much is no number"),
    ):
        ran = office("report", *words)
        assert ran.code != 0 and said in ran.err, ran.err
