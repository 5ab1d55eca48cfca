"""Ids that are drawn ahead are as fresh as others."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.core.request import new_id


def test_no_two_are_the_same_in_any_thread() -> None:
    """However many ask at once."""
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: new_id("run"), range(10_000)))
    assert len(set(found)) == 10_000
    assert all(re.fullmatch("run_[0-9a-f]{16}", each) for each in found)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system makes no process by a fork")
def test_a_child_of_a_fork_draws_its_own() -> None:
    """Else it would use those that its parent has drawn ahead."""
    new_id("run")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, new_id("run").encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() not in {new_id("run") for _ in range(64)}
