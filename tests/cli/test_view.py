"""How things are printed: columns, moments, plans, status, progress, logs."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from orchestrator.app.probing import Outcome
from orchestrator.cli.view.applied import shown_applied
from orchestrator.cli.view.checkup import shown_checkup
from orchestrator.cli.view.columns import columns, width
from orchestrator.cli.view.live import _Picture, live_progress
from orchestrator.cli.view.log import log_line
from orchestrator.cli.view.moments import ago
from orchestrator.cli.view.probed import shown_probes
from orchestrator.cli.view.progress import progress, step_line
from orchestrator.cli.view.result import story, tell_way
from orchestrator.cli.view.status import shown_status
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.event import Event
from orchestrator.core.request import Decision, Result, StepRecord
from orchestrator.plan.diff import diff
from orchestrator.ports.probe import Probed
from orchestrator.ports.provider import Identity, ServedModel
from tests.cli.commands import ROOT, Screen, golden, here
from tests.plan.parts import kiosk, state


def _terminal(*, terminal: bool = False) -> Terminal:
    return Terminal((Screen(terminal=terminal), Screen(terminal=terminal), Screen(terminal=terminal)), {})


STEP: Mapping[str, Any] = {"number": 2, "mark": "+", "address": "agent.a", "does": "start", "took_ms": 12.3}


def test_columns_are_as_wide_as_their_cells_on_the_screen() -> None:
    """Wide characters take two cells, colours none; the last column is not filled up."""
    rows = [("a", "\x1b[1mbold\x1b[0m", "x"), ("日本", "b", "")]
    assert columns(rows, indent=" ") == [" a     \x1b[1mbold\x1b[0m  x", " 日本  b"]
    assert width("\x1b[1;31mab\x1b[0m日") == 4
    assert columns([]) == []


def test_moments_are_told_as_people_say_them() -> None:
    """Whole units, the largest that fits twice."""
    assert [ago(0, now) for now in (0, 59, 119, 120, 7200, 200_000)] == [
        "0 s ago",
        "59 s ago",
        "119 s ago",
        "2 min ago",
        "2 h ago",
        "2 d ago",
    ]


def test_a_plan_is_shown_with_its_causes_and_who_answers() -> None:
    """As in the golden file; nothing is on this machine."""
    ran = here("plan", str(ROOT / "orchestrator" / "cli" / "starters" / "kiosk" / "kiosk.yaml"))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == golden("plan/kiosk.txt", ran.out)


def test_a_step_is_a_line() -> None:
    """Done with its time, begun with what goes on, failed with its reason."""
    assert step_line({**STEP, "state": "done"}, 12) == "[ 2/12] + agent.a: start (12 ms)"
    begun = {**STEP, "state": "done", "goes_on": "3 requests in work"}
    assert step_line(begun, 12) == "[ 2/12] + agent.a: start (goes on: 3 requests in work)"
    failed = {**STEP, "state": "failed", "error": {"message": "no room"}}
    assert step_line(failed, 12) == "[ 2/12] + agent.a: start: failed: no room"


def test_plain_progress_is_a_line_for_each_step_that_ends() -> None:
    """Other events say nothing."""
    terminal = _terminal()
    with progress(terminal, 2) as listen:
        for state in ("started", "done"):
            listen(Event("apply.step", 0.0, fields={**STEP, "state": state}))
        listen(Event("revision.activated", 0.0))
    assert terminal.stderr.getvalue() == "[2/2] + agent.a: start (12 ms)\n"  # type: ignore[attr-defined] # a StringIO in these tests


def test_live_progress_shows_what_is_done_what_runs_and_what_failed() -> None:
    """And a bar until all is done."""
    picture = _Picture(3)
    picture.take({**STEP, "number": 1, "state": "done"})
    picture.take({**STEP, "number": 2, "state": "started", "address": "agent.b"})
    picture.take({**STEP, "number": 3, "state": "failed", "address": "agent.c", "error": {"message": "no room"}})
    console = Console(file=io.StringIO(), width=80)
    console.print(picture)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # a StringIO in these tests
    assert lines[0].split() == ["✓", "+", "agent.a", "start", "12", "ms"]
    assert lines[1].split()[1:] == ["+", "agent.b", "start", "…"]
    assert lines[2].split() == ["✗", "+", "agent.c", "start", "no", "room"]
    assert lines[3].endswith("1/3")


def test_live_progress_keeps_to_the_newest_steps() -> None:
    """A long plan does not fill the screen."""
    stream = Screen()
    with live_progress(stream, 100) as listen:
        for number in range(100):
            listen(
                Event("apply.step", 0.0, fields={**STEP, "number": number, "address": f"a.{number}", "state": "done"})
            )
    shown = stream.getvalue()
    assert "a.99" in shown and "a.80" not in shown


DEPLOYMENT: Mapping[str, Any] = {
    "name": "shop",
    "state": "failing",
    "revision": 4,
    "serving": 3,
    "since": None,
    "origin": "/srv/shop.yaml",
    "cause": "apply",
    "in_flight": 2,
    "draining": [],
    "agents": [{"agent": "agent.a", "by": "nothing", "gain": "with m it would answer", "cure": "ollama pull m"}],
    "models": [
        {"alias": "m", "endpoints": [], "missing": "no server"},
        {"alias": "n", "endpoints": ["x", "y"], "missing": ""},
    ],
    "endpoints": [{"id": "x", "state": "ready"}, {"id": "y", "state": "unloaded"}],
    "port": 7412,
    "error": {"code": "ORC415", "message": "port 7412 is taken", "cure": "choose another"},
}
RUNTIME = {"version": "1.2", "state": "ready", "pid": 42, "url": "http://127.0.0.1:7411/v1"}


def test_the_status_says_what_is_wrong_and_what_would_help() -> None:
    """A deployment that fails serves its last revision on."""
    status = {"runtime": RUNTIME, "deployments": [DEPLOYMENT]}
    text = shown_status(status, _terminal(), whole=True)
    assert text + "\n" == golden("status/failing.txt", text + "\n")
    painted = shown_status(status, _terminal(terminal=True), whole=True)
    assert "\x1b[1;31mfailing\x1b[0m" in painted


def test_the_status_tells_an_endpoint_that_is_not_well_also_where_others_answer() -> None:
    """Why, and when it is tried again; without being asked for the whole."""
    ill = {"id": "vllm@x/a", "state": "open", "last_error": "HTTP 500: out of paper", "again_in": 11.6}
    endpoints = [ill, {"id": "ollama@y/b", "state": "ready"}]
    models = [
        {"alias": "phi", "endpoints": ["vllm@x/a"], "missing": ""},
        {"alias": "q", "endpoints": ["ollama@y/b"], "missing": ""},
    ]
    text = shown_status(
        {"runtime": RUNTIME, "deployments": [{**DEPLOYMENT, "endpoints": endpoints, "models": models}]},
        _terminal(),
        whole=False,
    )
    assert "model.phi  vllm@x/a (open: HTTP 500: out of paper; tried again in 12 s)" in text
    assert "ollama@y/b" not in text


def test_the_status_says_what_a_deployment_waits_for_and_since_when() -> None:
    """What failed and stands above is not told twice; when it is tried again is."""
    now = time.time()
    server = {
        "alias": "m",
        "process": "m",
        "kind": "llama-cpp",
        "state": "waiting",
        "why": "exit code 1",
        "url": "",
        "pid": None,
    }
    waits = [
        {
            "address": "server.m",
            "what": "to be started again",
            "since": now - 600,
            "error": "exit code 1",
            "again": now + 9.5,
        },
        {"address": "agent.a", "what": "start", "since": now - 3.1, "error": "", "again": None},
        {"address": "tool.t", "what": "open", "since": now - 7.1, "error": "it is broken", "again": now - 1},
    ]
    starting = {
        **DEPLOYMENT,
        "state": "starting",
        "untold": ["people are not told by webhook: the secret env:HOOKS is not set"],
        "error": None,
        "servers": [{**server, "log": "/log"}],
        "waits": waits,
    }
    text = shown_status({"runtime": RUNTIME, "deployments": [starting]}, _terminal(), whole=False)
    assert "  model.m  not served: no server\n" in text and "model.n" not in text
    assert text.splitlines()[-4:] == [
        "  waits for server.m since 10 min: to be started again; tried again in 9 s",
        "  waits for agent.a since 3 s: start",
        "  waits for tool.t since 7 s: open; the last try failed: it is broken; tried again now",
        "  people are not told by webhook: the secret env:HOOKS is not set",
    ]


def test_the_status_says_since_when_a_server_rests_and_what_starts_it() -> None:
    """It is no fault."""
    server: dict[str, Any] = {
        "process": "m",
        "kind": "vllm",
        "state": "resting",
        "why": "the next request starts it",
        "url": "http://x",
    }
    server |= {"pid": None, "memory": None, "log": "/log", "rests_since": time.time() - 240}
    running = {**DEPLOYMENT, "state": "running", "error": None, "servers": [server]}
    text = shown_status({"runtime": RUNTIME, "deployments": [running]}, _terminal(), whole=False)
    assert "  server.m  vllm, resting since 4 min: the next request starts it  see /log" in text.splitlines()


@pytest.mark.parametrize(("state", "why"), [("starting", "what was applied comes back"), ("stopping", "nothing new")])
def test_the_status_tells_a_runtime_that_starts_from_one_that_stops(state: str, why: str) -> None:
    """With since when."""
    runtime = {**RUNTIME, "state": state, "since": time.time() - 5.1}
    head = shown_status({"runtime": runtime, "deployments": []}, _terminal(), whole=False).splitlines()[0]
    assert head.startswith(f"runtime 1.2 {state} (it began that 5 s ago: ") and why in head


def test_the_status_of_an_idle_runtime_says_what_to_type() -> None:
    """Nothing is applied yet."""
    text = shown_status({"runtime": RUNTIME, "deployments": []}, _terminal(), whole=False)
    assert text.endswith("no deployment is applied: orchestrator apply FILE")


def test_a_log_line_says_why_a_model_left() -> None:
    """What left, from where, for whom."""
    fields = {
        "endpoint": "ollama@x/a",
        "model": "ollama@x/a",
        "reason": "makes room for ollama@x/b: nothing waits for it",
    }
    line = log_line({"at": 0.25, "kind": "model.unloaded", "revision": 3, "run": "", **fields})
    assert line.endswith(
        'model.unloaded     r3 endpoint=ollama@x/a model=ollama@x/a reason="makes room for ollama@x/b: nothing waits for it"'
    )


def test_a_log_line_is_easy_to_grep() -> None:
    """Values with blanks are quoted, errors say their message, what is empty is left out."""
    entry = {"at": 0.25, "kind": "run.finished", "revision": 3, "run": "run_1", "status": "failed", "agent": ""}
    line = log_line({**entry, "path": ["a", "b"], "error": {"message": "no model"}, "took": 1.5})
    assert line.endswith('.250 run.finished       r3 run_1 status=failed path=a,b error="no model" took=1.5')


RUN: Mapping[str, Any] = {
    "id": "run_1",
    "status": "failed",
    "deployment": "shop",
    "revision": 3,
    "finished": 0.0,
    "session": "anna",
    "request": "two\nlines",
    "text": "",
    "error": {"code": "ORC504", "message": "too late"},
    "path": ["router.front", "agent.a"],
    "served_by": "m",
    "why": "it is near",
    "usage": {"model_calls": 1, "tool_calls": 0, "prompt_tokens": 10, "completion_tokens": 5},
    "timings_ms": {"total": 100.0, "queue": 10.0, "model": 80.0},
    "decisions": [
        {
            "router": "front",
            "strategy": "lexical",
            "choice": None,
            "confidence": 0.25,
            "why": "nobody",
            "scores": {"a": 1, "b": 2},
        }
    ],
    "steps": [
        {"kind": "route", "subject": "router.front", "at_ms": 0.0, "took_ms": 1.0, "detail": {"choice": "a"}},
        {"kind": "model", "subject": "agent.a", "at_ms": 20.0, "took_ms": 80.0, "detail": {"endpoint": "e"}},
    ],
}


def test_a_run_is_told_as_a_story() -> None:
    """Request, answer or error, path, reasons, and each step as a bar in time."""
    text = story(RUN, _terminal())
    facts = [line for line in text.splitlines() if not line.startswith("  deployment")]
    assert "\n".join(facts) + "\n" == golden("run/failed.txt", "\n".join(facts) + "\n")


def test_the_way_says_why_an_agent_handed_over() -> None:
    """Once: where a decision of the agent tells it already, that one does."""
    steps = (
        StepRecord("escalate", "agent.b", 1.0, 1.0, {"from": "agent.a", "reason": "SchemaInvalid: no n\nin it"}),
        StepRecord("escalate", "agent.c", 2.0, 1.0, {"from": "agent.b", "reason": "judge: m says no"}),
    )
    result = Result(
        id="run_1",
        deployment="shop",
        revision=1,
        status="completed",
        text="9",
        agent="c",
        path=("agent.a", "agent.b", "agent.c"),
        decisions=(Decision("doubt", "c", why="judge: m says no", router="b"),),
        steps=steps,
    )
    terminal = _terminal()
    tell_way(result, terminal, whole=True)
    assert terminal.stderr.getvalue().splitlines()[1:] == [  # type: ignore[attr-defined] # a StringIO in these tests
        "  b, by doubt, chose c: judge: m says no",
        "  agent.a handed over to agent.b: SchemaInvalid: no n in it",
        "  run run_1",
    ]


def test_the_doctor_suggests_a_model_that_fits_the_machine() -> None:
    """And tells what else listens where a model server is looked for."""
    machine = {"version": "1.2", "python": "3.11", "interpreter": "python", "system": "Linux", "cpus": 1}
    machine |= {"memory": 4_000_000_000, "memory_free": 1, "disk_free": 1, "state": "s", "config": "c", "libraries": {}}
    machine |= {"accelerators": [], "power": "on battery (34%)", "unseen": ["no NVIDIA driver"], "for_models": ""}
    models = [
        {"alias": alias, "needs": 1, "fits": fits, "endpoints": [], "missing": "none", "cure": f"ollama pull {alias}"}
        for alias, fits in (("phi-4-mini", False), ("qwen2.5-1.5b", True))
    ]
    silent = {"http://127.0.0.1:8080": "it is no model server", "http://127.0.0.1:1": "nobody listens there"}
    found: dict[str, Any] = {
        "machine": machine,
        "runtime": None,
        "servers": [],
        "silent": silent,
        "looks_elsewhere": [],
        "manifest": None,
        "serving": [],
    }
    text = shown_checkup({**found, "models": models}, _terminal())
    assert "  http://127.0.0.1:8080: it is no model server\n" in text
    assert "A good first model for this machine is qwen2.5-1.5b: ollama pull qwen2.5-1.5b" in text
    assert "1 more are too large" in text and "1 core," in text
    assert "none seen (no NVIDIA driver)" in text and "on battery (34%)" in text
    pinned = [{**models[1], "cure": "lms get somebody/model"}]
    text = shown_checkup({**found, "manifest": "m", "models": pinned}, _terminal())
    assert "not served: lms get somebody/model\n" in text and text.endswith("\n  lms get somebody/model")


NASTY = "a\x1b]0;title\x07\x1b[8m\x9b2J\u202eb\r\tc\x7f\n"
SHOWN = "a␛]0;title␇␛[8m\\u009b2J\\u202eb␍\tc␡\n"


def test_a_terminal_obeys_nothing_that_a_model_said() -> None:
    """Control characters are shown, in pieces too; newline and tab stay, and elsewhere every byte stays."""
    for text in (NASTY, *([NASTY[:at], NASTY[at:]] for at in range(len(NASTY)))):
        shown, kept = _terminal(terminal=True), _terminal()
        for piece in [text] if isinstance(text, str) else text:
            shown.write(piece)
            kept.write(piece)
        assert shown.stdout.getvalue() == SHOWN  # type: ignore[attr-defined] # a StringIO in these tests
        assert kept.stdout.getvalue() == NASTY  # type: ignore[attr-defined] # a StringIO in these tests


def test_what_a_server_calls_itself_and_its_models_is_one_line_of_a_probe() -> None:
    """Wherever it is written: neither a row is torn nor a terminal steered, or its text turned round."""
    model, notes = ServedModel("a\nb\x1b[31m"), ("old\u202e\nfound",)
    identity = Identity("vllm", "http://h:1", "1\t2", notes=notes)
    text = shown_probes(Outcome((Probed(identity, model, {}),), {}), _terminal())
    assert text.splitlines() == [
        "vllm 1␉2 at http://h:1, a␊b␛[31m",
        "  note: old\\u202e␊found",
        "  its provider cannot be probed",
    ]


def test_a_line_of_our_own_keeps_its_colours_only() -> None:
    """On both streams: a quoted text can do no more than colour."""
    terminal = _terminal(terminal=True)
    line = terminal.paint("red", "error") + ": \x1b[2J\x1b[8m"
    terminal.say(line)
    terminal.tell(line)
    for stream in (terminal.stdout, terminal.stderr):
        assert stream.getvalue() == "\x1b[1;31merror\x1b[0m: ␛[2J␛[8m\n"  # type: ignore[attr-defined] # a StringIO in these tests


def test_an_apply_that_another_one_replaced_does_not_say_that_its_revision_runs() -> None:
    """Of two at once the later one counts; without another one it is the own revision that runs."""
    made, plan = kiosk(), diff(kiosk(), state())
    replaced = shown_applied(made, plan, {"revision": 2, "now": 3}, "http://127.0.0.1:1/v1", _terminal())
    assert replaced == (
        "kiosk: revision 3, of another apply, has taken the place of 2, which was applied here\n\n"
        "  see      orchestrator status kiosk"
    )
    for now in (2, None):
        shown = shown_applied(made, plan, {"revision": 2, "now": now}, "http://127.0.0.1:1/v1", _terminal())
        assert shown.startswith("kiosk runs, revision 2")
