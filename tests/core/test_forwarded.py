"""Runs that one node asked another for: whose part each is."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.errors import UsageError
from orchestrator.core.forwarded import is_part, made_at, only_one, part_id, whole_of

RUN, OTHER = "run_00112233445566aa", "run_00112233445566ab"


def test_parts_of_parts_lead_to_the_run_that_came_in() -> None:
    assert whole_of(part_id(part_id(RUN, 3), 12)) == RUN
    assert whole_of(RUN) == RUN


def test_a_part_is_known_by_its_id_and_a_name_that_a_program_gave_only_beside_its_run() -> None:
    assert is_part(f"{RUN}.1") and is_part("once_00112233445566aa.expert.0")
    assert not is_part(RUN) and not is_part("order.7") and not is_part("once_upon.a.time")
    assert is_part("order.7", {"order"}) and not is_part("order", {"order"})


def test_parts_stand_for_their_run_and_several_runs_are_ambiguous() -> None:
    assert only_one([f"{RUN}.2", RUN, f"{RUN}.1"], "run_00", "runs") == RUN
    assert only_one([f"{RUN}.2", f"{RUN}.1"], "run_00", "runs") == f"{RUN}.1"  # its own node is away
    assert only_one([f"{RUN}.2"], f"{RUN}.", "runs") == f"{RUN}.2"
    for ids, beginning in (
        ([RUN, OTHER], "run_00"),
        ([RUN, f"{OTHER}.1"], "run_0"),
        ([f"{RUN}.1", f"{RUN}.12"], f"{RUN}."),
    ):
        with pytest.raises(UsageError, match=f'several runs begin with "{beginning}"'):
            only_one(ids, beginning, "runs")
    with pytest.raises(UsageError, match="several runs"):
        only_one(["order.1", "order.2"], "order", "runs")


def step(kind: str, subject: str, **detail: Any) -> dict[str, Any]:
    return {"kind": kind, "subject": subject, "detail": detail}


def test_an_answer_was_made_where_its_last_score_was() -> None:
    steps = [
        step("route", "router.front", score=0.7),
        step("doubt", "agent.clerk", score=0.4, node="edge-1", run=f"{RUN}.1"),
        step("doubt", "agent.clerk", score=0.6, node="edge-2", run=f"{RUN}.2"),
        step("doubt", "agent.clerk", sign="abstains", node="edge-3", run=f"{RUN}.3"),
        step("doubt", "agent.lead", score=0.9),
    ]
    run = {"agent": "lead", "steps": steps}
    assert made_at(run, "", "") == ("", "")
    assert made_at(run, "clerk", "") == ("edge-2", f"{RUN}.2")
    assert made_at(run, "", "front") == ("", "")
    assert made_at(run, "nobody", "") == ("", "")
