"""Labels of answers: durable, the newest for each, and of use after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.failpoint import arm, disarm
from orchestrator.core.fitted import Fitted, Scale
from orchestrator.core.isotonic import Block, Isotonic
from orchestrator.core.refined import Line, Refined
from orchestrator.plugins.stores.outcomes import SqliteOutcomes, fitted_at
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.ports.store import Outcome

SCALE = Scale("clerk", "ollama/m", "agreement:3:0.7", "v1")


def outcome(number: int, *, right: bool = True, scale: Scale = SCALE) -> Outcome:
    """A label of a run."""
    return Outcome("shop", 1, f"run_{number}", scale, number / 10, right, "ana")


def test_labels_are_there_after_a_restart(tmp_path: Path) -> None:
    """In the order of their coming; a later one of the same answer takes the place of the first, one of another sign does not."""
    other = Scale("clerk", "ollama/m", "self_check", "v1")
    with_two = [outcome(1), outcome(2), outcome(1, scale=other)]
    stores = open_stores(tmp_path / "state.db")
    stores.outcomes.label(with_two)
    stores.outcomes.label([outcome(1, right=False)])
    stores.close()
    stores = open_stores(tmp_path / "state.db")
    assert stores.outcomes.outcomes("shop") == [with_two[1], with_two[2], outcome(1, right=False)]
    assert stores.outcomes.outcomes("other") == []
    stores.close()


def test_fits_of_routers_and_of_gates_come_back_as_what_they_were(tmp_path: Path) -> None:
    """Also for who only reads the file; a row of another version of the program, and a database without the table, are as none."""
    path = tmp_path / "state.db"
    gate = Fitted(Isotonic((Block(0.2, 3, 9),)), 0.5, 0.95, 9, 3, 0, 0, 0.1)
    route = Refined(Line(0.5, 2.0), 0.3, 0.5, 0.9, 0.95, 60, 50, 40, 39, 0.02, 0.1)
    front = Scale("front", "", "route:lexical", "v2")
    stores = open_stores(path)
    stores.outcomes.keep_fitted(
        "shop", 1, {SCALE: gate, front: route, Scale("front", "", "route:semantic", "v2"): route}
    )
    with StateFile(path).transaction() as connection:
        connection.execute("UPDATE calibration SET fitted = '{\"form\": \"other\"}' WHERE signal = 'route:semantic'")
    assert stores.outcomes.fitted() == fitted_at(path) == {"shop": {SCALE: gate, front: route}}
    with StateFile(path).transaction() as connection:
        connection.execute("DROP TABLE calibration")
    assert fitted_at(path) == {}
    stores.close()


def test_the_oldest_labels_of_a_deployment_are_forgotten(tmp_path: Path) -> None:
    """Beyond the limit."""
    open_stores(tmp_path / "state.db").close()
    store = SqliteOutcomes(StateFile(tmp_path / "state.db"), keep=2)
    for number in range(4):
        store.label([outcome(number)])
    assert [each.run for each in store.outcomes("shop")] == ["run_2", "run_3"]
    store.close()


def test_labels_are_whole_or_not_there(tmp_path: Path) -> None:
    """A fault in the middle leaves none of them."""

    def power() -> None:
        raise RuntimeError("power")

    stores = open_stores(tmp_path / "state.db")
    arm("outcomes.labelling", 1, power)
    try:
        with pytest.raises(RuntimeError, match="power"):
            stores.outcomes.label([outcome(1), outcome(2)])
    finally:
        disarm()
    assert stores.outcomes.outcomes("shop") == []
    stores.close()


def test_what_was_fitted_is_there_after_a_restart(tmp_path: Path) -> None:
    """By deployment and scale; what another version of the program wrote is as none."""
    fitted = Fitted(Isotonic((Block(0.0, 1, 2), Block(0.5, 9, 10))), 0.9, 0.95, 12, 10, 10, 9, 0.01)
    stores = open_stores(tmp_path / "state.db")
    stores.outcomes.keep_fitted("shop", 3, {SCALE: fitted})
    stores.outcomes.keep_fitted("shop", 4, {SCALE: fitted})
    stores.close()
    file = StateFile(tmp_path / "state.db")
    assert file.rows("SELECT revision, count(*) FROM calibration") == [(4, 1)]
    with file.transaction() as connection:
        connection.execute("INSERT INTO calibration VALUES ('shop', 'other', 'm', 's', 'v', 1, '{\"curve\": 3}', 0)")
    assert SqliteOutcomes(file).fitted() == {"shop": {SCALE: fitted}}
    file.close()
