"""``orchestrator approvals`` against a real runtime: seen, allowed, refused, answered, and every way to say it wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import execute
from orchestrator.cli.view.approvals import shown, shown_list
from orchestrator.cli.view.terminal import Terminal
from tests.cli.commands import Ran, Screen, apart, here

HELP_DESK = """\
deployment:
  type: single-device
  entry: desk
  tools: [{name: tickets, approval: writes}]
  people: {queue: lead, say: 'wait for {{ approval }}'}
  agents:
    - name: desk
      description: Opens tickets.
      tools: [tickets]
      escalate_to: person
      reflex: [{call: tickets.create, arguments: {subject: '{{ text }}'}, say: 'Ticket {{ result.number }}.'}]
    - {name: person, role: escalation, human: {queue: front, expires: 2h}}
"""
Run = Callable[..., Ran]


@pytest.fixture
def orchestrator(tmp_path: Path) -> Iterator[Run]:
    """Runs a verb as a user with a runtime that serves the help desk."""
    (tmp_path / "help.yaml").write_text(HELP_DESK)
    environment = {"ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": "", "USER": "maria"}

    def run(*words: str, stdin: str = "") -> Ran:
        return apart(*words, stdin=stdin, folder=tmp_path, environment=environment)

    assert run("apply", "help.yaml").code == 0
    yield run
    assert run("runtime", "stop", "--drain", "1s").code == 0


def waiting(run: Run, text: str, *more: str) -> dict[str, Any]:
    """A request that waits."""
    ran = run("run", "help", text, "--json", *more)
    result: dict[str, Any] = json.loads(ran.out)
    assert (ran.code, result["status"]) == (0, "waiting")
    return result


def ended(run: Run, result: Mapping[str, Any]) -> dict[str, Any]:
    """How it ended, once it did."""
    for _ in range(100):
        found: dict[str, Any] = json.loads(run("explain", "run", result["id"], "--json").out)
        if found["status"] != "waiting":
            return found
        time.sleep(0.05)  # another process answers; it gives no sign that could be waited for
    raise AssertionError("it still waits")


def test_a_call_is_seen_allowed_and_made(orchestrator: Run) -> None:
    """From the request to the ticket."""
    ran = orchestrator("run", "help", "it burns")
    assert ran.out.startswith("wait for apv_")
    approval = ran.out.split()[-1]
    assert ran.err == f"it waits for a person: orchestrator approvals show {approval}\n"
    listed = orchestrator("approvals", "list").out
    assert "leave to call tickets.create" in listed and "it burns" in listed and approval in listed
    told = orchestrator("approvals", "show", approval[:8]).out
    assert '"subject": "it burns"' in told and "rule 1 of agent.desk" in told and "digest" in told
    silent = orchestrator("approvals", "approve", approval)
    assert (silent.code, "repeat with --yes" in silent.err) == (64, True)
    wrong = orchestrator("approvals", "approve", approval, "--digest", "0" * 64)
    assert (wrong.code, "ORC441" in wrong.err) == (4, True)
    agreed = orchestrator("approvals", "approve", approval, "--yes")
    assert agreed.out.startswith(f"{approval} is approved; run run_")
    (found,) = json.loads(orchestrator("approvals", "list", "help", "--all", "--json").out)
    assert (found["by"], found["state"]) == ("maria", "approved")
    assert ended(orchestrator, {"id": found["run"]})["text"] == "Ticket T-1001."
    again = orchestrator("approvals", "approve", approval, "--yes")
    assert (again.code, f"{approval} is approved by maria already" in again.err) == (4, True)
    assert orchestrator("approvals", "list").out == "nothing waits for a person\n"


def test_a_call_is_refused_with_a_reason(orchestrator: Run) -> None:
    """Which the one who asked reads; nothing is opened."""
    result = waiting(orchestrator, "it burns")
    ran = orchestrator("approvals", "deny", result["approval"], "--reason", "not today", "--by", "lea", "--json")
    assert json.loads(ran.out)["state"] == "denied"
    found = ended(orchestrator, result)
    assert (found["error"]["code"], found["error"]["message"]) == ("ORC540", "lea refused tickets.create: not today")
    told = orchestrator("explain", "run", result["id"]).out
    assert "ORC540" in told and "state denied" in told


def test_a_question_is_answered_by_words_or_from_standard_input(orchestrator: Run) -> None:
    """And whoever waits on the terminal gets the answer."""
    first, second = (waiting(orchestrator, f"help {number}", "--agent", "person") for number in (1, 2))
    assert first["text"].startswith("I have passed this on to a colleague (T-100")
    assert orchestrator("approvals", "answer", first["approval"], "at", "three").code == 0
    assert orchestrator("approvals", "answer", second["approval"], stdin="at four\n").code == 0
    assert (ended(orchestrator, first)["text"], ended(orchestrator, second)["text"]) == ("at three", "at four")
    empty = orchestrator("approvals", "answer", waiting(orchestrator, "x", "--agent", "person")["approval"], stdin=" ")
    assert (empty.code, "the answer is empty" in empty.err) == (64, True)


def test_run_waits_where_it_is_told_to(orchestrator: Run) -> None:
    """As long as it may; the run waits on."""
    ran = orchestrator("run", "help", "it burns", "--wait", "--timeout", "1s")
    assert (ran.code, "still waits after 1 s; it waits on" in ran.err) == (4, True)
    (found,) = json.loads(orchestrator("approvals", "list", "--json").out)
    assert "waits for" in orchestrator("explain", "run", found["run"]).out
    assert "1 thing for a person: orchestrator approvals list" in orchestrator("status", "help").out


def test_a_person_at_a_terminal_sees_the_arguments_and_is_asked(orchestrator: Run) -> None:
    """Anything but a yes is a no, and decides nothing."""
    result = waiting(orchestrator, "it burns")
    approval = result["approval"]
    no = here("approvals", "approve", approval, stdin="\n", terminal=True)
    assert (no.code, '"subject": "it burns"' in no.err) == (64, True)
    assert "allow tickets.create with these arguments? [y/N]" in no.err
    yes = here("approvals", "approve", approval, stdin="y\n", terminal=True, environment={"USER": "lea"})
    assert (yes.code, f"{approval} is approved" in yes.out) == (0, True)
    ended(orchestrator, result)
    told = orchestrator("approvals", "show", approval).out
    assert "by lea" in told and "called" in told


def test_what_waits_for_a_deployment_that_is_down_says_so(orchestrator: Run) -> None:
    """In the list, in the one, when it goes down, and where it is decided all the same; applied again, it goes on."""
    first, second = (waiting(orchestrator, f"it burns {number}") for number in (1, 2))
    down = orchestrator("down", "help").out
    told = "2 things still wait for a person, and for help to be applied again: orchestrator approvals list help"
    assert down == f"help is down; its history stays; {told}\n"
    note = "help is down: apply it again before you decide, or the run ends with ORC543 whatever is decided"
    listed = orchestrator("approvals", "list").out
    assert listed.count("pending (down)") == 2 and listed.count(note) == 1
    assert note in orchestrator("approvals", "show", first["approval"]).out
    decided = orchestrator("approvals", "approve", first["approval"], "--yes").out
    assert decided == (
        f"{first['approval']} is approved, and nobody serves help now: run {first['id']} ends with ORC543, and nothing is called. "
        "Apply help (orchestrator apply FILE), then ask again\n"
    )
    assert ended(orchestrator, first)["error"]["code"] == "ORC543"
    assert orchestrator("apply", "help.yaml").code == 0
    assert "down" not in orchestrator("approvals", "list").out
    assert orchestrator("approvals", "approve", second["approval"], "--yes").out.endswith("goes on\n")
    assert ended(orchestrator, second)["text"] == "Ticket T-1001."


def test_a_question_of_a_deployment_that_is_down_is_answered_all_the_same(orchestrator: Run) -> None:
    """Its run only waits for the answer, and needs nobody who serves."""
    asked = waiting(orchestrator, "help", "--agent", "person")
    orchestrator("down", "help")
    told = "help is down: an answer ends the run all the same"
    assert told in orchestrator("approvals", "show", asked["approval"]).out
    assert "ORC543" not in orchestrator("approvals", "list").out
    answered = orchestrator("approvals", "answer", asked["approval"], "call the fire brigade").out
    assert answered == f"{asked['approval']} is answered; run {asked['id']} ends with that\n"
    assert ended(orchestrator, asked)["text"] == "call the fire brigade"


def test_what_is_not_there_is_told(orchestrator: Run) -> None:
    """With what to type."""
    unknown = orchestrator("approvals", "show", "apv_nobody")
    assert (unknown.code, "ORC440" in unknown.err, "approvals list --all" in unknown.err) == (4, True, True)
    assert orchestrator("approvals", "list", "nothing").out == "nothing waits for a person\n"
    question = waiting(orchestrator, "help", "--agent", "person")
    wrong = orchestrator("approvals", "approve", question["approval"], "--yes")
    assert (wrong.code, "is a question, which nobody can approve" in wrong.err) == (64, True)


APPROVAL: dict[str, Any] = {
    "id": "apv_1",
    "kind": "call",
    "state": "pending",
    "deployment": "shop",
    "revision": 1,
    "run": "run_1",
    "session": "s",
    "agent": "a",
    "queue": "q",
    "data_class": "restricted",
    "request": "pay \x1b[31mme\x07 now " + "x" * 100,
    "why": "w",
    "conversation": "user: \x1b]0;evil\x07",
    "function": "shop.pay",
    "arguments": {"to": "\x1b[2Jme"},
    "effect": "write",
    "source": "rule 1 of agent.a",
    "digest": "d",
    "created": 0.0,
    "expires": 1e12,
    "decided": None,
    "by": "",
    "answer": "",
    "begun": None,
    "delivered": None,
}


def test_what_others_wrote_cannot_steer_the_terminal_of_who_decides() -> None:
    """Neither in the list nor in the arguments that are to be allowed."""
    terminal = Terminal((Screen(), Screen(terminal=True), Screen(terminal=True)), {}, plain=True)
    for text in (shown_list([APPROVAL], terminal), shown(APPROVAL, terminal)):
        assert "\x1b" not in text and "\x07" not in text
    assert "…" in shown_list([APPROVAL], terminal)


@pytest.mark.parametrize("words", [("approvals",), ("approvals", "alow", "x"), ("approvals", "approve")])
def test_wrong_usage_is_told(words: tuple[str, ...]) -> None:
    """As for every verb."""
    streams = Screen(), Screen(), Screen()
    assert execute(words, Terminal(streams, {})) == 64
