"""What labelled requests are evidence of: each text once, and none that was learned from."""

from __future__ import annotations

from orchestrator.app.routing.cases import Case
from orchestrator.app.routing.evidence import evidence_of
from orchestrator.ports.strategy import Candidate

CANDIDATES = (
    Candidate("hours", examples=("When do you open?", "show T-1001")),
    Candidate("returns", answers=("I want to return this",)),
)


def cases(*pairs: tuple[str, str]) -> list[Case]:
    """Of a text and a name each."""
    return [Case(f"case {at}", text, (name,) if name else ()) for at, (text, name) in enumerate(pairs)]


def test_a_text_counts_once_however_it_is_written() -> None:
    found = evidence_of(cases(("Open today?", "hours"), ("open  TODAY", "hours"), ("Perché?", ""), ("perche", "")), ())
    assert [case.text for case in found.cases] == ["Open today?", "Perché?"]
    assert found.left_out() == ["2 cases repeat the text of another: each text counts once"]
    assert found.cautions() == ["2 cases repeat the text of another: of different requests the intervals are wider"]


def test_the_words_of_an_example_are_no_evidence() -> None:
    """Nor those of a rule's example, and a number stands for any, as it does where a router decides."""
    texts = cases(
        ("when do you open", "hours"), ("Show T-2002", "hours"), ("I want to return this!", "returns"), ("x", "")
    )
    found = evidence_of(texts, CANDIDATES)
    assert [case.text for case in found.cases] == ["x"]
    assert found.left_out() == ["3 cases are in the very words of an example and left out: that was learned"]
    assert "nothing of requests that the router has never seen" in found.cautions()[0]


def test_two_labels_of_one_text_are_told() -> None:
    found = evidence_of(cases(("open today", "hours"), ("Open today", "returns"), ("Open today", "hours")), CANDIDATES)
    assert len(found.cases) == 2
    assert found.left_out()[1:] == ["1 text is labelled in two ways: no router is right of both"]


def test_requests_of_another_complexity_and_texts_without_words_are_others() -> None:
    several = [Case("a", "open", ("hours",)), Case("b", "open", ("hours",), "simple"), *cases(("?", ""), ("!", ""))]
    assert evidence_of(several, ()).left_out() == []
