"""A model that its server ran itself at the last look and only passes on to another machine now gets nothing that is restricted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator.core.errors import ModelError, ModelNotFound
from orchestrator.plugins.providers.compatible import open_llama_cpp, open_llama_swap, open_ollama
from orchestrator.ports.provider import Forwarder, Target
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.http_protocol import Connection, HttpRequest
from orchestrator.testing.http_shell import HttpShell
from orchestrator.testing.lifecycle.store import stored
from tests.policy.shop import alone

__all__ = ["alone"]

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3a"
NURSE: Mapping[str, Any] = {"name": "nurse", "model": "own", "instructions": "Help.", "privacy_mode": True}


class Ollama(HttpShell):
    """Keeps what it is sent, and may answer ``/api/show`` with what is none."""

    def __init__(self, endpoint: SimulatedEndpoint) -> None:
        super().__init__(endpoint, "ollama")
        self.came: list[tuple[str, str]] = []
        self.shows: tuple[int, bytes] | None = None

    def serve(self, connection: Connection, request: HttpRequest) -> None:
        self.came.append((request.path, request.body.decode("utf-8", "replace")))
        if self.shows is not None and request.path == "/api/show":
            connection.respond(self.shows[0], "application/json", self.shows[1])
            connection.finished()
            return
        super().serve(connection, request)

    def pass_on(self) -> None:
        """All its models become models of another machine."""
        self.endpoint.store.forwarded.update(self.endpoint.store.installed)

    @property
    def canaries(self) -> list[str]:
        return [path for path, body in self.came if CANARY in body]

    @property
    def looks(self) -> int:
        return sum(path == "/api/show" for path, _ in self.came)


@dataclass
class Ward:
    opened: orchestrator.Opened
    server: Ollama

    async def run(self, text: str = CANARY, **fields: Any) -> orchestrator.Result:
        return await self.opened.run(text, **fields)


@asynccontextmanager
async def ward(
    folder: Path, *agents: Mapping[str, Any], models: tuple[str, ...] = ("own",), out: bool = False, **more: Any
) -> AsyncIterator[Ward]:
    """A deployment on an Ollama, whose models may be ``out`` of its memory."""
    server = Ollama(SimulatedEndpoint(kept=stored([*models])) if out else simulated([*models]))
    await server.start()
    try:
        written = {
            "metadata": {"name": "ward"},
            "deployment": {
                "type": "single-device",
                "models": [
                    {"alias": each, "model": each, "provider": "ollama", "endpoint": server.url} for each in models
                ],
                "agents": list(agents) or [NURSE],
                **more,
            },
        }
        path = folder / "ward.yaml"
        path.write_text(json.dumps(written))
        async with orchestrator.open(path) as opened:
            server.came.clear()
            yield Ward(opened, server)
    finally:
        await server.stop()


async def test_it_is_asked_right_before_each_restricted_call(tmp_path: Path) -> None:
    async with ward(tmp_path) as it:
        first = await it.run()
        assert first.error is None and it.server.canaries == ["/v1/chat/completions"] and it.server.looks == 1
        it.server.pass_on()
        it.server.came.clear()
        second = await it.run()
    assert it.server.canaries == []
    assert second.error is not None and second.error["code"] == "ORC550"
    assert "own is only passed on by ollama to another machine" in second.error["message"]


async def test_a_stream_is_no_other_way(tmp_path: Path) -> None:
    async with ward(tmp_path) as it:
        events = [each async for each in it.opened.stream(CANARY)]
        assert events[-1].fields["result"].error is None and it.server.looks == 1
        it.server.pass_on()
        it.server.came.clear()
        events = [each async for each in it.opened.stream(CANARY)]
    assert events[-1].fields["result"].error["code"] == "ORC550" and it.server.canaries == []


async def test_a_server_that_is_asked_for_its_window_first_is_asked_that_too(tmp_path: Path) -> None:
    """One that loads by itself for the call: the load holds nothing of it."""
    async with ward(tmp_path, out=True, resources={"auto_unload_idle_models": False}) as it:
        it.server.pass_on()
        result = await it.run()
        assert "/api/generate" in [path for path, _ in it.server.came]
    assert it.server.canaries == [] and it.server.looks == 1
    assert result.error is not None and result.error["code"] == "ORC550"


async def test_what_is_not_restricted_costs_no_question(tmp_path: Path) -> None:
    """And goes where it went before: the next look takes the model away."""
    async with ward(tmp_path, {**NURSE, "privacy_mode": False}) as it:
        await it.run()
        assert it.server.looks == 0
        it.server.pass_on()
        await it.run()
        assert it.server.canaries == ["/v1/chat/completions"] * 2
        assert (await it.run(data_class="restricted")).error is not None
    assert it.server.canaries == ["/v1/chat/completions"] * 2


@pytest.mark.parametrize("shows", [(200, b"{}"), (200, b"[]"), (200, b"<html>"), (404, b"{}"), (500, b"{}")])
async def test_where_it_does_not_tell_nothing_is_sent(tmp_path: Path, shows: tuple[int, bytes]) -> None:
    async with ward(tmp_path) as it:
        it.server.shows = shows
        result = await it.run()
    assert result.error is not None and it.server.canaries == []


async def test_a_retry_is_a_call_of_its_own(tmp_path: Path) -> None:
    async with ward(tmp_path) as it:
        it.server.endpoint.arm("server-error")
        result = await it.run()
    assert result.error is None and it.server.looks == 2 and len(it.server.canaries) == 2


async def test_another_model_takes_over(tmp_path: Path) -> None:
    """One that the server still runs itself."""
    async with ward(tmp_path, {**NURSE, "model": ["own", "other"]}, models=("own", "other")) as it:
        it.server.endpoint.store.forwarded.add("own")
        result = await it.run()
    assert result.error is None and result.served_by.endswith("/other")
    assert [json.loads(body)["model"] for path, body in it.server.came if path == "/v1/chat/completions"] == ["other"]


async def test_a_judge_of_what_is_restricted_is_asked_too(tmp_path: Path) -> None:
    nurse = {**NURSE, "escalate_when": [{"judge": {"model": "other"}}], "escalate_to": "boss"}
    boss = {"name": "boss", "role": "escalation", "model": "own", "privacy_mode": True, "instructions": "Help."}
    async with ward(tmp_path, nurse, boss, models=("own", "other")) as it:
        it.server.endpoint.store.forwarded.add("other")
        await it.run()
    asked = [json.loads(body)["model"] for path, body in it.server.came if path == "/v1/chat/completions"]
    assert asked and "other" not in asked


async def test_a_router_and_its_encoder_before_a_restricted_agent(tmp_path: Path) -> None:
    """The request is not restricted yet when the router reads it; who may get it is."""
    front = {
        "name": "front",
        "role": "router",
        "encoder": "nomic-embed-text",
        "model": "own",
        "stages": ["semantic", "intent"],
        "routes": ["nurse", "hours"],
    }
    nurse = {**NURSE, "examples": ["i feel ill today", "my head hurts a lot"]}
    hours = {"name": "hours", "examples": ["when do you open", "are you open on sunday"], "reflex": [{"say": "Nine."}]}
    async with ward(tmp_path, front, nurse, hours, models=("own", "nomic-embed-text")) as it:
        await it.run(f"{CANARY} hurts")
        assert "/v1/embeddings" in it.server.canaries
        it.server.pass_on()
        it.server.came.clear()
        await it.run(f"{CANARY} hurts more")
    assert it.server.canaries == [] and it.server.looks


# -- the port ---------------------------------------------------------------------------------------------------------


async def test_llama_swap_tells_by_its_list() -> None:
    provider = open_llama_swap()
    assert isinstance(provider, Forwarder) and not isinstance(open_llama_cpp(), Forwarder)
    server = HttpShell(simulated(["mine", "theirs"]), "llama-swap")
    await server.start()
    try:
        target = Target("llama-swap", f"{server.url}/v1", "mine")
        assert await provider.forwards(target, 1.0) is False
        with pytest.raises(ModelNotFound):
            await provider.forwards(Target("llama-swap", f"{server.url}/v1", "nobody's"), 1.0)
    finally:
        await server.stop()
        await provider.aclose()
    with pytest.raises(ModelError):
        await provider.forwards(target, 1.0)


async def test_a_model_of_ollamas_cloud_tells_by_its_name() -> None:
    """Nobody is asked."""
    provider = open_ollama()
    assert isinstance(provider, Forwarder)
    assert await provider.forwards(Target("ollama", "http://127.0.0.1:1/v1", "gpt-oss:120b-cloud"), 1.0)
