"""A call that a person refused is the same call however its numbers and keys are written."""

from __future__ import annotations

import pytest

from orchestrator.core.denial import digest_of_wish


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"to": "a", "sum": 900}, {"sum": 900.0, "to": "a"}, True),
        ({"rows": [{"sum": 1.0}, 2]}, {"rows": [{"sum": 1}, 2.0]}, True),
        ({"sum": 900}, {"sum": 900.5}, False),
        ({"sum": 900}, {"sum": "900"}, False),
        ({"sure": True}, {"sure": 1}, False),
        ({"sum": float("inf")}, {"sum": 0}, False),
    ],
)
def test_a_call_is_known_again(one: dict[str, object], other: dict[str, object], same: bool) -> None:
    assert (digest_of_wish("pay", one) == digest_of_wish("pay", other)) == same
    assert digest_of_wish("pay", one) != digest_of_wish("give", one)
