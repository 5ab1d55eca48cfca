"""The line to servers nearby: what HTTP/1.1 allows a server to send, in any slicing, and what it may not."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, Unreachable
from orchestrator.plugins.providers.line import connection as connections
from orchestrator.plugins.providers.line import near
from orchestrator.plugins.providers.line.answer import Errand
from orchestrator.plugins.providers.line.near import NearLine
from orchestrator.plugins.providers.line.place import address
from orchestrator.ports.provider import Secret
from orchestrator.testing.http_shell import serving_bytes
from tests.providers.near import AFTER_INTERIM, CHUNKS, LENGTH, OK, TO_THE_END, asked, speaking

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "answer", [LENGTH, CHUNKS, TO_THE_END, AFTER_INTERIM], ids=["length", "chunks", "to-the-end", "after-interim"]
)
async def test_an_answer_is_read_in_every_form(answer: bytes, line: NearLine) -> None:
    """A body ends by its length, by its last chunk or with its connection; interim answers are passed over."""
    async with serving_bytes([answer]) as url:
        found = await asked(url, line)
    assert (found.status, found.body) == (200, b"hello")


class _Wire(asyncio.Transport):
    """Takes what is written."""

    closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Into nothing."""

    def abort(self) -> None:
        """Closed."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was aborted."""
        return self.closed

    def get_write_buffer_size(self) -> int:
        """Everything is sent at once."""
        return 0


@given(
    answer=st.sampled_from([LENGTH, CHUNKS, AFTER_INTERIM]),
    cuts=st.lists(st.integers(min_value=1, max_value=120), max_size=12),
)
@settings(deadline=None)
def test_any_slicing_gives_the_same_answer(answer: bytes, cuts: list[int]) -> None:
    """Packets may end anywhere."""

    async def go() -> tuple[int, bytes]:
        made = connections.Connection("http://x", lambda _: None)
        made.connection_made(_Wire())
        made.begin(b"", keep=True, deadline=asyncio.get_running_loop().time() + 60)
        edges = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
        for start, end in itertools.pairwise(edges):
            made.data_received(answer[start:end])
        await made.until(connections.Awaited.END)
        assert made.usable and made.keep
        return made.status, made.take()

    assert asyncio.run(go()) == (200, b"hello")


async def test_what_comes_after_an_answer_is_not_taken_for_the_next_one(line: NearLine) -> None:
    """A server that sends two answers to one request loses the connection; the next request gets its own answer."""
    made = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while await reader.read(65536):
            body = b"%d" % made
            writer.write(OK + b"Content-Length: 1\r\n\r\n" + body + OK + b"Content-Length: 5\r\n\r\nwrong")
            await writer.drain()

    async with speaking(speak) as url:
        assert [(await asked(url, line)).body for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", "compresses its answer"),
        (OK + b"X: " + b"y" * 70_000 + b"\r\n", "headers of more than 65536 bytes"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "does not speak HTTP"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "does not speak HTTP"),
        (OK + b"Content-Length: 9\r\n\r\nxx", "the connection broke within the answer"),
    ],
    ids=["compressed", "endless-head", "upgrade", "two-lengths", "cut"],
)
async def test_what_a_server_may_not_send_is_a_broken_reply(answer: bytes, message: str, line: NearLine) -> None:
    """Each is told for what it is."""
    async with serving_bytes([answer]) as url:
        with pytest.raises(BrokenReply, match=message):
            await asked(url, line)


async def test_pieces_that_came_before_a_break_are_not_lost(line: NearLine) -> None:
    """A stream gives all that arrived, then its fault."""
    async with serving_bytes([OK + b"Content-Length: 99\r\n\r\nhello"]) as url:
        answer = await line.open("GET", Errand(address(url, "/"), 5.0), None)
        assert await answer.read() == b"hello"
        with pytest.raises(BrokenReply):
            await answer.read()
        answer.close()


async def test_a_slow_reader_makes_the_server_wait(line: NearLine) -> None:
    """A stream that nobody reads fills a bounded buffer; then the server feels it, and nothing is lost."""
    size, sent = 64 * 1024 * 1024, 0
    full = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65536)
            sent += 65536
            if not full.is_set():
                try:
                    async with asyncio.timeout(0.5):
                        await writer.drain()
                except TimeoutError:
                    full.set()
            await writer.drain()

    async with speaking(speak) as url:
        answer = await line.open("GET", Errand(address(url, "/"), 60.0), None)
        await full.wait()
        assert sent < size
        got = 0
        while piece := await answer.read():
            got += len(piece)
        answer.close()
    assert got == size


async def test_a_name_with_a_dead_address_is_reached_by_its_other_one(
    line: NearLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``localhost`` may stand for ::1 first, where nobody listens."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(LENGTH)

    async with speaking(speak) as url:
        port = int(url.rpartition(":")[2])
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", port)

        async def both(*_: object, **__: object) -> object:
            dead = (10, found[0][1], found[0][2], "", ("::1", port, 0, 0))
            return [dead, found[0]]

        monkeypatch.setattr(loop, "getaddrinfo", both)
        assert (await asked(f"http://some-name:{port}", line)).body == b"hello"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (socket.gaierror(-2, "Name or service not known"), "has no address: Name or service not known"),
        (None, "in time"),
    ],
    ids=["unknown", "slow"],
)
async def test_a_name_without_an_address_is_told_as_such(
    fault: OSError | None, message: str, line: NearLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system says of the name, or that it says nothing."""

    async def resolve(*_: object, **__: object) -> object:
        if fault is not None:
            raise fault
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    monkeypatch.setattr(near, "CONNECT", 0.05)
    with pytest.raises(Unreachable, match=message):
        await asked("http://nobody.example:1234", line)


async def test_a_body_that_ends_with_a_reset_is_not_whole(line: NearLine) -> None:
    """The end of the connection is the end of a body only where it was closed well."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b'\r\n{"half":')
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with speaking(speak) as url:
        with pytest.raises(BrokenReply, match="broke within the answer"):
            await asked(url, line)


async def test_trailers_are_bounded_and_no_headers(line: NearLine) -> None:
    """What stands there after the last chunk changes nothing, and cannot fill the memory."""
    head = OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    async with serving_bytes([head + b"Content-Encoding: gzip\r\n\r\n", head + b"X: y\r\n" * 200_000]) as url:
        answer = await asked(url, line)
        assert (answer.body, "content-encoding" in answer.headers) == (b"hello", False)
        with pytest.raises(BrokenReply, match="headers of more than"):
            await asked(url, line)


async def test_a_body_in_another_coding_ends_with_its_connection(line: NearLine) -> None:
    """A transfer coding that is not ``chunked`` at its end tells no length."""
    async with serving_bytes([OK + b"Transfer-Encoding: identity\r\n\r\nhello"]) as url:
        assert (await asked(url, line)).body == b"hello"


async def test_a_server_that_says_goodbye_without_reading_is_heard_at_once(line: NearLine) -> None:
    """It is not waited for until everything is sent, which it never will be."""
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await over.wait()

    async with speaking(speak) as url:
        with pytest.raises(Unreachable):
            await line.whole("POST", Errand(address(url, "/"), 600.0), b"x" * 20_000_000)
        over.set()


@pytest.mark.parametrize("name", ["api_key", "request_id"])
async def test_no_header_can_be_smuggled_in(name: str, line: NearLine) -> None:
    """A key or an id with a line break is refused before anything is sent."""
    value = "x\r\nX-Evil: 1"
    more = {name: Secret(value) if name == "api_key" else value}
    with pytest.raises(BadRequest, match="holds a character") as caught:
        await line.whole("GET", Errand(address("http://127.0.0.1:9", "/"), 5.0, **more), None)  # type: ignore[arg-type] # one of two fields, by its name
    assert "Evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "path", "sent", "host"),
    [
        ("http://h:80/v1/", "/chat", "/v1/chat", "h"),
        ("http://[::1]:8080", "a b?model=ü/x&y=%20", "/a%20b?model=%C3%BC/x&y=%20", "[::1]:8080"),
        ("https://h:443", "", "/", "h"),
        ("http://bücher.example:81", "x", "/x", "xn--bcher-kva.example:81"),
    ],
)
def test_an_address_is_sent_as_it_must_be(base: str, path: str, sent: str, host: str) -> None:
    """Escaped once, with the port only where it is not the usual one."""
    place = address(base, path)
    assert (place.target, place.netloc) == (sent, host)


@pytest.mark.parametrize("base", ["http://me:pw@h", "http://a b", "http:///x", "mailto:x", "http://h:x"])
def test_what_cannot_be_called_is_refused(base: str) -> None:
    """With the reason, and without repeating a password."""
    with pytest.raises(ModelError) as caught:
        address(base, "/")
    assert "pw" not in str(caught.value)
