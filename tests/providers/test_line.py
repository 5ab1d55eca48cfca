"""The line to a server: kept connections, lost ones, proxies, embeddings, kindness to servers that stray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, StaleConnection, Stalled, Unreachable
from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import (
    CompatibleProvider,
    open_llama_cpp,
    open_ollama,
    open_openai_compatible,
)
from orchestrator.plugins.providers.line import connection, near
from orchestrator.plugins.providers.openai_sdk import open_openai
from orchestrator.ports.provider import ChatCall, Delta, Secret, Target
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.http_shell import HttpShell, serving, serving_bytes
from orchestrator.testing.pace import Pace

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ANSWER = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'


@pytest.fixture
async def provider() -> AsyncIterator[CompatibleProvider]:
    opened = open_openai_compatible()
    yield opened
    await opened.aclose()


def call_to(url: str, text: str = "one two three", **fields: object) -> ChatCall:
    zone = fields.pop("zone", "node")
    key = fields.pop("api_key", None)
    target = Target("openai-compatible", f"{url}/v1", "m", key, zone)  # type: ignore[arg-type] # fields as the test names them
    return ChatCall(target, (Message("user", text),), **{"timeout": 10.0, **fields})  # type: ignore[arg-type] # fields as the test names them


async def failure(provider: CompatibleProvider, call: ChatCall) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await provider.chat(call)
    return caught.value


async def answers(provider: CompatibleProvider, call: ChatCall) -> bool:
    try:
        await provider.chat(call)
    except Unreachable:
        return False
    return True


class Counting(HttpShell):
    """Counts the connections that are made."""

    made = 0

    def _connection(self) -> object:  # type: ignore[override] # what it makes is of no interest here
        self.made += 1
        return super()._connection()


async def counting(endpoint: SimulatedEndpoint) -> Counting:
    shell = Counting(endpoint)
    await shell.start()
    return shell


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_connection_is_kept(streamed: bool) -> None:
    """Calls one after another go over one connection, streams too."""
    provider = open_ollama()
    shell = await counting(simulated(["m"], pace=Pace(tps=1000)))
    for _ in range(5):
        call = call_to(shell.url)
        if streamed:
            async with aclosing(provider.stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                assert [delta async for delta in deltas][-1].reply is not None
        else:
            await provider.chat(call)
    await provider.aclose()
    await shell.stop()
    assert shell.made == 1


@pytest.mark.parametrize("face", ["llama-cpp", "openai"])
async def test_a_call_right_after_a_stream_is_not_lost(face: str) -> None:
    """llama-server closes its connection after a stream without saying so: the next call must not meet that one."""
    provider = {"llama-cpp": open_llama_cpp, "openai": open_openai_compatible}[face]()
    async with serving(simulated(["m"]), face) as shell:
        for _ in range(30):
            async with aclosing(provider.stream(call_to(shell.url))) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                assert [delta async for delta in deltas]
            await provider.chat(call_to(shell.url))
    await provider.aclose()


def _event(delta: str, more: str = "") -> bytes:
    return f'data: {{"choices":[{{"delta":{delta},"finish_reason":null}}]{more}}}\n\n'.encode()


END = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("event", "sign"),
    [
        (_event('{"reasoning_content":"Let me see"}'), "writing"),
        (_event('{"reasoning":"Let me see","content":""}'), "writing"),
        (_event('{"tool_calls":[{"index":0,"id":"a","function":{"name":"clock","arguments":"{"}}]}'), "writing"),
        (_event('{"role":"assistant","content":null}', ',"prompt_progress":{"total":9,"processed":3}'), "reading"),
        (b": keepalive 2048/9000\n\n", "reading"),
        (_event('{"role":"assistant","content":""}'), None),
        (b": ping\n\n", None),
        (b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":0}}\n\n', None),
    ],
)
async def test_what_shows_that_a_model_works_is_told_apart_from_what_keeps_a_connection_open(
    event: bytes, sign: str | None, provider: CompatibleProvider
) -> None:
    """Thoughts, calls and a count of the prompt that is read are signs; an empty piece or a ping is none."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event + END
    async with serving_bytes([answer]) as url, aclosing(provider.stream(call_to(url))) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        seen = [delta async for delta in deltas]
    assert [delta.sign for delta in seen[:-1]] == ([sign] if sign else [])


async def test_a_comment_that_repeats_itself_is_no_sign_of_life(provider: CompatibleProvider) -> None:
    """A count that does not go on says nothing."""
    read_to = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: keepalive 1/9\n\n")
        await read_to.wait()
        writer.write(b": keepalive 1/9\n\n")
        await writer.drain()
        writer.write(_event('{"content":"hi"}') + END)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    seen: list[Delta] = []
    async with aclosing(provider.stream(call_to(url))) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        async for delta in deltas:
            seen.append(delta)
            read_to.set()
    server.close()
    assert [(delta.text, delta.sign) for delta in seen] == [("", "reading"), ("hi", ""), ("", "")]


async def test_an_idle_connection_is_given_up_before_a_server_would_close_it(
    provider: CompatibleProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its keep-alive time a connection is not used again."""
    assert near.KEEP_ALIVE < 5 / 1.5  # what uvicorn waits, with room to spare
    monkeypatch.setattr(near, "KEEP_ALIVE", 0.01)
    shell = await counting(simulated(["m"]))
    await provider.chat(call_to(shell.url))
    deadline = asyncio.get_running_loop().time() + 5
    while shell.made == 1 and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)  # longer than it is kept
        await provider.chat(call_to(shell.url))
    await shell.stop()
    assert shell.made > 1


async def test_a_kept_connection_that_was_closed_is_stale(provider: CompatibleProvider) -> None:
    """A connection that is closed on its second request, before a byte, is told apart from a server that fails."""
    endpoint = simulated(["m"])
    async with serving(endpoint) as shell:
        await provider.chat(call_to(shell.url))
        endpoint.arm("stale")
        assert type(await failure(provider, call_to(shell.url))) is StaleConnection
        assert (await provider.chat(call_to(shell.url))).message.content == "one two three"


async def test_a_fresh_connection_that_was_closed_is_unreachable(provider: CompatibleProvider) -> None:
    """The same on a fresh connection is a failure of the server."""
    async with serving_bytes([b""]) as url:
        assert type(await failure(provider, call_to(url))) is Unreachable


async def test_a_server_that_is_gone_and_comes_back(provider: CompatibleProvider) -> None:
    """While the port is closed every call is Unreachable; afterwards it answers again."""
    endpoint = simulated(["m"])
    async with serving(endpoint) as shell:
        endpoint.arm("refuse:300ms")
        assert isinstance(await failure(provider, call_to(shell.url)), Unreachable)
        assert "refused" in (await failure(provider, call_to(shell.url))).message.lower()
        deadline = asyncio.get_running_loop().time() + 10
        while not await answers(provider, call_to(shell.url)):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"\x00\x01garbage", BrokenReply),
        (b"SSH-2.0-OpenSSH_9.9\r\n", BrokenReply),
        (b"HTTP/1.1 200", BrokenReply),
        (HEAD + b"Content-Length: 999\r\n\r\n" + ANSWER, BrokenReply),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", BrokenReply),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", BrokenReply),
    ],
    ids=["bytes", "ssh", "cut-head", "cut-body", "bad-chunk", "redirect"],
)
async def test_what_is_not_http_is_a_broken_reply(
    provider: CompatibleProvider, answer: bytes, error: type[ModelError]
) -> None:
    """A listener that sends anything else than an HTTP answer ends in a typed error."""
    async with serving_bytes([answer]) as url:
        assert isinstance(await failure(provider, call_to(url)), error)


async def test_an_answer_without_a_length_is_read_to_its_end(provider: CompatibleProvider) -> None:
    """A body that ends with its connection is whole."""
    async with serving_bytes([HEAD + b"Connection: close\r\n\r\n" + ANSWER]) as url:
        assert (await provider.chat(call_to(url))).message.content == "hi"


async def test_an_endless_answer_is_cut(provider: CompatibleProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body larger than the limit is refused, not stored."""
    monkeypatch.setattr(connection, "MAX_REPLY", 1000)
    async with serving_bytes([HEAD + b"Connection: close\r\n\r\n" + b" " * 100_000]) as url:
        assert "longer than 1000" in (await failure(provider, call_to(url))).message


@pytest.mark.parametrize("base", ["", "ftp://x", "http://", "not an address", "http://127.0.0.1:99999"])
async def test_what_is_no_address_is_a_bad_request(provider: CompatibleProvider, base: str) -> None:
    """An address that cannot be called is told as such."""
    call = ChatCall(Target("x", base, "m"), (Message("user", "hi"),))
    assert isinstance(await failure(provider, call), BadRequest)


async def test_a_call_without_time_is_not_sent(provider: CompatibleProvider) -> None:
    """When no time is left nothing goes out."""
    endpoint = simulated(["m"])
    async with serving(endpoint) as shell:
        assert isinstance(await failure(provider, call_to(shell.url, timeout=0.0)), Stalled)
    assert endpoint.records == []


async def test_a_server_that_ignores_stream_is_understood(provider: CompatibleProvider) -> None:
    """A whole answer to a streamed call is one piece."""
    endpoint = simulated(["m"], faults=["whole-despite-stream"])
    async with serving(endpoint) as shell, aclosing(provider.stream(call_to(shell.url))) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        pieces = [delta async for delta in deltas]
    assert [piece.text for piece in pieces] == ["one two three"]
    assert pieces[0].reply is not None


async def test_proxies_of_the_environment_are_for_the_cloud_only(
    provider: CompatibleProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call to this device or its network goes straight, whatever the environment says; a cloud call by the proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with serving(simulated(["m"])) as shell:
        for zone in ("node", "lan", "cloud"):
            reply = await provider.chat(call_to(shell.url, zone=zone))
            assert reply.message.content == "one two three"
        library = open_openai()
        assert (await library.chat(call_to(shell.url, zone="cloud"))).message.content == "one two three"
        await library.aclose()
    far = call_to("http://models.invalid", zone="cloud")
    assert "127.0.0.1:9" in (await failure(provider, far)).message


async def test_the_key_and_the_request_id_are_sent(provider: CompatibleProvider) -> None:
    """A key goes as a bearer token, and is in no error; the request id goes in its header."""
    seen: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    error = await failure(provider, call_to(url, api_key=Secret("s3cret"), request_id="run_1"))
    server.close()
    assert b"Authorization: Bearer s3cret\r\n" in seen[0]
    assert b"X-Request-Id: run_1\r\n" in seen[0]
    assert "s3cret" not in repr(error)


async def test_a_large_prompt_goes_through(provider: CompatibleProvider) -> None:
    """Three megabytes of prompt are sent without a warning."""
    async with serving(simulated(["m"], context=10_000_000)) as shell:
        text = "word " * 600_000
        assert (await provider.chat(call_to(shell.url, text, max_tokens=2))).finish_reason == "length"


async def test_embeddings_keep_the_order_of_the_texts(provider: CompatibleProvider) -> None:
    """One vector a text, each its own."""
    endpoint = simulated(["m"])
    async with serving(endpoint) as shell:
        target = call_to(shell.url).target
        vectors = await provider.embed(target, ("a", "b", "a"), 5.0)
        library = open_openai()
        assert await library.embed(target, ("a", "b", "a"), 5.0) == vectors
        await library.aclose()
    assert vectors == tuple(endpoint.embedding(text) for text in "aba")


@pytest.mark.parametrize("body", [b"{}", b'{"data":[]}', b'{"data":[{"index":0,"embedding":["x"]}]}', b"[]", b"no"])
async def test_what_is_no_vector_is_a_broken_reply(provider: CompatibleProvider, body: bytes) -> None:
    """Too few vectors, or none, end in a typed error."""
    async with serving_bytes([HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body]) as url:
        with pytest.raises(BrokenReply):
            await provider.embed(call_to(url).target, ("a",), 5.0)


async def test_a_provider_can_be_closed_twice_and_used_again() -> None:
    """Closing is no end: the next call opens new connections."""
    provider = open_ollama()
    async with serving(simulated(["m"]), "ollama") as shell:
        before = await provider.chat(call_to(shell.url))
        await provider.aclose()
        await provider.aclose()
        after = await provider.chat(call_to(shell.url))
        await provider.aclose()
    assert (before.message.content, after.message.content) == ("one two three", "one two three")


def test_a_factory_refuses_options_that_it_does_not_have() -> None:
    """An option that nobody reads is an error, not a silence."""
    with pytest.raises(ValueError, match="no options"):
        open_ollama({"speed": "fast"})
    with pytest.raises(ValueError, match="speed"):
        open_openai({"speed": "fast"})


async def heard(provider: CompatibleProvider, url: str, streamed: bool) -> None:
    """Ask, and read all that comes."""
    if streamed:
        async with aclosing(provider.stream(call_to(url))) as deltas:  # type: ignore[type-var] # a generator, which closes
            [_ async for _ in deltas]
    else:
        await provider.chat(call_to(url))


PAGE = b"<!doctype html><html><head><title>A wiki</title></head><body>hello</body></html>"


@pytest.mark.parametrize(
    ("body", "said"), [(PAGE, 'an HTML page "A wiki"'), (b"\xff\x00 what is this", "what is this")]
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_no_answer_is_told_by_its_beginning(
    provider: CompatibleProvider, body: bytes, said: str, streamed: bool
) -> None:
    """Of a page for people its title, with a cure; in words, whatever its bytes are."""
    html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving_bytes([html + body]) as url:
        with pytest.raises(BrokenReply) as fault:
            await heard(provider, url, streamed)
    assert said in fault.value.message and "b'" not in fault.value.message
    assert bool(fault.value.cure) is (body is PAGE)


async def test_a_stream_that_only_kept_its_connection_open_was_one(provider: CompatibleProvider) -> None:
    """It is not told as something else."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    async with serving_bytes([head + b": keepalive\n\n"]) as url:
        with pytest.raises(BrokenReply, match="the stream ended before the answer did"):
            await heard(provider, url, True)
