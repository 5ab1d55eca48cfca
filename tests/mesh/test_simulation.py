"""Seeded lives of fleets: nothing vanishes, nothing is delivered twice, and what is exclusive is on one side only."""

from __future__ import annotations

import pytest

from tests.mesh.simulation import Scale, simulate, told

SEEDS = 500
AT_ONCE = 25
LARGE = Scale(nodes=50, agents=200, pause=15.0)


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_fleets_of_three_to_five_nodes_live_through_a_minute_of_faults(first: int) -> None:
    """Whatever the seed; one that goes wrong is told with the command that repeats it."""
    outcomes = [simulate(seed) for seed in range(first, first + AT_ONCE)]
    assert [told(outcome) for outcome in outcomes if outcome.wrong] == []
    assert all(outcome.faults and outcome.ends.get("Answer", 0) > 10 for outcome in outcomes)


@pytest.mark.parametrize("seed", range(5))
def test_fleets_of_fifty_nodes_and_two_hundred_agents_do(seed: int) -> None:
    """The same code, with heartbeats of all to all."""
    outcome = simulate(seed, LARGE)
    assert not outcome.wrong, told(outcome, LARGE)


def test_a_seed_gives_the_same_again() -> None:
    """So a fault that it shows can be looked into."""
    one, again = simulate(7), simulate(7)
    assert (one.faults, one.ends, one.letters) == (again.faults, again.ends, again.letters)
