"""Several runtimes that one verb asks: how their runs are merged, and what is found where."""

from __future__ import annotations

from typing import Any

from orchestrator.app.report.several import merged

RUN = "run_00112233445566aa"


def told(*runs: tuple[str, float], models: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "runs": [{"id": id_, "finished": finished} for id_, finished in runs],
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
