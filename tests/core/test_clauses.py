"""A request cut into what may be several."""

from __future__ import annotations

from time import perf_counter

import pytest

from orchestrator.core.clauses import Clause, clauses_of


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("can i return the drill and when do you open?", ["can i return the drill", "when do you open?"]),
        ("Send the bill; also, call me.\nThanks", ["Send the bill", "call me.", "Thanks"]),
        ("vorrei la fattura e poi gli orari", ["vorrei la fattura", "gli orari"]),
        ("la fattura, inoltre gli orari. Grazie", ["la fattura", "gli orari.", "Grazie"]),
        ("die Rechnung bitte. Wann habt ihr offen?", ["die Rechnung bitte.", "Wann habt ihr offen?"]),
        ("my   order \t and  \n\n the   bill", ["my order", "the bill"]),
        ("android and iOS", ["android", "iOS"]),
        ("brandy android sand", ["brandy android sand"]),
        ("and", ["and"]),
        ("", [""]),
        ("1.5 kg. 3.2 m", ["1.5 kg.", "3.2 m"]),
        ("a and b and c and d and e and f and g", ["a and b and c and d and e and f and g"]),
    ],
)
def test_the_pieces_of_a_request(text: str, pieces: list[str]) -> None:
    assert [clause.text for clause in clauses_of(text)] == pieces


@pytest.mark.parametrize(
    ("text", "leans"),
    [
        ("a callback about a technical issue", [False, True]),
        ("una chiamata riguardo alla fattura", [False, True]),
        ("find the drill and send it", [False, True]),
        ("it is broken and when do you open", [False, False]),
        ("la fattura e questo trapano", [False, True]),
        ("about the bill and the hours", [False, False]),
    ],
)
def test_what_leans_on_the_others(text: str, leans: list[bool]) -> None:
    """The first may point at what was said before the request."""
    assert [clause.leans for clause in clauses_of(text)] == leans


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 1_990 + "b",
        "\n" * 1_999,
        " and" * 490,
        "a," * 990,
        ("x" + " " * 30) * 60,
        "; " * 990,
        "and" + "\t" * 1_900,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """A thousand spaces in a row once took minutes."""
    began = perf_counter()
    found = clauses_of(text)
    assert perf_counter() - began < 0.1
    assert all(isinstance(each, Clause) for each in found)


def test_a_letter_stays_whole() -> None:
    text = "the bill and the hours. " * 100
    assert clauses_of(text) == (Clause(text),)
