"""The front door on the wire: routes, methods, odd bodies, early goodbyes, slow readers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import MutableMapping
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from orchestrator.gateway import front
from orchestrator.gateway.front import FrontDoor
from orchestrator.serve.engine import EngineTable
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Script
from tests.gateway.conftest import Door, OpenDoor
from tests.gateway.test_official_client import until
from tests.serve.engine.parts import Wanted, agent_spec, serving

pytestmark = pytest.mark.anyio
AGENT = Wanted([agent_spec("a")])
CHAT = {"model": "shop", "messages": [{"role": "user", "content": "hi"}]}
Answer = tuple[int, dict[str, str], bytes]


def request(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """An HTTP request as bytes."""
    told = {"Host": "localhost", "Connection": "close", **(headers or {})}
    if body is not None:
        told = {"Content-Type": "application/json", "Content-Length": str(len(body)), **told}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + (body or b"")


def _talk(door: Door, sent: bytes) -> Answer:
    with door.connect() as connection:
        connection.sendall(sent)
        got = b""
        while piece := connection.recv(65536):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


async def talk(door: Door, sent: bytes) -> Answer:
    """Send, and read until the server closes."""
    return await anyio.to_thread.run_sync(_talk, door, sent)


def runs(door: Door) -> list[str]:
    """What was told of runs."""
    return [kind for kind in door.served.kinds() if kind.startswith("run.")]


async def ask(door: Door, method: str, path: str, **options: Any) -> Answer:
    """One request with ``Connection: close``."""
    return await talk(door, request(method, path, **options))


async def test_health_ready_and_models_are_for_get_and_head(open_door: OpenDoor) -> None:
    """A ``HEAD`` has the headers and no body."""
    state = ["ready"]
    async with open_door(AGENT, state=lambda: state[0]) as door:
        for path, told in [("/health", b'{"status":"ok"}'), ("/ready", b'{"status":"ready"}')]:
            assert (await ask(door, "GET", path))[::2] == (200, told)
            status, headers, body = await ask(door, "HEAD", path)
            assert (status, headers["content-length"], body) == (200, str(len(told)), b"")
        for state[0], why in (("starting", b"the runtime is starting: "), ("stopping", b"the runtime is stopping: ")):
            assert (await ask(door, "GET", "/ready"))[::2] == (503, f'{{"status":"{state[0]}"}}'.encode())
            assert (await ask(door, "GET", "/health"))[0] == 200
            status, headers, body = await ask(door, "POST", "/v1/chat/completions", body=json.dumps(CHAT).encode())
            assert (status, headers["retry-after"]) == (503, "5") and why in body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/chat", 404),
        ("GET", "/v1/chat/completions/", 404),
        ("POST", "/v1//chat/completions", 404),
        ("POST", "/v1/chat/../chat/completions", 404),
        ("GET", "/v1/chat/completions", 405),
        ("HEAD", "/v1/chat/completions", 405),
        ("OPTIONS", "/v1/chat/completions", 405),
        ("PUT", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/shop", 405),
        ("POST", "/health", 405),
        ("GET", "/v1/models/", 404),
        ("GET", "/v1/models/a/b", 404),
        ("GET", "/%00", 404),
        ("GET", "/v1/models/%F0%9F%98%80", 404),
    ],
)
async def test_unknown_paths_and_methods(open_door: OpenDoor, method: str, path: str, status: int) -> None:
    """404 and 405 in the shape of errors."""
    async with open_door(AGENT) as door:
        got, headers, body = await ask(door, method, path)
    assert got == status
    assert method == "HEAD" or json.loads(body)["error"]["code"] in (
        "not_found", "method_not_allowed", "model_not_found",
    )  # fmt: skip
    assert status != 405 or headers["allow"] in ("GET", "POST")
    assert not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost:7411/health", "localhost", 200),
        ("HTTP://127.0.0.1/health?x=http://evil.test/", "evil.test", 200),
        ("http://localhost", "localhost", 404),
        ("http://localhost?/health", "localhost", 404),
        ("http://evil.test/health", "localhost", 403),
        ("http://evil.test?@localhost/health", "localhost", 403),
        ("https://localhost/health", "localhost", 400),
        ("http://user@localhost/health", "localhost", 400),
        ("http:///health", "localhost", 400),
        ("*", "localhost", 400),
    ],
)
async def test_the_host_of_an_absolute_target_is_the_one_that_counts(
    open_door: OpenDoor, target: str, host: str, status: int
) -> None:
    """As RFC 9112 says; what is neither a path nor an http address is refused."""
    async with open_door(AGENT) as door:
        assert (await ask(door, "GET", target, headers={"Host": host}))[0] == status


async def test_an_absolute_target_does_not_make_two_hosts_one(open_door: OpenDoor) -> None:
    """Nor none: who sends such a request may be trying something."""
    lines = b"GET http://localhost/health HTTP/1.1\r\nConnection: close\r\n%s\r\n"
    async with open_door(AGENT) as door:
        assert (await talk(door, lines % b"Host: localhost\r\nHost: localhost\r\n"))[0] == 400
        assert (await talk(door, lines % b""))[0] == 403


@pytest.mark.parametrize("headers", [{"Host": "evil.test"}, {"Origin": "http://evil.test"}, {"Origin": "null"}])
async def test_a_page_that_reached_loopback_gets_nothing_and_changes_nothing(
    open_door: OpenDoor, headers: dict[str, str]
) -> None:
    """DNS rebinding: every path is 403, no run begins."""
    async with open_door(AGENT) as door:
        for method, path in [
            ("GET", "/v1/models"),
            ("GET", "/health"),
            ("POST", "/v1/chat/completions"),
            ("GET", "/x"),
        ]:
            body = json.dumps(CHAT).encode() if method == "POST" else None
            status, _, told = await ask(door, method, path, body=body, headers=headers)
            assert status == 403 and b"shop" not in told
        assert not runs(door)


async def test_a_form_changes_nothing(open_door: OpenDoor) -> None:
    """A page may send one to any address without asking."""
    async with open_door(AGENT) as door:
        headers = {"Content-Type": "text/plain"}
        assert (await ask(door, "POST", "/v1/chat/completions", body=json.dumps(CHAT).encode(), headers=headers))[
            0
        ] == 415
        assert not runs(door)


async def test_a_body_in_chunks(open_door: OpenDoor) -> None:
    """Without a length."""
    body = json.dumps(CHAT).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    async with open_door(AGENT) as door:
        sent = request("POST", "/v1/chat/completions", headers=headers) + chunks + b"0\r\n\r\n"
        status, _, told = await talk(door, sent)
    assert status == 200 and json.loads(told)["choices"][0]["message"]["content"] == "hi"


async def test_bodies_over_the_limit_are_turned_away(open_door: OpenDoor) -> None:
    """Told by length, and counted where no length is told."""
    async with open_door(AGENT, largest_body=100) as door:
        assert (await ask(door, "POST", "/v1/chat/completions", body=b"x" * 101))[0] == 413
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        sent = request("POST", "/v1/chat/completions", headers=headers) + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n"
        assert (await talk(door, sent))[0] == 413


async def test_several_requests_on_one_connection(open_door: OpenDoor) -> None:
    """Faults in between do not disturb the next one."""
    good = request("POST", "/v1/chat/completions", json.dumps(CHAT).encode(), {"Connection": "keep-alive"})
    bad = request("POST", "/v1/chat/completions", b"{", {"Connection": "keep-alive"})
    async with open_door(AGENT) as door:
        _, _, told = await talk(door, good + bad + good + request("GET", "/health"))
    assert told.count(b"HTTP/1.1 200 OK") == 2 and told.count(b"HTTP/1.1 400 Bad Request") == 1
    assert told.endswith(b'{"status":"ok"}')


async def test_a_client_that_goes_away_before_its_body_is_complete_starts_nothing(open_door: OpenDoor) -> None:
    """And leaves nothing behind."""
    async with open_door(AGENT) as door:
        with door.connect() as connection:
            connection.sendall(request("POST", "/v1/chat/completions", headers={
                "Content-Type": "application/json", "Content-Length": "500"}) + b'{"model"')  # fmt: skip
        assert (await ask(door, "GET", "/health"))[0] == 200
        assert not runs(door)


async def test_a_slow_reader_is_cut_and_its_model_call_cancelled(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it stays bounded."""
    monkeypatch.setattr(front, "MOST_UNREAD", 200)
    server = simulated(["m"], Script(default="wordword " * 200_000), pace=Pace(tps=1_000_000), context=10**9)
    async with open_door(AGENT, server) as door:
        with door.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": True}).encode()))
            await until(lambda: server.cancelled, 30)
            await until(lambda: door.served.engine.in_flight == 0)
        assert (await ask(door, "GET", "/health"))[0] == 200


async def test_a_door_for_one_deployment_serves_only_that(open_door: OpenDoor) -> None:
    """Others are 404, and not listed."""
    async with open_door(AGENT, only="other") as door:
        status, _, told = await ask(door, "POST", "/v1/chat/completions", body=json.dumps(CHAT).encode())
        assert status == 404 and b'this port serves \\"other\\" only' in told
        assert json.loads((await ask(door, "GET", "/v1/models"))[2])["data"] == []
    async with open_door(AGENT, only="shop") as door:
        assert (await ask(door, "POST", "/v1/chat/completions", body=json.dumps(CHAT).encode()))[0] == 200


# -- without a socket -----------------------------------------------------------------------------------------------


async def call(
    app: FrontDoor, scope: dict[str, Any], *received: MutableMapping[str, Any]
) -> list[MutableMapping[str, Any]]:
    """What the app sends, where it receives these messages and then nothing for ever."""
    sent: list[MutableMapping[str, Any]] = []
    waiting = list(received)

    async def receive() -> MutableMapping[str, Any]:
        if waiting:
            return waiting.pop(0)
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    with anyio.fail_after(10):
        await app(scope, receive, send)
    return sent


def scope_of(method: str = "POST", path: str = "/v1/chat/completions") -> dict[str, Any]:
    """A scope of a request that is well-formed."""
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    return {"type": "http", "method": method, "path": path, "headers": headers}


async def test_websockets_are_closed_and_lifespans_passed_over() -> None:
    """Nothing is served but HTTP."""
    app = FrontDoor(EngineTable())
    assert await call(app, {"type": "websocket", "headers": []}) == [{"type": "websocket.close"}]
    assert await call(app, {"type": "lifespan"}) == []


async def test_a_deployment_that_is_applied_and_not_served_yet_is_asked_again_later() -> None:
    """A client that tries again finds it; one that is told 404 gives up."""
    body = {"type": "http.request", "body": json.dumps({**CHAT, "model": "clinic"}).encode()}
    start, told = await call(FrontDoor(EngineTable(), coming={"clinic"}.__contains__), scope_of(), body)
    assert start["status"] == 503 and (b"retry-after", b"5") in start["headers"]
    assert json.loads(told["body"])["error"] == {
        "message": '"clinic" is applied and takes no requests yet. See `orchestrator status clinic`.',
        "type": "server_error",
        "param": None,
        "code": "not_ready",
    }
    start, told = await call(FrontDoor(EngineTable(), coming={"shop"}.__contains__), scope_of(), body)
    assert start["status"] == 404


@pytest.mark.parametrize("stream", [False, True])
async def test_a_goodbye_that_comes_with_the_body_ends_the_run(stream: bool) -> None:
    """Nothing is sent to nobody."""
    body = {"type": "http.request", "body": json.dumps({**CHAT, "stream": stream}).encode()}
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=60))) as served:
        table = EngineTable()
        table.switch("shop", served.engine)
        sent = await call(FrontDoor(table), scope_of(), body, {"type": "http.disconnect"})
        assert sent == [] and served.engine.in_flight == 0
        assert served.events[-1].fields["result"].error["kind"] == "RunCancelled"


async def test_pieces_that_wait_go_out_together() -> None:
    """A slow reader is not sent one event a token."""
    gate = anyio.Event()
    sent: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body", b""))
        if len(sent) == 2:
            await gate.wait()

    async def receive() -> MutableMapping[str, Any]:
        if bodies:
            return {"type": "http.request", "body": bodies.pop()}
        await anyio.sleep_forever()
        raise AssertionError

    bodies = [json.dumps({**CHAT, "stream": True}).encode()]
    server = simulated(["m"], Script(default="one two three four five six seven eight"), pace=Pace(tps=1000))
    async with serving(AGENT, server) as served, anyio.create_task_group() as tasks:
        table = EngineTable()
        table.switch("shop", served.engine)
        tasks.start_soon(partial(FrontDoor(table), scope_of(), receive, send))
        await until(lambda: server.records and server.records[0].outcome == "finished")
        gate.set()
    assert len(sent) == 3 and sent[-1].endswith(b"data: [DONE]\n\n")
    pieces = [json.loads(line[6:]) for line in b"".join(sent).split(b"\n\n")[:-2]]
    said = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
    assert said == "one two three four five six seven eight"


@pytest.mark.parametrize("content", ["", " \n", None, [], [{"type": "text", "text": ""}]])
async def test_an_empty_request_is_400(open_door: OpenDoor, content: object) -> None:
    """Nothing runs for it."""
    body = {**CHAT, "messages": [{"role": "user", "content": content}]}
    async with open_door(AGENT, simulated()) as door:
        status, _, answer = await talk(door, request("POST", "/v1/chat/completions", json.dumps(body).encode()))
        assert runs(door) == []
    told = json.loads(answer)["error"]
    assert (status, told["param"]) == (400, "messages") and "the request has no text" in told["message"]


@pytest.mark.parametrize("fault", [ZeroDivisionError("inside"), asyncio.CancelledError()])
async def test_a_fault_of_ours_is_told_in_the_shape_of_errors(
    open_door: OpenDoor, caplog: pytest.LogCaptureFixture, fault: BaseException
) -> None:
    """What was wrong inside is for the log; a client that repeats by itself is told not to."""

    def coming(name: str) -> bool:
        raise fault

    async with open_door(AGENT, coming=coming) as door:
        status, headers, body = await ask(door, "GET", "/v1/models/nobody")
    error = json.loads(body)["error"]
    assert (status, error["type"], error["code"]) == (500, "server_error", "unexpected")
    assert headers["x-should-retry"] == "false" and "inside" not in error["message"]
    assert type(fault).__name__ in error["message"] and "in coming" in caplog.text
