"""Message and cure where there is room for one sentence only."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import QueueFull, in_one_line


@pytest.mark.parametrize(
    ("message", "cure", "line"),
    [
        ("the queue is full", "Try again later.", "the queue is full; try again later"),
        ("m is not served", "ollama pull m", "m is not served; ollama pull m"),
        ("a is away", "", "a is away"),
        ("a is set", "HTTP_PROXY must be unset.", "a is set; HTTP_PROXY must be unset"),
        ("no", "A person must do it.", "no; a person must do it"),
    ],
)
def test_a_cure_that_is_a_sentence_becomes_a_part_of_one(message: str, cure: str, line: str) -> None:
    """Names keep their capitals."""
    assert in_one_line(message, cure) == QueueFull(message, cure=cure).line == line
