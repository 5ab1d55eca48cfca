"""The provider for OpenAI-compatible servers against a real llama.cpp server: the same suite as against the simulated one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

import anyio
import pytest

from orchestrator.core.errors import BrokenReply, ContextTooLong, Refused
from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import CompatibleProvider, open_llama_cpp
from orchestrator.plugins.providers.discovery import discover
from orchestrator.plugins.providers.openai_sdk import open_openai
from orchestrator.ports.provider import ChatCall, ChatReply, Secret, Target, Watched
from orchestrator.testing.conformance import CLOCK, ROUTE, WEATHER, ProviderConformance, Subject
from tests.providers.opened import open_all
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.tiny_model import CALLS_TOOLS, TinyModel

pytestmark = pytest.mark.anyio

DEAD = Target("llama-cpp", "http://127.0.0.1:9", "tiny")


@pytest.fixture
async def provider() -> AsyncIterator[CompatibleProvider]:
    opened = open_llama_cpp()
    yield opened
    await opened.aclose()


def target_of(server: LlamaServer, key: Secret | None = None) -> Target:
    return Target("llama-cpp", f"{server.url}/v1", server.alias, key)


def call_to(server: LlamaServer, text: str = "hello", **fields: object) -> ChatCall:
    return ChatCall(target_of(server), (Message("user", text),), **{"max_tokens": 64, **fields})  # type: ignore[arg-type] # fields as the test names them


class TestLlamaServer(ProviderConformance):
    """The suite on the real server; random weights promise no text, so nothing is an echo, and no tool call."""

    @pytest.fixture
    async def subject(self, tiny_server: LlamaServer, provider: CompatibleProvider) -> Subject:
        return Subject(provider, tiny_server.url, target_of(tiny_server), echoes=False, tools=False, dead=DEAD)


class TestLlamaServerThroughTheOfficialLibrary(ProviderConformance):
    """The same, through the official library."""

    @pytest.fixture
    async def subject(self, tiny_server: LlamaServer) -> AsyncIterator[Subject]:
        library = open_openai()
        target = target_of(tiny_server)
        yield Subject(library, target.api_base, target, echoes=False, tools=False, knows_reuse=False, dead=DEAD)
        await library.aclose()


async def test_it_is_found_with_its_slots_and_context(tiny_server: LlamaServer) -> None:
    """The real server is recognised as llama.cpp, and nothing else; its context is told per slot."""
    providers = open_all()
    (sighting,) = (await discover(providers, [tiny_server.url])).sightings
    kinds = {one.kind for one in providers if await one.identify(tiny_server.url)}
    for one in providers:
        await one.aclose()
    assert sighting.identity is not None
    assert sighting.identity.provider == "llama-cpp"
    assert kinds == {"llama-cpp", "openai-compatible"}
    assert [(model.id, model.context, model.slots, model.kind) for model in sighting.models] == [
        ("tiny", 2048, 2, "chat")
    ]


async def test_every_constrained_answer_fits(tiny_server: LlamaServer, provider: CompatibleProvider) -> None:
    """Thirty answers under a schema, each by another seed, all fit it: random weights choose a valid route."""
    routes = set()
    for seed in range(30):
        reply = await provider.chat(call_to(tiny_server, schema=ROUTE, seed=seed, max_tokens=400, temperature=1.0))
        value = json.loads(reply.message.content)
        assert value.keys() == {"route", "sure"}
        assert value["route"] in ("billing", "shipping")
        assert 0 <= value["sure"] <= 9
        routes.add(value["route"])
    assert routes == {"billing", "shipping"}


async def test_tool_calls_come_whole_and_streamed(llama_server: LlamaServers, provider: CompatibleProvider) -> None:
    """A named tool is the only one that is called; the streamed call is the whole one."""
    server = llama_server(CALLS_TOOLS, alias="caller")
    seen = 0
    for seed in range(10):
        call = call_to(
            server, tools=(CLOCK, WEATHER), tool_choice="weather", seed=seed, max_tokens=400, temperature=1.0
        )
        try:
            whole = await provider.chat(call)
            async with aclosing(provider.stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                streamed = [delta async for delta in deltas][-1].reply
        except BrokenReply:
            continue  # known of this server: it cannot parse what random weights wrote
        assert streamed is not None
        assert names_and_arguments(streamed) == names_and_arguments(whole)
        if whole.finish_reason == "tool_calls":  # else it was cut off at its limit
            assert {name for name, _ in names_and_arguments(whole)} == {"weather"}
            assert json.loads(whole.message.tool_calls[0].arguments)["place"] in ("Oslo", "Rome")
            seen += 1
    assert seen


def names_and_arguments(reply: ChatReply) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in reply.message.tool_calls]


async def test_it_tells_how_far_it_has_read_a_long_prompt(
    tiny_server: LlamaServer, provider: CompatibleProvider
) -> None:
    """The signs that keep a slow prompt from being taken for a hang come before the first text."""
    call = call_to(tiny_server, "word " * 900, max_tokens=4)
    async with aclosing(provider.stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        seen = [delta async for delta in deltas]
    signs = [delta.sign for delta in seen]
    assert "reading" in signs
    assert signs.index("reading") < next(number for number, delta in enumerate(seen) if delta.text or delta.reply)


async def test_log_probabilities_are_given(tiny_server: LlamaServer, provider: CompatibleProvider) -> None:
    """One for each token, with as many alternatives as were asked for."""
    reply = await provider.chat(call_to(tiny_server, top_logprobs=3, max_tokens=5, seed=3))
    assert len(reply.logprobs) == reply.usage.completion_tokens
    assert {len(token.top) for token in reply.logprobs} == {3}


async def test_a_prompt_that_does_not_fit_is_told(tiny_server: LlamaServer, provider: CompatibleProvider) -> None:
    """The real server's refusal becomes ContextTooLong."""
    with pytest.raises(ContextTooLong):
        await provider.chat(call_to(tiny_server, "word " * 5000))


async def test_a_key_is_wanted(llama_server: LlamaServers, provider: CompatibleProvider) -> None:
    """Without the key: recognised, with a note, and Refused. With it: answered."""
    server = llama_server(TinyModel(), "--api-key", "sesame", alias="locked")
    identity = await provider.identify(server.url)
    assert identity is not None
    assert "wants an API key" in identity.notes
    call = call_to(server)
    with pytest.raises(Refused):
        await provider.chat(call)
    assert await provider.models(identity, Secret("sesame"))
    await provider.chat(replace(call, target=target_of(server, Secret("sesame"))))


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_call_ends_in_the_servers_own_log(
    llama_server: LlamaServers, provider: CompatibleProvider, streamed: bool
) -> None:
    """Cancelled in the middle, the server's log says that the task was cancelled.

    For a whole answer it looks whether its client is still there after a second without any news from any slot: so the
    answer must last longer, and nobody may ask for the slots meanwhile.
    """
    server = llama_server(alias=f"cancelled-{streamed}", slots=1)
    call = call_to(server, "go on", max_tokens=4000, top_logprobs=20, extra={"ignore_eos": True})

    async def ask() -> None:
        if streamed:
            async for _ in provider.stream(call):
                pass
        else:
            await provider.chat(call)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await _until(lambda: "processing task" in server.log.read_text(errors="replace"))
        tasks.cancel_scope.cancel()
    await _until(lambda: "cancel task" in server.log.read_text(errors="replace"))
    assert "eval time" not in server.log.read_text(errors="replace"), "it wrote its answer to the end"
    server.kill()


async def test_it_tells_whether_it_is_at_work(llama_server: LlamaServers, provider: CompatibleProvider) -> None:
    """For another client; and it tells nothing once it hangs, as here where its process is stopped."""
    assert isinstance(provider, Watched)
    server = llama_server(alias="watched", slots=1)
    target, log = target_of(server), server.log
    assert await provider.at_work(target, 2.0) is None, "it has nothing to do"
    call = call_to(server, "go on", max_tokens=4000, top_logprobs=20, extra={"ignore_eos": True})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(provider.chat, call)
        await _until(lambda: "processing task" in log.read_text(errors="replace"))
        assert await provider.at_work(target, 2.0) is True
        os.killpg(server.process.pid, signal.SIGSTOP)
        assert await provider.at_work(target, 0.5) is False
        tasks.cancel_scope.cancel()
    server.kill()


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - the condition is another process's
            await anyio.sleep(0.005)
