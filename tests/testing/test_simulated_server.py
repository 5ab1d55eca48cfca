"""The simulated endpoint as a process: its first line is its address, its log knows every request, SIGTERM ends it."""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.testing.simulated_server import _endpoint, add_options, main

BODY = {"model": "phi4-mini", "messages": [{"role": "user", "content": "one two three four"}]}


@contextmanager
def running(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "orchestrator.testing.simulated_server", "--model", "phi4-mini", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def post(url: str, path: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def lines_of(log: Path, count: int) -> list[dict[str, Any]]:
    """The log, once it has so many lines."""
    deadline = time.monotonic() + 10
    while len(lines := log.read_text().splitlines() if log.exists() else []) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.01)
    return [json.loads(line) for line in lines]


def test_it_answers_logs_and_ends(tmp_path: Path) -> None:
    """It prints its address, answers, logs to the file, takes faults over HTTP, and ends by SIGTERM with code 0."""
    log = tmp_path / "log"
    with running("--log", str(log), "--fault", "queue-full@2") as (url, process):
        status, answer = post(url, "/v1/chat/completions", BODY)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "one two three four")
        assert post(url, "/v1/chat/completions", BODY)[0] == 503
        assert post(url, "/simulated/faults", {"faults": ["unauthorized"]})[0] == 200
        assert post(url, "/v1/chat/completions", BODY)[0] == 401
        assert post(url, "/simulated/faults", {"faults": ["no-such"]})[0] == 400
        assert [line["outcome"] for line in lines_of(log, 3)] == ["finished", "queue-full", "unauthorized"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_client_that_goes_away_is_in_its_log(tmp_path: Path) -> None:
    """The log says after how many tokens the client went, and the slot is free again."""
    log = tmp_path / "log"
    with running("--log", str(log), "--tps", "20", "--slots", "1", "--face", "ollama") as (url, _):
        parts = urlsplit(url)
        body = json.dumps({**BODY, "stream": True, "messages": [{"role": "user", "content": "word " * 2000}]})
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as client:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall((head + body).encode())
            while b'"content":" word"' not in client.recv(4096):
                pass
        (line,) = lines_of(log, 1)
        assert line["outcome"] == "cancelled"
        assert 1 <= line["tokens"] < 2000
        assert post(url, "/v1/chat/completions", BODY)[0] == 200


def test_the_log_goes_to_standard_error_without_a_file() -> None:
    """Each request is a line of JSON there."""
    with running() as (url, process):
        post(url, "/v1/chat/completions", BODY)
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["outcome"] == "finished"


def test_a_script_file_is_obeyed(tmp_path: Path) -> None:
    """Rules of a YAML file answer."""
    script = tmp_path / "script.yaml"
    script.write_text("rules:\n  - match: two (\\w+)\n    say: heard \\1\n")
    with running("--script", str(script)) as (url, _):
        _, answer = post(url, "/v1/chat/completions", BODY)
    assert answer["choices"][0]["message"]["content"] == "heard three"


@pytest.mark.parametrize(
    "options",
    [["--fault", "no-such"], ["--script", "/nowhere.yaml"], ["--fault", "reset@never"]],
    ids=["fault", "script", "when"],
)
def test_wrong_usage_is_told(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong option ends with code 64 and a line that says why."""
    assert main(options) == 64
    assert capsys.readouterr().err.startswith("simulate-endpoint: ")


def test_it_lists_its_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """--list-faults prints every fault with what it does."""
    assert main(["--list-faults"]) == 0
    assert "drop-mid" in capsys.readouterr().out


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"model":"m"}',
        b'{"model":"m","messages":7}',
        b'{"model":"m","messages":["x"],"tool_choice":{"a":1}}',
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    """It answers 400, and goes on."""
    with running() as (url, _):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400
        connection.close()


def test_its_store_can_be_pulled_from_and_has_limits() -> None:
    """A library, a disk, a memory and the faults of a store, all from the command line."""
    options = ("--face", "ollama", "--library", "qwen2.5:0.5b=400MB", "--disk", "2.6GB", "--memory", "1GB")
    with running(*options, "--fault", "pull-wrong-digest") as (url, _):
        assert "no space left" in pulled(url, "qwen2.5:0.5b")[-1]["error"]
        assert post(url, "/api/generate", {"model": "phi4-mini", "options": {"num_ctx": 1}})[0] == 500
    with running("--face", "ollama", "--library", "qwen2.5:0.5b=400MB", "--fault", "pull-wrong-digest") as (url, _):
        assert "digest mismatch" in pulled(url, "qwen2.5:0.5b")[-1]["error"]
        assert pulled(url, "qwen2.5:0.5b")[-1] == {"status": "success"}


def pulled(url: str, model: str) -> list[dict[str, Any]]:
    """What a pull said, line by line."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("POST", "/api/pull", json.dumps({"model": model}))
        return [json.loads(line) for line in connection.getresponse().read().splitlines()]
    finally:
        connection.close()


@pytest.mark.parametrize("fault", ["pull-cut", "load-fails"])
def test_a_fault_of_the_store_is_listed(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the others."""
    assert main(["--list-faults"]) == 0
    assert f"\n{fault} " in capsys.readouterr().out


def test_refusals_at_once_close_the_port_once() -> None:
    """The later ones neither open it again nor break it."""
    body = json.dumps(BODY).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with running("--fault", "refuse:20ms@1-3") as (url, process):
        place = urlsplit(url).hostname, urlsplit(url).port
        sides = [socket.create_connection(place) for _ in range(3)]
        process.send_signal(signal.SIGSTOP)
        for side in sides:
            side.sendall(request)  # all are there before the server reads one
        process.send_signal(signal.SIGCONT)
        for side in sides:
            with pytest.raises(ConnectionResetError):
                side.recv(1)
            side.close()
        assert answered_again(url)[0] == 200
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    assert [json.loads(line)["outcome"] for line in log.splitlines()] == ["refuse"] * 3 + ["finished"]


def answered_again(url: str) -> tuple[int, Any]:
    """The first answer once the port is open."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return post(url, "/v1/chat/completions", BODY)
        except ConnectionError:
            assert time.monotonic() < deadline, "the port stays closed"
            time.sleep(0.005)


def test_a_fault_of_the_next_pull_is_written_with_its_number_or_without() -> None:
    """It strikes the first; of another one it is not silently that."""
    parsed = argparse.ArgumentParser()
    add_options(parsed)
    endpoint = _endpoint(parsed.parse_args(["--fault", "pull-cut@1", "--fault", "server-error@2"]))
    assert endpoint.store._armed == ["pull-cut"]
    assert [fault.name for fault in endpoint.faults] == ["server-error"]
    with pytest.raises(ValueError, match="write it like pull-cut or pull-cut@1"):
        _endpoint(parsed.parse_args(["--fault", "pull-cut@2"]))
