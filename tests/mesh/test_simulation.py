"""Seeded lives of fleets: nothing vanishes, nothing is delivered twice, and what is exclusive is on one side only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

import pytest

from orchestrator.node.lease import Lease
from tests.mesh.simulation import Scale, main, simulate, told

SEEDS = 500
AT_ONCE = 25
LARGE = Scale(nodes=50, agents=200, pause=15.0)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """A process for each core: a seed is one thread's work, and no two know of each other."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as made:
        yield made


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_fleets_of_three_to_five_nodes_live_through_a_minute_of_faults(first: int, pool: Executor) -> None:
    """Whatever the seed; one that goes wrong is told with the command that repeats it."""
    outcomes = list(pool.map(simulate, range(first, first + AT_ONCE)))
    assert [told(outcome) for outcome in outcomes if outcome.wrong] == []
    assert all(outcome.faults and outcome.ends.get("Answer", 0) > 10 for outcome in outcomes)


def test_fleets_of_fifty_nodes_and_two_hundred_agents_do(pool: Executor) -> None:
    """The same code, with heartbeats of all to all."""
    outcomes = list(pool.map(simulate, range(5), repeat(LARGE)))
    assert [told(outcome, LARGE) for outcome in outcomes if outcome.wrong] == []


def test_a_seed_in_which_the_code_breaks_is_told_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that repeats it, and where it broke; the seeds after it are lived through all the same."""

    def broken(*_: object) -> None:
        raise KeyError("a bug of the control code")

    # The fault has to be in the code under test, which has none of its own to show.
    monkeypatch.setattr(Lease, "on_read", broken)
    outcome = simulate(3)
    assert outcome.wrong and "KeyError: 'a bug of the control code'" in told(outcome)
    assert "again: python -m tests.mesh.simulation --seeds 3" in told(outcome)
    assert main(["--seeds", "3-4"]) == 1
    monkeypatch.undo()
    assert simulate(3).wrong == ()


def test_a_seed_gives_the_same_again() -> None:
    """So a fault that it shows can be looked into."""
    one, again = simulate(7), simulate(7)
    assert (one.faults, one.ends, one.letters) == (again.faults, again.ends, again.letters)
