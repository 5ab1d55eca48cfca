"""Known secrets are taken out of plain values wherever they stand."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.redaction import without_secrets


def redact(text: str) -> str:
    """Two secrets are known."""
    return text.replace("hunter2secret", "***").replace("12345678", "***")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("my hunter2secret", "my ***"),
        ({"hunter2secret": 1}, {"***": 1}),
        ({"a": [{"x hunter2secret": ("hunter2secret",)}]}, {"a": [{"x ***": ["***"]}]}),
        ({"pin": 12345678}, {"pin": "***"}),
        ([-12345678, 12345678.0, 123456789], ["-***", "***.0", "***9"]),
        ({12345678: "x", 1: "y"}, {"***": "x", 1: "y"}),
        (b"hunter2secret", "b'***'"),
    ],
)
def test_a_secret_is_hidden_in_keys_texts_and_numbers(value: Any, expected: Any) -> None:
    """Also where JSON would write it without quotes."""
    assert without_secrets(value, redact) == expected


def test_what_holds_no_secret_stays_as_it_is() -> None:
    """Numbers stay numbers, and a measure is no secret."""
    value = {"n": 7, "big": 87654321, "yes": True, "none": None, "at": 1700000000.12345678, "inf": float("inf"), 3: 1}
    assert without_secrets(value, redact) == value
