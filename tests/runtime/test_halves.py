"""Half a surrogate pair at every door of a real runtime: the answer is whole, the run is kept, the runtime lives."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.core.errors import UsageError
from orchestrator.core.event import DELTA, Event
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from tests.runtime.living import Home, eventually

MANIFEST = """\
apiVersion: orchestrator/v1
metadata: {{name: shop}}
deployment:
  type: single-device
  models: [{{alias: mine, provider: openai-compatible, model: m, endpoint: "{url}", primary: true}}]
  tools: [{{name: names, python: "names:names"}}]
  agents:
    - name: talk
      description: Talks.
      model: mine
      tools: [names]
      reflex: [{{when: {{keywords: [list]}}, call: names.names, say: "There is {{{{ result }}}}."}}]
"""
TOOL = 'def names() -> str:\n    """Names of files."""\n    return "caf\\udce9.txt"\n'
WHOLE = {"choices": [{"message": {"role": "assistant", "content": "half \ud83d of it"}, "finish_reason": "stop"}]}
PIECES = ["hi \ud83d", "\ude00 there \ud83d"]


class _Model(BaseHTTPRequestHandler):
    """A server that writes JSON with escapes, and cuts a text where it likes."""

    def do_GET(self) -> None:
        found = self.path.endswith("/models")
        self._answer(200 if found else 404, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not body.get("stream"):
            self._answer(200, WHOLE)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for delta in ({"content": text} for text in PIECES):
            self._piece({"delta": delta})
        self._piece({"delta": {}, "finish_reason": "stop"})
        self.wfile.write(b"data: [DONE]\n\n")

    def _piece(self, choice: object) -> None:
        self.wfile.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # all makes ask at once who it is; the usual 5 drops some of them


@contextmanager
def _model_server() -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Model)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def client(home: Home, tmp_path: Path) -> Iterator[RuntimeClient]:
    """A runtime that serves a model and a tool which both give halves; it must live to the end of the test."""
    (tmp_path / "names.py").write_text(TOOL, encoding="utf-8")
    with _model_server() as url:
        (tmp_path / "shop.yaml").write_text(MANIFEST.format(url=url), encoding="utf-8")
        client = home.start()
        made = compile_files([str(tmp_path / "shop.yaml")], environment={})
        client.apply(Wanted(made.blueprint))
        yield client
        assert home.processes[-1].poll() is None, home.said()


def _ask_door(client: RuntimeClient, body: bytes) -> tuple[int, str]:
    url = f"{client.about()['url']}/chat/completions"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _body(**more: object) -> bytes:
    return json.dumps({"model": "shop", "messages": [{"role": "user", "content": "hi"}], **more}).encode()


def test_a_model_that_gives_half_a_character(client: RuntimeClient) -> None:
    """Whole through the front door, streamed through both doors, in a session; and each run is found afterwards."""
    status, text = _ask_door(client, _body(session="s1"))
    assert status == 200, text
    assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "half \ufffd of it")
    assert client.find_run(json.loads(text)["id"])["text"] == "half \ufffd of it"
    status, text = _ask_door(client, _body(stream=True))
    pieces = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    said = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
    assert (status, said) == (200, "hi 😀 there \ufffd")
    heard: list[Event] = []
    result = client.run("shop", Request("hi", session="s1"), heard.append)
    assert result.text == "hi 😀 there \ufffd"
    assert "".join(event.fields["text"] for event in heard if event.kind == DELTA) == result.text
    assert client.find_run(result.id)["text"] == result.text


def test_a_tool_that_gives_half_a_character(client: RuntimeClient) -> None:
    """Its answer reaches the caller and the store."""
    result = client.run("shop", Request("list"))
    assert (result.text, result.value) == ("There is caf\ufffd.txt.", "caf\ufffd.txt")
    assert client.find_run(result.id)["value"] == "caf\ufffd.txt"


def test_a_caller_that_sends_half_a_character_is_turned_away(client: RuntimeClient) -> None:
    """At the front door and at the control socket, with the reason."""
    body = json.dumps({"model": "shop", "messages": [{"role": "user", "content": "half \ud83d"}]}).encode()
    status, text = _ask_door(client, body)
    assert (status, json.loads(text)["error"]["code"]) == (400, "invalid_json")
    with pytest.raises(UsageError, match="the body holds half a character"):
        client.run("shop", Request("half \ud83d"))
    eventually(lambda: client.run("shop", Request("list")).status == "completed")
