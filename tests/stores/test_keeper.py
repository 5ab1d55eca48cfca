"""The keeper of runs: batches, a failing store, an orderly end."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import StateUnusable
from orchestrator.core.event import Event
from orchestrator.core.request import Result
from orchestrator.plugins.stores.keeper import RunKeeper
from orchestrator.plugins.stores.sqlite import open_stores

pytestmark = pytest.mark.anyio


def finished(number: int) -> Event:
    result = Result(f"run_{number}", "clinic", 1, "completed", "x")
    return Event("run.finished", 0.0, "clinic", 1, result.id, {"result": result, "text": f"text {number}"})


class ListStore:
    """A run store in a list, that can be made to fail."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.fault: StateUnusable | None = None
        self.kept = threading.Event()

    def keep(self, results: Sequence[Result], texts: Sequence[str]) -> None:
        self.threads.add(threading.get_ident())
        if self.fault is not None:
            raise self.fault
        self.batches.append([result.id for result in results])
        self.kept.set()

    def find(self, run: str) -> Mapping[str, Any] | None:
        return None

    def recent(self, deployment: str, count: int) -> Sequence[Mapping[str, Any]]:
        return ()


async def test_runs_are_written_in_batches_by_another_thread_and_all_of_them_at_the_end() -> None:
    store = ListStore()
    keeper = RunKeeper(store, every=60.0, batch=3)
    async with anyio.create_task_group() as group:
        group.start_soon(keeper.run)
        for number in range(7):
            keeper.take(finished(number))
        await keeper.aclose()
    assert [len(batch) for batch in store.batches] == [3, 3, 1]
    assert [run for batch in store.batches for run in batch] == [f"run_{n}" for n in range(7)]
    assert threading.get_ident() not in store.threads


async def test_a_full_batch_is_written_without_waiting() -> None:
    store = ListStore()
    keeper = RunKeeper(store, every=60.0, batch=2)
    async with anyio.create_task_group() as group:
        group.start_soon(keeper.run)
        await anyio.wait_all_tasks_blocked()
        keeper.take(finished(1))
        keeper.take(finished(2))
        assert await anyio.to_thread.run_sync(store.kept.wait, 10)
        await keeper.aclose()
    assert store.batches == [["run_1", "run_2"]]


async def test_a_single_run_is_written_after_a_moment() -> None:
    store = ListStore()
    keeper = RunKeeper(store, every=0.01)
    async with anyio.create_task_group() as group:
        group.start_soon(keeper.run)
        keeper.take(finished(1))
        keeper.take(Event("run.started", 0.0))
        assert await anyio.to_thread.run_sync(store.kept.wait, 10)
        await keeper.aclose()
    assert store.batches == [["run_1"]]


async def test_a_failing_store_is_reported_once_and_loses_nothing_that_fits_in_silence() -> None:
    store = ListStore()
    reports: list[StateUnusable] = []
    keeper = RunKeeper(store, room=3, report=reports.append)
    store.fault = StateUnusable("the disk is full")
    for number in range(5):
        keeper.take(finished(number))
    await keeper.flush()
    await keeper.flush()
    full = "3 runs wait for a store that cannot be written: the oldest are lost from now on"
    assert [report.message for report in reports] == [full, "the disk is full"]
    assert (keeper.trouble, keeper.lost) == (store.fault, 2)
    store.fault = None
    await keeper.flush()
    assert store.batches == [["run_2", "run_3", "run_4"]]
    assert keeper.trouble is None
    assert reports[2].message == "the store is written again; 2 of the oldest runs are lost"


async def test_the_end_comes_also_while_the_store_fails() -> None:
    store = ListStore()
    store.fault = StateUnusable("the disk is full")
    keeper = RunKeeper(store, every=0.0)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(keeper.run)
            keeper.take(finished(1))
            await anyio.wait_all_tasks_blocked()
            await keeper.aclose()
    assert keeper.trouble is store.fault


async def test_two_hundred_runs_reach_the_database(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "state.db")
    keeper = RunKeeper(stores.runs)
    for number in range(200):
        keeper.take(finished(number))
    await keeper.aclose()
    found = stores.runs.find("run_199")
    assert found is not None
    assert found["request"] == "text 199"
    stores.close()


class Picky(ListStore):
    """A store that cannot write some runs, for a reason of their own."""

    def keep(self, results: Sequence[Result], texts: Sequence[str]) -> None:
        if any(result.id in ("run_1", "run_3") for result in results):
            raise TypeError("keys must be text")
        super().keep(results, texts)


async def test_a_run_that_cannot_be_written_is_reported_and_keeps_no_other_back() -> None:
    """It is dropped and counted; the keeper goes on."""
    store = Picky()
    reports: list[StateUnusable] = []
    keeper = RunKeeper(store, report=reports.append)
    async with anyio.create_task_group() as group:
        group.start_soon(keeper.run)
        for number in range(5):
            keeper.take(finished(number))
        await keeper.aclose()
    assert [run for batch in store.batches for run in batch] == ["run_0", "run_2", "run_4"]
    assert [report.message for report in reports] == [
        f"the run {run} cannot be stored and is dropped: TypeError: keys must be text" for run in ("run_1", "run_3")
    ]
    assert (keeper.lost, keeper.trouble) == (2, None)


async def test_a_store_that_fails_while_runs_are_written_singly_loses_nothing() -> None:
    """What is not written yet waits, as it does after any failure of the store."""
    store = Picky()
    keeper = RunKeeper(store)
    for number in range(3):
        keeper.take(finished(number))
    keep, store.fault = store.keep, StateUnusable("the disk is full")
    store.keep = lambda results, texts: keep(results, texts) if len(results) > 1 else _full()  # type: ignore[method-assign] # put in its place for this test only
    await keeper.flush()
    store.fault = None
    store.keep = keep  # type: ignore[method-assign] # put in its place for this test only
    await keeper.flush()
    assert [run for batch in store.batches for run in batch] == ["run_0", "run_2"]


def _full() -> None:
    raise StateUnusable("the disk is full")


async def test_half_a_character_is_stored_as_what_stands_for_it(tmp_path: Path) -> None:
    """Whoever let it through: the database takes only what is Unicode."""
    stores = open_stores(tmp_path / "state.db")
    stores.runs.keep([Result("run_1", "clinic", 1, "completed", "half \ud83d")], ["asked \ud83d"])
    found = stores.runs.find("run_1")
    assert found is not None
    assert (found["text"], found["request"]) == ("half \ufffd", "asked \ufffd")
    stores.close()
