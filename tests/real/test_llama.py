"""The real llama.cpp server does, with the tiny model, what the other tests count on."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.real.llama import LlamaServer, LlamaServers
from tests.real.tiny_model import CALLS_TOOLS, TinyModel

AGENTS = ["billing", "technical", "sales"]
CHOICE = {
    "type": "object",
    "properties": {"agent": {"enum": AGENTS}, "sure": {"type": "boolean"}},
    "required": ["agent", "sure"],
    "additionalProperties": False,
}
LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Find an order.",
        "parameters": {"type": "object", "properties": {"kind": {"enum": ["order", "quote"]}}, "required": ["kind"]},
    },
}


def test_names_itself_and_its_model(tiny_server: LlamaServer) -> None:
    """A client can see what is served, and with how much context per request."""
    model = tiny_server.get("/v1/models").json["data"][0]
    assert (model["id"], model["meta"]["n_vocab"]) == ("tiny", 1024)
    assert tiny_server.get("/props").json["total_slots"] == 2


def test_random_weights_choose_a_valid_route(tiny_server: LlamaServer) -> None:
    """Constrained to a schema, 20 of 20 replies at temperature 1 are valid, and not all the same."""
    schema = {"type": "json_schema", "json_schema": {"name": "choice", "strict": True, "schema": CHOICE}}
    chosen: Counter[str] = Counter()
    for seed in range(20):
        reply = tiny_server.chat("Why is my bill so high?", response_format=schema, temperature=1, seed=seed)
        assert reply.status == 200, reply.text
        choice = json.loads(reply.json["choices"][0]["message"]["content"])
        assert set(choice) == {"agent", "sure"} and isinstance(choice["sure"], bool)
        chosen[choice["agent"]] += 1
    assert set(chosen) <= set(AGENTS) and len(chosen) > 1


def test_the_same_seed_gives_the_same_text(tiny_server: LlamaServer) -> None:
    """A recorded run can be played again."""
    texts = {
        tiny_server.chat("Hello", seed=7, max_tokens=30).json["choices"][0]["message"]["content"] for _ in range(3)
    }
    assert len(texts) == 1


def test_another_model_seed_is_another_model(tiny_server: LlamaServer, llama_server: LlamaServers) -> None:
    """Two servers with different weights can stand for two models."""
    other = llama_server(TinyModel(seed=1), alias="other")
    mine, its = (server.chat("Hello", seed=7, max_tokens=30).text for server in (tiny_server, other))
    assert json.loads(mine)["choices"] != json.loads(its)["choices"]


def test_a_model_that_leans_to_tools_calls_them(llama_server: LlamaServers) -> None:
    """With a bias to tool calls, random weights emit well-formed calls of the function that was offered."""
    server = llama_server(CALLS_TOOLS, alias="caller")
    called = 0
    for seed in range(20):
        reply = server.chat("Where is it?", tools=[LOOK_UP], tool_choice="required", seed=seed, max_tokens=400)
        if reply.status != 200 or reply.json["choices"][0]["finish_reason"] != "tool_calls":
            continue  # known of this server: cut off at the limit, or a reply that it cannot parse itself
        for call in reply.json["choices"][0]["message"]["tool_calls"]:
            assert call["function"]["name"] == "look_up"
            assert json.loads(call["function"]["arguments"])["kind"] in {"order", "quote"}
            called += 1
    assert called >= 10


def test_a_client_that_goes_away_frees_the_slot(tiny_server: LlamaServer) -> None:
    """A closed connection stops the generation, and the server's own log says so."""
    connection = http.client.HTTPConnection("127.0.0.1", tiny_server.port, timeout=30)
    body = {"messages": [{"role": "user", "content": "go on"}], "stream": True, "ignore_eos": True, "max_tokens": 1900}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b"data:")
    response.close()
    connection.close()
    tiny_server.wait_for_log("cancel task")


def test_a_key_is_asked_for(llama_server: LlamaServers) -> None:
    """Further options reach the server: with a key set, a request without it is refused."""
    server = llama_server(TinyModel(), "--api-key", "made-up", alias="locked")
    assert server.chat("Hello").status == 401


def test_a_killed_server_is_gone(llama_server: LlamaServers) -> None:
    """A test can take a server away as a crash does."""
    server = llama_server(alias="victim")
    server.kill()
    assert not server.is_ready()
    with pytest.raises(ConnectionRefusedError):
        server.chat("Hello")


STARTS_ONE_AND_WAITS = """
import pathlib, sys
from tests.real.llama import LlamaServers
server = LlamaServers(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))()
print(server.port, flush=True)
sys.stdin.read()
"""


def test_a_server_does_not_outlive_the_tests(llama_binary: Path, tmp_path: Path) -> None:
    """When the test process is killed, and can clean up nothing, its servers end too."""
    command = [sys.executable, "-c", STARTS_ONE_AND_WAITS, str(llama_binary), str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2]) as tests:
        assert tests.stdout is not None
        server = LlamaServer(int(tests.stdout.readline()), "tiny", tmp_path, tests)
        assert server.is_ready()
        tests.kill()
    deadline = time.monotonic() + 10
    while server.is_ready():
        assert time.monotonic() < deadline, "the server still answers"
