"""The line to servers nearby: what HTTP/1.1 allows a server to send, in any slicing, and what it may not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, Unreachable
from orchestrator.plugins.providers.line import connection as connections
from orchestrator.plugins.providers.line.answer import Answer, Errand
from orchestrator.plugins.providers.line.near import NearLine
from orchestrator.plugins.providers.line.place import address
from orchestrator.ports.provider import Secret
from orchestrator.testing.http_shell import serving_bytes

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: t\r\n\r\n"
TO_THE_END = OK + b"\r\nhello"
AFTER_INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + LENGTH

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(speak: Speak, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """The address of a server that does that with each connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # the client may close at any time
            await speak(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, host, 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def asked(url: str, line: NearLine | None = None, path: str = "/") -> Answer:
    """One ``GET``, on a line of its own where none is given."""
    used = line or NearLine()
    try:
        return await used.whole("GET", Errand(address(url, path), 5.0), None)
    finally:
        if line is None:
            await used.aclose()


@pytest.mark.parametrize(
    "answer", [LENGTH, CHUNKS, TO_THE_END, AFTER_INTERIM], ids=["length", "chunks", "to-the-end", "after-interim"]
)
async def test_an_answer_is_read_in_every_form(answer: bytes) -> None:
    """A body ends by its length, by its last chunk or with its connection; interim answers are passed over."""
    async with serving_bytes([answer]) as url:
        found = await asked(url)
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


async def test_what_comes_after_an_answer_is_not_taken_for_the_next_one() -> None:
    """A server that sends two answers to one request loses the connection; the next request gets its own answer."""
    made = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while await reader.read(65536):
            body = b"%d" % made
            writer.write(OK + b"Content-Length: 1\r\n\r\n" + body + OK + b"Content-Length: 5\r\n\r\nwrong")
            await writer.drain()

    line = NearLine()
    async with speaking(speak) as url:
        assert [(await asked(url, line)).body for _ in range(3)] == [b"1", b"2", b"3"]
        await line.aclose()


async def test_a_kept_connection_carries_the_next_request() -> None:
    """A hundred requests one after another need one connection; after ``Connection: close`` a new one is made."""
    made, closing = 0, b""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while await reader.read(65536):
            writer.write(OK + closing + b"Content-Length: 0\r\n\r\n")

    line = NearLine()
    async with speaking(speak) as url:
        for _ in range(100):
            await asked(url, line)
        assert made == 1
        closing = b"Connection: close\r\n"
        await asked(url, line)
        await asked(url, line)
        assert made == 2
        await line.aclose()


async def test_no_connection_is_left_behind_by_an_answer_that_is_refused() -> None:
    """A compressed answer closes its connection at once."""
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx")
        await reader.read()
        over.set()

    line = NearLine()
    async with speaking(speak) as url:
        with pytest.raises(BrokenReply):
            await asked(url, line)
        async with asyncio.timeout(10):
            await over.wait()
    await line.aclose()


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
async def test_what_a_server_may_not_send_is_a_broken_reply(answer: bytes, message: str) -> None:
    """Each is told for what it is."""
    async with serving_bytes([answer]) as url:
        with pytest.raises(BrokenReply, match=message):
            await asked(url)


async def test_pieces_that_came_before_a_break_are_not_lost() -> None:
    """A stream gives all that arrived, then its fault."""
    async with serving_bytes([OK + b"Content-Length: 99\r\n\r\nhello"]) as url:
        line = NearLine()
        answer = await line.open("GET", Errand(address(url, "/"), 5.0), None)
        assert await answer.read() == b"hello"
        with pytest.raises(BrokenReply):
            await answer.read()
        answer.close()
        await line.aclose()


async def test_a_slow_reader_makes_the_server_wait() -> None:
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

    line = NearLine()
    async with speaking(speak) as url:
        answer = await line.open("GET", Errand(address(url, "/"), 60.0), None)
        await full.wait()
        assert sent < size
        got = 0
        while piece := await answer.read():
            got += len(piece)
        answer.close()
        await line.aclose()
    assert got == size


async def test_a_name_with_a_dead_address_is_reached_by_its_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert (await asked(f"http://some-name:{port}")).body == b"hello"


async def test_a_name_that_nobody_knows_is_unreachable() -> None:
    """The message says what the system says of the name."""
    with pytest.raises(Unreachable, match="cannot be reached"):
        await asked("http://nobody.invalid:1234")


@pytest.mark.parametrize("name", ["api_key", "request_id"])
async def test_no_header_can_be_smuggled_in(name: str) -> None:
    """A key or an id with a line break is refused before anything is sent."""
    value = "x\r\nX-Evil: 1"
    more = {name: Secret(value) if name == "api_key" else value}
    line = NearLine()
    with pytest.raises(BadRequest, match="holds a character") as caught:
        await line.whole("GET", Errand(address("http://127.0.0.1:9", "/"), 5.0, **more), None)  # type: ignore[arg-type]
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
