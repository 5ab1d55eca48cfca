"""A fault that nobody foresaw ends one request of the control API, with words, and nothing else."""

from __future__ import annotations

import json
import logging
from collections.abc import MutableMapping
from typing import Any, cast

import anyio
import pytest

from orchestrator.gateway.control import ControlApi, Controlled

BODY = json.dumps({"name": "shop"}).encode()
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/down",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
}


class Broken:
    """A reconciler with a fault of ours."""

    async def down(self, *_: Any) -> int:
        raise TypeError("keys must be text")


@pytest.mark.anyio
async def test_an_unexpected_fault_is_told_to_who_asked_and_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The answer names it and says where more stands; the log has where it was."""
    sent: list[MutableMapping[str, Any]] = []
    asked = [{"type": "http.request", "body": BODY}]

    async def receive() -> MutableMapping[str, Any]:
        if asked:
            return asked.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    api = ControlApi(cast(Controlled, _Parts()))
    with caplog.at_level(logging.ERROR):
        await api(dict(SCOPE), receive, send)
    told = json.loads(b"".join(message.get("body", b"") for message in sent))
    assert told["kind"] == "error"
    assert told["error"]["message"] == "unexpected: TypeError: keys must be text"
    assert told["error"]["cure"] == "orchestrator runtime logs"
    assert "in down" in caplog.text


class _Parts:
    reconciler = Broken()

    def fleet(self) -> None:
        """It is no node."""

    def about(self) -> dict[str, str]:
        return {"state": "ready"}
