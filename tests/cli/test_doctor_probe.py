"""``doctor --probe`` asks the servers, remembers what it found, and compares it with a lock file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import apart, command, here


@pytest.fixture
def server(home: Path) -> Iterator[str]:
    del home  # its own state folder
    argv = command("simulate-endpoint", "--model", "teller", "--face", "llama-cpp", "--log", "/dev/null")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_it_shows_what_a_server_does(server: str) -> None:
    """A line for each capability, with what was seen; where the make declares otherwise, that too."""
    ran = apart("doctor", "--probe", "--endpoint", server)
    assert ran.code == 0, ran.err
    assert f"llama-cpp b6000-0000000 at {server}, teller\n" in ran.out
    assert "  grammar        yes      it answered zebra\n" in ran.out
    assert "  context_told   yes      4096: the server tells it\n" in ran.out
    shown = json.loads(apart("doctor", "--probe", "--endpoint", server, "--json").out)
    assert shown["probed"][0]["findings"]["tool_named"]["support"] == "ignored"
    assert shown["left_out"] == {}


def test_a_lock_file_is_compared(server: str, tmp_path: Path) -> None:
    """As it was: 0. Otherwise: 3, with a line for each difference."""
    lock = tmp_path / "capabilities.lock.json"
    assert apart("doctor", "--probe", "--endpoint", server, "--lock", str(lock)).code == 0
    same = apart("doctor", "--probe", "--endpoint", server, "--check", str(lock))
    assert (same.code, same.err) == (0, f"as in {lock}\n")
    lock.write_text(lock.read_text().replace('"grammar": "yes"', '"grammar": "no"'))
    other = apart("doctor", "--probe", "--endpoint", server, "--check", str(lock))
    assert other.code == 3
    assert other.err == "differs llama-cpp teller: grammar was no, is yes (it answered zebra)\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--lock", "x"], "--lock is for a probe"),
        (["--probe", "--check", "missing.json"], "missing.json cannot be read"),
        (["--probe", "--check", "$HERE/broken.json"], "broken.json: "),
        (
            ["--probe", "--endpoint", "http://127.0.0.1:9", "--lock", "no/such/folder"],
            "no/such/folder cannot be written",
        ),
    ],
)
def test_wrong_usage_is_told(home: Path, tmp_path: Path, words: list[str], told: str) -> None:
    """With a cure, and without a traceback."""
    del home
    (tmp_path / "broken.json").write_text("{")
    ran = apart("doctor", *(word.replace("$HERE", str(tmp_path)) for word in words))
    assert ran.code == 64
    assert told in ran.err and "Traceback" not in ran.err


def test_nobody_to_probe_is_told(home: Path) -> None:
    """In words."""
    del home
    ran = apart("doctor", "--probe", "--endpoint", "http://127.0.0.1:9")
    assert (ran.code, ran.out) == (4, "not probed\n  http://127.0.0.1:9  nobody listens there\n")
    assert "error[ORC417]: nothing was probed: http://127.0.0.1:9: nobody listens there" in ran.err
    without = here("doctor", "--probe", environment={"ORCHESTRATOR_SERVERS": ""})
    assert (without.code, without.out) == (0, "no model server answers, so nothing was probed\n")


DESK = """\
metadata: {{name: desk}}
deployment:
  type: single-device
  models: [{{alias: teller, provider: vllm, model: teller, endpoint: "{url}"}}]
  agents: [{{name: desk, description: Tells the time., model: teller, instructions: Look it up., tools: [clock]}}]
  tools: [clock]
"""


def test_a_plan_knows_what_a_probe_found(home: Path, tmp_path: Path) -> None:
    """A vLLM without its flags looks as able as any; once it is probed, the plan says that its model calls no functions."""
    del home
    argv = command("simulate-endpoint", "--model", "teller", "--face", "vllm-without-calls", "--log", "/dev/null")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        manifest = tmp_path / "desk.yaml"
        manifest.write_text(DESK.format(url=url))
        before = apart("plan", str(manifest))
        probed = apart("doctor", "--probe", "--endpoint", url)
        after = apart("plan", str(manifest))
        process.terminate()
    assert "agent.desk  teller (vllm at" in before.out, before.out + before.err
    assert 'no   HTTP 400: "auto" tool choice requires --enable-auto-tool-choice' in probed.out
    assert "[ORC421] it has tools, and vllm at" in after.out, after.out + after.err


def test_a_server_that_is_too_old_is_told(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the doctor, and by the plan of what it serves, with a code."""
    del home
    argv = command("simulate-endpoint", "--model", "teller:latest", "--face", "ollama-old", "--log", "/dev/null")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        monkeypatch.setenv("ORCHESTRATOR_SERVERS", url)
        manifest = tmp_path / "desk.yaml"
        text = DESK.format(url=url).replace("provider: vllm", "provider: ollama").replace(", tools: [clock]", "")
        manifest.write_text(text.replace("  tools: [clock]\n", ""))
        doctor, plan = apart("doctor"), apart("plan", str(manifest))
        process.terminate()
    note = "version 0.1.48 is too old: nothing is known of versions before 0.5.0"
    assert f"    note: {note}\n" in doctor.out, doctor.out + doctor.err
    assert f"[ORC422] ollama at {url}: {note}" in plan.out, plan.out + plan.err


def test_the_doctor_remembers_what_was_probed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each model that was asked."""
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", server)
    apart("doctor", "--probe")
    told = apart("doctor").out
    assert "    probed: teller, stream_usage, tools, tool_required, json_schema, grammar, logprobs" in told, told


def test_a_lock_of_nothing_is_not_written(tmp_path: Path) -> None:
    """A check against it would accept nothing, and a job would seem to have passed."""
    lock = tmp_path / "capabilities.lock.json"
    ran = here("doctor", "--probe", "--endpoint", "http://127.0.0.1:9", "--lock", str(lock))
    assert ran.code == 4 and f"nothing was probed, so that {lock} is not written" in ran.err
    assert not lock.exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:70000", "http://[::1", "http://a..b", "ftp://x", "a b"])
@pytest.mark.parametrize("words", [("doctor", "--probe"), ("models", "list")])
def test_an_endpoint_that_is_no_address_is_refused_with_why(words: tuple[str, ...], url: str) -> None:
    """Before anybody is called there."""
    ran = here(*words, "--endpoint", url)
    assert ran.code == 64
    assert f"{url!r} is no address of a model server: " in ran.err
    assert "cure: write an address like http://127.0.0.1:8080" in ran.err
