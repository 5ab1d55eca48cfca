"""What a request asks for, without greetings and polite words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.asking import what_is_asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("close ticket T-1001", "close ticket T-1001"),
        ("Hi, could you please close ticket T-1001?", "close ticket T-1001"),
        ("ok. I\u2019d like you to close it now, thanks!", "close it"),
        ("Buongiorno, per favore puoi aprire un ticket?", "aprire un ticket"),
        ("Could you tell me why you closed it?", "tell me why you closed it"),
        ("do not close it", "do not close it"),
        ("please do not close it", "do not close it"),
        ("I do not want to close it", "I do not want to close it"),
        ("close ticket T-1001?", "close ticket T-1001?"),
        ("history of T-1001", "history of T-1001"),
        ("nowhere", "nowhere"),
        ("", ""),
        ("please", ""),
    ],
)
def test_greetings_and_polite_words_are_left_out(text: str, asked: str) -> None:
    """At both ends, and as whole words; a negation and a real question stay."""
    assert what_is_asked(text) == asked


@given(st.text(alphabet="aplesno tkcu.?!'", max_size=60))
def test_what_is_asked_stands_in_the_request(text: str) -> None:
    """Nothing is added, and what is left has nothing more to leave out at its beginning."""
    asked = what_is_asked(text)
    assert asked in text
    assert what_is_asked(text + " " * 9) == asked
