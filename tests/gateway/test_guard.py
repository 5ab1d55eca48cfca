"""What the front door turns away before it looks at a request: DNS rebinding, forms, bodies that are too large or no JSON."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from orchestrator.gateway.guard import Turned, check_source, headers_of, read_json

pytestmark = pytest.mark.anyio


def answer_to(**headers: str) -> tuple[int, str]:
    """What a request with these headers is turned away with; 200 where it is let in."""
    try:
        check_source({name.encode(): value.encode() for name, value in headers.items()})
    except Turned as turned:
        return turned.status, turned.code
    return 200, ""


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:7411",
        "localhost.",
        "localhost.:7411",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:7411",
    ],
)
def test_this_device_may_be_asked_for(host: str) -> None:
    assert answer_to(host=host) == (200, "")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.test",
        "evil.test:7411",
        "localhost.evil.test",
        "localhost.evil.test:7411",
        "evil-localhost",
        "xlocalhost",
        "127.0.0.1.evil.test",
        "127.0.0.1.nip.io",
        "evil.test@127.0.0.1",
        "127.0.0.1@evil.test",
        "127.0.0.1/evil.test",
        "evil.test/127.0.0.1",
        "localhost\\@evil.test",
        "localhost#evil.test",
        "localhost?evil.test",
        "localhost evil.test",
        " localhost",
        "localhost:7411:80",
        "localhost:evil",
        "localhost:",
        "localhost:999999",
        "localhost..",
        "0.0.0.0",  # noqa: S104 - asked as a host; nothing listens
        "0.0.0.0:7411",
        "10.0.0.5",
        "192.168.1.7:7411",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
        "::1",
        "[::ffff:127.0.0.1]",
        "[::]",
        "[fe80::1]",
        "[::1",
        "[::1]evil.test",
        "null",
        "file://",
        "l\u043ecalhost",  # a Cyrillic letter
        "\xff",
        "localhost\x00evil",
    ],
)
def test_any_other_host_is_turned_away(host: str) -> None:
    assert answer_to(host=host) == (403, "host_not_allowed")


def test_a_request_without_a_host_or_with_two_is_turned_away() -> None:
    assert answer_to() == (403, "host_not_allowed")
    with pytest.raises(Turned, match="more than one Host header"):
        headers_of({"headers": [(b"host", b"evil.test"), (b"host", b"localhost")]})
    assert headers_of({"headers": [(b"accept", b"a"), (b"accept", b"b")]}) == {b"accept": b"b"}


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080", "HTTP://LOCALHOST"]
)
def test_pages_of_this_device_may_call(origin: str) -> None:
    assert answer_to(host="localhost", origin=origin) == (200, "")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.test",
        "https://localhost.evil.test",
        "http://localhost@evil.test",
        "http://evil.test#localhost",
        "http://localhost/evil",
        "localhost",
        "//localhost",
        "file://localhost",
        "chrome-extension://localhost",
        "javascript://localhost",
        "http://127.0.0.1.evil.test:7411",
        "http://localhost, http://evil.test",
        "http://0.0.0.0:7411",
        "http:// localhost",
        "http://localhost\r\nx: y",
    ],
)
def test_pages_of_other_origins_may_not(origin: str) -> None:
    assert answer_to(host="localhost", origin=origin) == (403, "origin_not_allowed")


async def read(body: bytes | list[bytes], largest: int = 1000, **headers: str) -> dict[str, Any]:
    """Read a body that comes in these pieces."""
    pieces = [body] if isinstance(body, bytes) else body

    async def receive() -> MutableMapping[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces) or isinstance(body, list)}

    told = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await read_json({name.encode(): value.encode() for name, value in told.items()}, receive, largest)


async def refused(body: bytes | list[bytes], **headers: str) -> tuple[int, str]:
    """The status and code of a body that is turned away."""
    with pytest.raises(Turned) as raised:
        await read(body, 1000, **headers)
    return raised.value.status, raised.value.code


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
     "application/jsonp", "application/json-patch+json", "text/plain; application/json"],
)  # fmt: skip
async def test_what_a_form_can_send_is_415(kind: str) -> None:
    assert await refused(b"{}", content_type=kind) == (415, "unsupported_media_type")


async def test_compressed_bodies_are_415() -> None:
    assert await refused(b"{}", content_encoding="gzip") == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;x"])
async def test_json_is_json(kind: str) -> None:
    assert await read('{"a": "\u00e9 \\u00e9 \\ud83d\\ude00"}'.encode(), content_type=kind) == {"a": "é é \U0001f600"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b"[" * 900,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"{'a': 1}",
    ],
)
async def test_what_is_no_json_object_is_400(body: bytes) -> None:
    with pytest.raises(Turned) as raised:
        await read(body, largest=10_000)
    assert (raised.value.status, raised.value.code) == (400, "invalid_json")
    json.dumps(raised.value.body())


async def test_a_body_that_is_too_large_is_413_before_it_is_read() -> None:
    assert await refused(b"", content_length="1001") == (413, "body_too_large")
    assert await refused([b"x" * 600, b"x" * 600]) == (413, "body_too_large")
    assert await refused(b"{}", content_length="99999999999999999999") == (413, "body_too_large")


async def test_a_body_may_come_in_pieces_and_end_empty() -> None:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", **pieces.pop(0)}

    pieces: list[dict[str, Any]] = [
        {"body": b'{"a"', "more_body": True},
        {"more_body": True},
        {"body": b": 1}", "more_body": True},
        {},
    ]
    assert await read_json({b"content-type": b"application/json"}, receive) == {"a": 1}


async def test_a_client_that_goes_away_while_it_sends_is_let_go() -> None:
    assert (await refused([b'{"a"']))[1] == "client_closed"


async def test_json_that_is_nested_too_deep_is_told_so() -> None:
    """In words of ours, not of the parser."""
    with pytest.raises(Turned, match="nested too deep") as raised:
        await read(b"[" * 100_000, 1_000_000)
    assert (raised.value.status, raised.value.code) == (400, "invalid_json")


async def test_a_number_of_too_many_digits_is_told_in_words_of_ours() -> None:
    """Python's own speak of its settings."""
    with pytest.raises(Turned) as raised:
        await read(b'{"a": ' + b"9" * 5_000 + b"}", 10_000)
    assert str(raised.value) == "the body holds a number of too many digits"
