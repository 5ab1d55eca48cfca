"""What a server says when it fails is understood, in every shape that it is said in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import errors
from orchestrator.plugins.providers.failures import failure_in_reply, failure_of, read_body
from orchestrator.plugins.providers.waiting import retry_after_of

NOW = 1_790_000_000.0


def said(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


# One line a server's answer: who said it, the status, the body (a string as it is, anything else as JSON), the error.
TABLE = [json.loads(line) for line in (Path(__file__).parent / "failures.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", TABLE, ids=[row["who"] for row in TABLE])
def test_a_failure_becomes_its_error(row: dict[str, Any]) -> None:
    """Status and body together say what went wrong; exactly that class is raised, with the status."""
    error = failure_of(row["status"], {}, said(row["body"]), NOW)
    assert type(error).__name__ == row["error"]
    assert error.status == row["status"]
    assert error.message.startswith(f"HTTP {row['status']}")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:00 GMT"}, 40.0),
        ({"retry-after": "Mon, 21 Sep 2020 14:14:00 GMT"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ratelimit-reset": "7"}, 7.0),
        ({"x-ratelimit-reset": "1790000030"}, 30.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "17ms"}, 0.017),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Each form in which servers tell the wait is read; what cannot be read counts as not told."""
    wait = failure_of(429, headers, b"", NOW).retry_after
    assert wait == pytest.approx(seconds) if seconds is not None else wait is None
    assert retry_after_of(headers, NOW) == wait


def test_a_503_that_says_when_is_busy() -> None:
    """A 503 with Retry-After asks to wait, so it is no failure of the server."""
    error = failure_of(503, {"retry-after": "3"}, b"", NOW)
    assert type(error) is errors.ServerBusy
    assert error.retry_after == 3.0


def test_an_html_page_is_told_by_its_title() -> None:
    """A proxy's page becomes one readable line."""
    error = failure_of(502, {}, b"<!doctype html><html><head><title> Bad\n Gateway </title></head><body>x</body>", NOW)
    assert error.message == 'HTTP 502: an HTML page "Bad Gateway"'


def test_a_long_message_is_cut() -> None:
    """An error repeats at most some lines of what the server said."""
    assert len(read_body(b"x" * 100_000).message) < 600


def test_deep_json_is_no_crash() -> None:
    """A body that is nested without end is text like any other."""
    assert read_body(b"[" * 100_000).message.startswith("[[[")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("llama runner process no longer running", errors.ServerFailed),
        ({"message": "EngineCore encountered an issue", "code": 500}, errors.ServerFailed),
        ({"message": "This model's maximum context length is 10 tokens"}, errors.ContextTooLong),
        (
            {"message": "The model produced output that does not match the expected peg-native format"},
            errors.BrokenReply,
        ),
        ({}, errors.ServerFailed),
        (17, errors.ServerFailed),
    ],
)
def test_an_error_inside_an_answer(error: Any, expected: type[errors.ModelError]) -> None:
    """An error object under status 200 counts as what it says, and keeps the text before it."""
    found = failure_in_reply(error, "half")
    assert type(found) is expected
    assert found.partial == "half"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 409, 425])
def test_every_status_that_may_pass_tells_when(status: int) -> None:
    """What waits for the server rests as long."""
    assert failure_of(status, {"retry-after": "20"}, b"", NOW).retry_after == 20.0


def test_a_server_that_was_started_without_tools_is_told_with_what_starts_it_with_them() -> None:
    """vLLM's own words; a probe that was made before it was started so no longer holds."""
    words = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    error = failure_of(400, {}, said({"error": {"message": words, "type": "BadRequestError"}}), NOW)
    assert error.cure.startswith("start the server with --enable-auto-tool-choice --tool-call-parser NAME")
    assert "orchestrator doctor --probe" in error.cure
