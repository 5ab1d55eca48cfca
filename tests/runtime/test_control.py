"""The control API and the listeners refuse what does not belong to them, before anything is done."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.core.errors import DeployError, OrchestratorError, UsageError
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.gateway import listen
from orchestrator.gateway.listen import Listener
from tests.plan.parts import agent, blueprint, rule, tool
from tests.runtime.living import Home

SHOP = blueprint(agent("a", reflex=[rule("hello")]), name="shop")
JSON = {"Content-Type": "application/json"}


@contextmanager
def _connected(client: RuntimeClient) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(client.socket))
    try:
        yield connection
    finally:
        connection.close()


def _ask(client: RuntimeClient, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    with _connected(client) as connection:
        connection.request(method, path, body, {**JSON, **{k.replace("_", "-"): v for k, v in headers.items()}})
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.fixture
def client(home: Home) -> RuntimeClient:
    """A runtime that serves one deployment."""
    client = home.start()
    client.apply(Wanted(SHOP))
    return client


def test_a_deployment_that_does_not_serve_yet_is_not_called_unknown(client: RuntimeClient) -> None:
    """It is applied: what it waits for stands in the status."""
    broken = blueprint(agent("a", tools=["notes"]), tool("notes", python="no_such_module:f"), name="broken")
    with pytest.raises(OrchestratorError):
        client.apply(Wanted(broken))
    with pytest.raises(DeployError, match='"broken" does not serve yet'):
        client.run("broken", Request("hello"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.test"}, 403),
        ({"Host": "evil.test:7411"}, 403),
        ({"Host": "127.0.0.1.evil.test"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_page_in_a_browser_changes_nothing(client: RuntimeClient, headers: dict[str, str], status: int) -> None:
    """Foreign hosts and origins, and bodies that a form can send, are refused; the deployment is still there."""
    given, _ = _ask(client, "POST", "/down", json.dumps({"name": "shop"}).encode(), **headers)
    assert given == status
    assert client.run("shop", Request("hi")).text == "hello"


@pytest.mark.parametrize("path", ["/apply", "/down", "/rollback", "/run", "/stop", "/observe"])
def test_nothing_happens_on_get(client: RuntimeClient, path: str) -> None:
    """What has an effect is POST only."""
    assert _ask(client, "GET", f"{path}?name=shop")[0] == 405
    assert client.status()["deployments"][0]["state"] == "running"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/down", b"{}", "'name' is missing"),
        ("/down", b"[]", "the body is no JSON object"),
        ("/down", b"{", "the body is no JSON"),
        ("/down", b'{"name": 7}', "'name' is missing"),
        ("/down", b'{"name": "shop", "drain": "x"}', "'drain' must be a number"),
        ("/down", b'{"name": "shop", "drain": "nan"}', "'drain' must be a number"),
        ("/down", b'{"name": "shop", "drain": -1}', "'drain' must be 0 or more"),
        ("/stop", b'{"drain": "x"}', "'drain' must be a number"),
        ("/stop", b'{"drain": 1e999}', "'drain' must be a number"),
        ("/stop", b'{"drain": [1]}', "'drain' must be a number"),
        ("/rollback", b'{"name": "shop", "to": "x"}', "'to' must be a number"),
        ("/rollback", b'{"name": "shop", "to": true}', "'to' must be a number"),
        ("/rollback", b'{"name": "shop", "to": 1.5}', "'to' must be a whole number"),
        ("/calibrate", b'{"name": "shop", "target": "nan"}', "'target' must be a number"),
        ("/run", b'{"name": "shop"}', "'request' needs a 'text'"),
        ("/run", b'{"name": "shop", "request": {"text": "x", "colour": 1}}', 'a request has no "colour"'),
        ("/run", b'{"name": "shop", "request": {"text": "x", "history": [1]}}', "history is malformed: is no object"),
        ("/run", b'{"name": "shop", "request": {"text": "x", "history": 7}}', "history is malformed"),
        ("/apply", b"{}", "the runtime does not understand this blueprint"),
        ("/nothing", b"{}", "there is nothing at /nothing"),
    ],
)
def test_a_malformed_request_is_told_what_is_wrong(client: RuntimeClient, path: str, body: bytes, message: str) -> None:
    """With a status of 4xx, and no trace of the program's inside."""
    status, text = _ask(client, "POST", path, body)
    assert 400 <= status < 500
    assert message in json.loads(text)["error"]["message"]
    assert "Traceback" not in text


@pytest.mark.parametrize("count", ["-5", "nan", "inf", "1e400", "1e20", "1.5", "many"])
@pytest.mark.parametrize(
    "path", ["/logs?name=shop&lines=", "/runs?name=shop&count=", "/approvals?count=", "/outbox?count="]
)
def test_a_count_that_is_none_is_refused(client: RuntimeClient, path: str, count: str) -> None:
    """Less than nothing would be all but the first of them."""
    status, text = _ask(client, "GET", path + count)
    assert status == 400 and "must be " in json.loads(text)["error"]["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client: RuntimeClient) -> None:
    """The cap of each verb holds for what is announced and for what comes."""
    with _connected(client) as connection:
        connection.putrequest("POST", "/run")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "2000000")
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_options_of_a_request_reach_the_engine(client: RuntimeClient) -> None:
    """A request is the same on both sides of the socket."""
    request = Request("hi", session="s", agent="a", timeout=3.0, priority="bulk", options={"temperature": 0.5})
    result = client.run("shop", request)
    assert (result.id, result.session, result.text) == (request.id, "s", "hello")
    with pytest.raises(UsageError, match="no run begins with"):
        client.find_run("run_nothing")


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        continue
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.anyio
async def test_a_client_that_sends_slowly_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and bodies have their time; a connection that was just opened and says nothing too."""
    monkeypatch.setattr(listen, "HEADER_SECONDS", 0.1)
    monkeypatch.setattr(listen, "BODY_SECONDS", 0.1)
    sock = socket.create_server(("127.0.0.1", 0))
    listener = await Listener.start(_hello, sock)
    for first in (b"", b"GET / HTT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe"):
        began = time.monotonic()  # before its time begins, so that a busy machine only adds to it
        async with await anyio.connect_tcp(*listener.address) as stream:
            await stream.send(first) if first else None
            with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
                await stream.receive()
            assert time.monotonic() - began >= 0.09
    await listener.aclose()


@pytest.mark.anyio
async def test_endless_headers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the status that says why; a request of usual size on the same listener is answered."""
    sock = socket.create_server(("127.0.0.1", 0))
    listener = await Listener.start(_hello, sock)
    async with await anyio.connect_tcp(*listener.address) as stream:
        await stream.send(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 12_000)
        assert (await stream.receive()).startswith(b"HTTP/1.1 431 ")
    async with await anyio.connect_tcp(*listener.address) as stream:
        for _ in range(2):
            await stream.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"hello"):
                answer += await stream.receive()
    await listener.aclose()
