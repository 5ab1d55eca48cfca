"""When a proposal counts as better: beyond chance, and within the target."""

from __future__ import annotations

import pytest

from orchestrator.app.routing.comparison import Measured, compare
from orchestrator.app.routing.figures import Figures, Tried
from orchestrator.core.request import Decision

CHOICES = {"r": "a", "w": "b", "-": None, "?": None}


def measured(letters: str, calls: int = 0, seconds: float = 1.0) -> Measured:
    """A request for ``a`` each: decided rightly (r), wrongly (w), not at all (-), or left to a model that was not asked (?)."""
    tried = tuple(Tried("id", "text", ("a",), Decision("x", CHOICES[one]), None) for one in letters)
    unheard = tuple(one == "?" for one in letters)
    return Measured(Figures(tried), calls or sum(unheard), seconds, unheard=unheard)


@pytest.mark.parametrize(
    ("now", "then", "missed", "better", "why"),
    [
        ("rrrrr-----", "rrrrrrrrrr", False, True, "5 requests more are decided rightly and 0 fewer (p = 0.031"),
        ("rrrrrr----", "rrrrrrrrrr", False, False, "may be chance (p = 0.06)"),
        ("rrrrr-----", "rrrrrrrrrw", False, False, "9 of 10 are right"),
        ("rrrrr-----", "rrrr------", False, False, "0 requests more are decided rightly and 1 fewer"),
        ("rrrrrwwwww", "rrrrr-----", True, True, "5 wrong decisions fewer and 0 more"),
        ("rrrrrrwwww", "rrrrrr----", True, False, "may be chance"),
        ("rrrwwwwwww", "rrr-----ww", True, True, "the target is not reached all the same: 3 of 5 are right"),
        ("rrrr", "rrrr", False, False, "not clearly cheaper"),
    ],
)
def test_what_is_better_and_why(now: str, then: str, missed: bool, better: bool, why: str) -> None:
    comparison = compare(measured(now), measured(then), 0.95, missed=missed)
    assert (comparison.better, why in comparison.why) == (better, True), comparison.why


def test_the_same_for_less_is_better() -> None:
    assert compare(measured("rrrr"), measured("rrrr", seconds=0.5), 0.95, missed=False).why.endswith(
        "in 50% of the time"
    )
    fewer = compare(measured("rrrr", calls=9), measured("rrrr", calls=2, seconds=9.0), 0.95, missed=False)
    assert fewer.better and "with 2 calls to a model and not 9" in fewer.why
    assert not compare(measured("rrrr"), measured("rrrr", seconds=0.8), 0.95, missed=False).better
    assert not compare(measured("rr--"), measured("rrw-", seconds=0.1), 0.95, missed=False).better


@pytest.mark.parametrize(
    ("now", "then", "missed", "better", "why"),
    [
        (
            "rr" + "?" * 9,
            "rr" + "r" * 9,
            False,
            False,
            "9 of the 9 requests that it takes from the model are right without it [70.1%, 100.0%]",
        ),
        (
            "r" + "?" * 30,
            "r" + "r" * 30,
            False,
            False,
            "with 0 calls to a model and not 30 it would be cheaper, and 30 of the 30",
        ),
        ("r" + "?" * 60, "r" + "r" * 59 + "w", False, False, "59 of the 60"),
        ("r???", "rr--", False, False, "1 of the 3 requests that it takes from the model"),
        ("rr??", "rr??", False, False, "takes none from the model"),
        ("rwwwww", "rrrrrr", False, True, "5 requests more are decided rightly"),
        (
            "rwwwww?",
            "rrrrrrr",
            False,
            True,
            "; 1 are taken from the model, which was not asked, and 1 of these are right",
        ),
        ("wwwww????", "rrrrrwwww", False, False, "5 requests more are decided rightly and 4 fewer"),
        (
            "rwwwww",
            "r?????",
            True,
            True,
            "5 wrong decisions fewer and 0 more (p = 0.031 that this is chance); 5 requests more are",
        ),
        ("wwwwww??", "rrrrrrww", True, False, "6 wrong decisions fewer and 2 more"),
    ],
)
def test_what_it_takes_from_a_model_that_was_not_asked_is_no_gain(
    now: str, then: str, missed: bool, better: bool, why: str
) -> None:
    """Nobody knows what the model would have said: it may have been right."""
    comparison = compare(measured(now), measured(then), 0.95, missed=missed)
    assert (comparison.better, why in comparison.why) == (better, True), comparison.why
