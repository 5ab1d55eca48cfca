"""The ruling on a call: five gates in their order, each with its reason."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.serve.policy import GATES, Departure, rule

CLOSED: dict[str, dict[str, Any]] = {
    "zone": {"offline": True},
    "privacy": {"restricted": True},
    "budget": {"over_budget": "5 of 5 calls are made"},
    "redaction": {"unredactable": "it holds a card"},
    "approval": {"consent": "missing"},
}
"""What closes each gate, in the order of the gates."""


def test_the_gates_are_asked_in_this_order() -> None:
    """Zone, privacy, budget, redaction, approval."""
    assert GATES == tuple(CLOSED) == ("zone", "privacy", "budget", "redaction", "approval")


@pytest.mark.parametrize("closed", list(product((False, True), repeat=5)))
def test_the_first_closed_gate_refuses_and_none_after_it_is_asked(closed: tuple[bool, ...]) -> None:
    """Of every combination."""
    facts: dict[str, Any] = {}
    for gate, shut in zip(GATES, closed, strict=True):
        facts |= CLOSED[gate] if shut else {}
    ruling = rule(Departure("far", "cloud", **facts))
    first = next((gate for gate, shut in zip(GATES, closed, strict=True) if shut), "")
    asked = GATES.index(first) + 1 if first else len(GATES)
    assert ruling.refused == first
    assert [gate for gate, _ in ruling.reasons] == list(GATES[:asked])
    assert all(reason for _, reason in ruling.reasons)


@given(st.booleans(), st.booleans(), st.text(max_size=9), st.text(max_size=9), st.sampled_from(["node", "lan"]))
def test_what_stays_near_is_always_allowed(offline: bool, restricted: bool, poor: str, unfit: str, zone: Any) -> None:
    """Budgets, redaction and approvals are of the cloud alone."""
    facts = Departure("here", zone, offline, restricted, over_budget=poor, unredactable=unfit, consent="missing")
    ruling = rule(facts)
    assert ruling.refused == "" and ruling.reasons == (("zone", zone),)


def test_a_ruling_reads_as_a_sentence() -> None:
    passed = rule(Departure("far", "cloud", budget="1 call, 60 tokens at most", consent="given"))
    assert passed.why == (
        "zone: the manifest names a model in the cloud; privacy: not restricted; budget: 1 call, 60 tokens at most; "
        "redaction: on; approval: given"
    )
    assert rule(Departure("far", "cloud", redacts=False)).why.endswith(
        "budget: none is set; redaction: off; approval: not needed"
    )
