"""Several runtimes that one verb asks: how their runs are merged, and what is found where."""

from __future__ import annotations

from typing import Any

from orchestrator.app.report.several import merged

RUN = "run_00112233445566aa"


def told(*runs: tuple[str, float], models: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "runs": [
            {"id": id_, "finished": finished, "status": "completed", "served_by": "reflex"} for id_, finished in runs
        ],
        "models": [{"alias": alias} for alias in models],
    }


def test_each_run_counts_once_on_the_node_that_it_came_in_on() -> None:
    """Parts that another node asked for do not, nor those whose own node is away; a run that a program has named does."""
    first = told((RUN, 5.0), (f"{RUN}.1", 4.0), ("order", 3.0), models=("small", "large"))
    second = told(
        (f"{RUN}.2", 6.0), ("order.1", 3.1), ("run_ffffffffffffffff.1", 2.0), ("bill.1", 1.0), models=("small",)
    )
    found = merged([("edge-1", first), ("edge-2", second)], None)
    assert [run["id"] for run in found["runs"]] == [RUN, "order", "bill.1"]
    assert [model["alias"] for model in found["models"]] == ["small", "large"]
    assert found["nodes"] == {"edge-1": 2, "edge-2": 1}


def test_the_newest_are_the_newest_of_all_nodes() -> None:
    found = merged([("edge-1", told(("a", 1.0), ("b", 4.0))), ("edge-2", told(("c", 3.0)))], 2)
    assert [run["id"] for run in found["runs"]] == ["b", "c"]
    assert found["nodes"] == {"edge-1": 1, "edge-2": 1}


def test_a_run_that_waits_on_another_node_ends_as_its_part_there() -> None:
    """Each call counts once: those that its part had made when it began to wait are the run's, too."""
    waits = {"id": RUN, "finished": 1.0, "status": "waiting", "served_by": "person", "calls": ["route", "ask"]}
    part = {"id": f"{RUN}.1", "finished": 9.0, "status": "completed", "served_by": "small", "calls": ["ask", "answer"]}
    for status, calls, served_by in (
        ("completed", ["route", "ask", "answer"], "small"),
        ("waiting", ["route", "ask"], "person"),
    ):
        there = {"runs": [{**part, "status": status}], "models": []}
        [found] = merged([("edge-1", {"runs": [waits], "models": []}), ("edge-2", there)], None)["runs"]
        assert found == {**waits, "status": status, "served_by": served_by, "calls": calls}
