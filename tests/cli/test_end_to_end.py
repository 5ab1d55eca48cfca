"""The whole way against the real runtime, started by ``apply`` as a user would: each verb as a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Ran, apart, command

SHOP = """\
deployment:
  type: single-device
  agents:
    - name: greeter
      description: Says hello.
      examples: [hello there, good morning, hi]
      reflex: [{when: {regex: '(?i)hello|morning|hi'}, say: 'Hello! You wrote: {{ text }}'}]
    - name: helper
      description: Opens tickets for broken things.
      examples: [my drill is broken, I have a complaint, this does not work]
      tools: [tickets]
      reflex: [{call: tickets.create, arguments: {subject: '{{ text }}'}, say: 'Ticket {{ result.number }}.'}]
"""
ALONE = SHOP.partition("    - name: helper")[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of one user, shared by the tests of this file: the runtime starts once."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(autouse=True, scope="module")
def stopped_at_the_end(base: Path) -> Iterator[None]:
    """No runtime outlives the tests."""
    yield
    ran = apart("runtime", "stop", "--drain", "1s", environment=_environment(base))
    assert ran.code == 0, ran.err


def _environment(base: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_HOME": str(base / "home"), "ORCHESTRATOR_SERVERS": "", "TZ": "UTC"}


Run = Callable[..., Ran]


@pytest.fixture
def orchestrator(base: Path, tmp_path: Path) -> Run:
    """Runs a verb as this user, in an empty folder that holds shop.yaml."""
    (tmp_path / "shop.yaml").write_text(SHOP)

    def run(*words: str, stdin: str = "") -> Ran:
        return apart(*words, stdin=stdin, folder=tmp_path, environment=_environment(base))

    return run


@pytest.fixture
def shop(orchestrator: Run) -> Iterator[str]:
    """A deployment of shop.yaml under a name of its own, which is taken down afterwards."""
    ran = orchestrator("apply", "shop.yaml")
    assert ran.code == 0, ran.err
    yield "shop"
    assert orchestrator("down", "shop").code == 0


def test_apply_starts_what_is_needed_and_says_what_to_type_next(orchestrator: Run) -> None:
    """The plan's steps on stderr as plain lines; who answers, the address and the next words on stdout."""
    ran = orchestrator("apply", "shop.yaml", "--name", "first")
    assert ran.code == 0, ran.err
    assert "plan for first: " in ran.err and "deployment.first: take requests" in ran.err and "\x1b[" not in ran.err
    assert ran.out.startswith(
        "first runs, revision 1\n  router.router  chooses by rules, keyword, lexical\n  agent.greeter  its 1 reflex rule\n"
    )
    assert "http://127.0.0.1:" in ran.out and "orchestrator run first 'hello there'" in ran.out
    assert orchestrator("down", "first").out == "first is down; its history stays\n"


def test_applied_twice_the_second_plan_is_empty(orchestrator: Run, shop: str) -> None:
    """And the revision stays."""
    before = orchestrator("history", shop).out
    ran = orchestrator("apply", "shop.yaml")
    assert ran.code == 0 and ran.err == "shop runs as wanted: nothing to do\n"
    assert orchestrator("plan", "shop.yaml").out.startswith("shop runs as wanted: nothing to do\n")
    assert orchestrator("history", shop).out == before


def test_a_dry_run_and_a_plan_change_nothing(orchestrator: Run) -> None:
    """They show the steps with their causes."""
    for words in (("plan", "shop.yaml"), ("apply", "shop.yaml", "--dry-run")):
        ran = orchestrator(*words)
        assert ran.code == 0 and "take requests (the manifest adds it)" in ran.out
    assert json.loads(orchestrator("plan", "shop.yaml", "--format", "json").out)["steps"][0]["number"] == 1
    assert '"shop"' not in orchestrator("status", "--json").out


def test_a_request_is_answered(orchestrator: Run, shop: str) -> None:
    """From words, from standard input, and as JSON."""
    assert orchestrator("run", shop, "hello", "there").out == "Hello! You wrote: hello there\n"
    assert orchestrator("run", shop, stdin="good morning\n").out == "Hello! You wrote: good morning\n"
    assert orchestrator("run", shop, "-", stdin="hi\n").out == "Hello! You wrote: hi\n"
    result = json.loads(orchestrator("run", shop, "my drill is broken", "--json").out)
    assert (result["status"], result["agent"], result["path"]) == (
        "completed",
        "helper",
        ["router.router", "agent.helper"],
    )


def test_an_answer_that_cannot_be_written_is_no_fault_of_the_runtime(base: Path, shop: str) -> None:
    """A full disk and a closed pipe are told as for every other verb, though the answer comes in pieces."""
    environment = {**os.environ, **_environment(base)}

    def ended(output: int) -> tuple[int, bytes]:
        ran = subprocess.run(
            command("run", shop, "hello"),
            env=environment,
            stdout=output,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        return ran.returncode, ran.stderr

    with Path("/dev/full").open("wb") as full:
        assert ended(full.fileno()) == (1, b"error: cannot write the output: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(writer) == (141, b"")
    finally:
        os.close(writer)


def test_the_way_is_told_on_stderr_when_asked(orchestrator: Run, shop: str) -> None:
    """Path, time, the router's reason and the run's id; stdout holds the answer only."""
    ran = orchestrator("run", shop, "hello there", "--show-path")
    assert ran.out == "Hello! You wrote: hello there\n"
    first, decision, run = ran.err.splitlines()
    assert first.startswith("[router.router -> agent.greeter · reflex · ") and first.endswith(" ms]")
    assert "chose greeter" in decision
    story = orchestrator("explain", "run", run.split()[1]).out
    assert "request     hello there" in story and "agent.greeter" in story and "steps\n" in story
    assert orchestrator("explain", "run").out == story
    assert json.loads(orchestrator("explain", "run", "--json").out)["request"] == "hello there"


def test_an_agent_can_be_asked_past_the_router(orchestrator: Run, shop: str) -> None:
    """An agent that is not there is told with the nearest name."""
    result = json.loads(orchestrator("run", shop, "hello", "--agent", "helper", "--json").out)
    assert result["path"] == ["agent.helper"]
    ran = orchestrator("run", shop, "hello", "--agent", "helpr")
    assert ran.code == 5 and "helper" in ran.err and ran.err.startswith("error[")


def test_a_deployment_that_is_not_there_is_told_with_the_nearest_name(orchestrator: Run, shop: str) -> None:
    """For every verb that takes a name."""
    for words in (("run", "shp", "hi"), ("chat", "shp"), ("down", "shp"), ("status", "shp")):
        ran = orchestrator(*words)
        assert ran.code == 4 and 'no deployment is called "shp"' in ran.err, words
        assert '  cure: did you mean "shop"?\n' in ran.err, words
        ran = orchestrator(words[0], "wholly-other", *words[2:])
        assert "  cure: applied deployments: " in ran.err and shop in ran.err.rpartition("cure: ")[2], words


def test_the_status_shows_what_runs(orchestrator: Run, shop: str) -> None:
    """For people and as JSON."""
    lines = orchestrator("status").out.splitlines()
    assert lines[0].startswith("runtime ") and " ready, process " in lines[0]
    assert lines[2].split() == ["DEPLOYMENT", "STATE", "REVISION", "SINCE", "IN", "WORK"]
    assert lines[3].split()[:2] == ["shop", "running"]
    assert "  manifest /" in orchestrator("status", shop).out
    status = json.loads(orchestrator("status", shop, "--json").out)
    assert [each["name"] for each in status["deployments"]] == ["shop"]


def test_only_the_difference_is_done_and_can_be_rolled_back(orchestrator: Run, shop: str, tmp_path: Path) -> None:
    """A changed agent is replaced; ``rollback`` brings the old one back as a new revision."""
    (tmp_path / "shop.yaml").write_text(SHOP.replace("Hello!", "Welcome!"))
    ran = orchestrator("apply", "shop.yaml")
    assert ran.code == 0 and "agent.greeter: replace" in ran.err and "agent.helper" not in ran.err
    assert orchestrator("run", shop, "hello").out == "Welcome! You wrote: hello\n"
    ran = orchestrator("rollback", shop)
    assert ran.code == 0 and ran.out.startswith("shop runs, revision ")
    assert orchestrator("run", shop, "hello").out == "Hello! You wrote: hello\n"
    causes = [entry["cause"] for entry in json.loads(orchestrator("history", shop, "--json").out)]
    assert causes[0].startswith("rollback") and causes[1] == "apply"
    ran = orchestrator("rollback", shop, "--to", "99")
    assert ran.code == 4 and f"{shop} has no revision 99; it has 1 to {len(causes)}\n" in ran.err
    assert orchestrator("history", shop).out.splitlines()[0].split() == ["REVISION", "WHEN", "CAUSE", "FROM"]


def test_a_removal_needs_a_yes(orchestrator: Run, shop: str, tmp_path: Path) -> None:
    """Without a terminal to ask at: exit code 3, and nothing is removed."""
    (tmp_path / "shop.yaml").write_text(ALONE)
    ran = orchestrator("apply", "shop.yaml")
    assert ran.code == 3
    assert "error[ORC401]: the plan removes " in ran.err and "--yes" in ran.err
    assert json.loads(orchestrator("run", shop, "x", "--agent", "helper", "--json").out)["status"] == "completed"
    assert orchestrator("apply", "shop.yaml", "--yes").code == 0
    assert orchestrator("run", shop, "x", "--agent", "helper").code == 5


def test_options_may_stand_between_the_words(orchestrator: Run, shop: str) -> None:
    """As people write them."""
    ran = orchestrator("run", shop, "--json", "--timeout", "20s", "hello", "there")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["text"] == "Hello! You wrote: hello there"


def test_two_manifests_cannot_have_one_name(orchestrator: Run, shop: str, tmp_path: Path) -> None:
    """A clash is told with both files."""
    (tmp_path / "other.yaml").write_text(SHOP.replace("Hello!", "Welcome!"))
    ran = orchestrator("apply", "other.yaml", "--name", "shop", "--yes")
    assert ran.code == 4 and ran.err.startswith("error[ORC416]"), "before any plan is shown"
    for words in (("plan", "other.yaml"), ("apply", "other.yaml", "--dry-run")):
        before = orchestrator(*words, "--name", "shop")
        assert (before.code, before.out) == (4, "") and before.err == "\n".join(ran.err.splitlines()[-2:]) + "\n"


def test_several_files_and_standard_input_make_one_manifest(orchestrator: Run, tmp_path: Path) -> None:
    """Later ones are laid over earlier ones."""
    (tmp_path / "site.yaml").write_text("metadata: {name: milan}\n")
    ran = orchestrator("apply", "-", "-f", "site.yaml", stdin=SHOP)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("milan runs, revision 1\n")
    assert orchestrator("down", "--all").code == 0


def test_a_conversation_can_be_piped(orchestrator: Run, shop: str) -> None:
    """Without a terminal there is no prompt: only answers."""
    ran = orchestrator("chat", shop, stdin="hello\n\n/why\n/what\n/new\ngood morning\n/quit\nhi\n")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "Hello! You wrote: hello"
    assert lines[1].startswith("router: ")
    assert lines[2] == 'there is no /what; did you mean "/why"?'
    assert lines[3:] == ["a new conversation begins", "Hello! You wrote: good morning"]


def test_the_log_tells_what_happened(orchestrator: Run, shop: str) -> None:
    """Without what users and agents said."""
    result = json.loads(orchestrator("run", shop, "hello from Ada", "--json").out)
    out = orchestrator("logs", shop).out
    assert "revision.activated" in out and f"run.finished       r{result['revision']} {result['id']}" in out
    assert "Ada" not in out
    last = json.loads(orchestrator("logs", shop, "-n", "1", "--json").out)
    assert (last["kind"], last["run"]) == ("run.finished", result["id"])


def test_the_log_of_nothing_is_an_error(orchestrator: Run, shop: str) -> None:
    """Also with -f, which would wait for ever."""
    for words in (["nosuch"], ["nosuch", "-f"]):
        ran = orchestrator("logs", *words)
        assert (ran.code, ran.out) == (4, "")
        assert 'error[ORC413]: no deployment was ever called "nosuch"' in ran.err


def test_the_log_can_be_followed(orchestrator: Run, shop: str, base: Path) -> None:
    """Events appear as they happen, until Ctrl-C."""
    environment = {**os.environ, **_environment(base)}
    with subprocess.Popen(command("logs", shop, "-f", "-n", "0"), env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = b""
        end = time.monotonic() + 30
        while b"run.finished" not in seen and time.monotonic() < end:
            orchestrator("run", shop, "hello")
            while select.select([process.stdout], [], [], 0.3)[0]:
                seen += os.read(process.stdout.fileno(), 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert b"run.started" in seen and b"run.finished" in seen


def test_a_mesh_is_refused_before_anything_starts(orchestrator: Run, tmp_path: Path) -> None:
    """With what is missing."""
    text = "deployment: {type: distributed-edge, nodes: [{id: a, agents: [scheduling], models: [phi-4-mini]}]}"
    (tmp_path / "mesh.yaml").write_text(text)
    ran = orchestrator("apply", "mesh.yaml")
    assert ran.code == 4 and "mesh" in ran.err and "error[ORC410]" in ran.err


def test_the_runtime_can_be_stopped_and_comes_back_with_what_was_applied(orchestrator: Run, shop: str) -> None:
    """``runtime start`` restores it."""
    told = orchestrator("runtime", "status").out
    assert "state    ready" in told or "ready" in told
    assert orchestrator("runtime", "stop").out == "the runtime is stopped\n"
    assert orchestrator("run", shop, "hello").code == 4
    assert orchestrator("runtime", "start").out.startswith("the runtime runs: process ")
    end = time.monotonic() + 20
    ran = orchestrator("run", shop, "hello")
    while ran.code != 0 and time.monotonic() < end:
        ran = orchestrator("run", shop, "hello")
    assert ran.out == "Hello! You wrote: hello\n"
    assert '"event": "ready"' in orchestrator("runtime", "logs").out


def test_the_unit_can_be_looked_at_before_it_is_installed(orchestrator: Run, base: Path) -> None:
    """``--print`` writes nothing."""
    text = orchestrator("runtime", "install", "--print").out
    assert "ExecStart=" in text and str(base / "home") in text


def test_in_the_foreground_it_serves_until_a_signal_comes(tmp_path: Path) -> None:
    """As systemd and containers want it; with a home of its own."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    environment = {**os.environ, **_environment(tmp_path)}
    with subprocess.Popen(
        command("apply", "shop.yaml", "--foreground"),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "shop runs, revision 1; a signal ends it\n"
        ran = apart("run", "shop", "hello", environment=_environment(tmp_path))
        assert ran.out == "Hello! You wrote: hello\n"
        second = apart("apply", str(tmp_path / "shop.yaml"), "--foreground", environment=_environment(tmp_path))
        assert second.code == 4 and "another runtime of this user runs already" in second.err
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        steps = process.stderr.read()
        assert "+ deployment.shop: take requests (" in steps and "[1/1]" not in steps


def test_what_an_answer_does_not_say_of_itself_is_told_beside_it(orchestrator: Run, shop: str) -> None:
    """Its notes, on stderr, without an option: in run, in a chat, and with --json only as JSON."""
    orchestrator("run", shop, "hello", "--session", "anna", "--data-class", "restricted")
    note = 'note: the session "anna" holds restricted requests, and so this one counts as one\n'
    ran = orchestrator("run", shop, "hello", "--session", "anna")
    assert (ran.code, ran.out, ran.err) == (0, "Hello! You wrote: hello\n", note)
    shown = orchestrator("run", shop, "hello", "--session", "anna", "--show-path")
    assert shown.err.startswith(note) and shown.err.count("note: ") == 1
    talked = orchestrator("chat", shop, "--session", "anna", stdin="hello\n/why\n")
    assert talked.err.startswith(note) and "Hello! You wrote: hello" in talked.out
    plain = orchestrator("run", shop, "hello", "--session", "anna", "--json")
    assert plain.err == "" and json.loads(plain.out)["notes"] == [note.removeprefix("note: ").strip()]
