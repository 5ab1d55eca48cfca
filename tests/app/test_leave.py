"""A program ends although a thread of it never does, and an error that comes out of a group does not hide the others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.app.unwrap import unwrapped
from orchestrator.core.errors import DeployError

PROGRAM = """
import sys, threading
from orchestrator.app.leave import left_for_sure
threading.Thread(target=threading.Event().wait).start()
with left_for_sure():
    print("worked")
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("raise KeyError('lost')", 1, "KeyError: 'lost'"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
    ],
)
def test_a_program_that_is_held_ends_however_its_block_does(end: str, code: int, said: str) -> None:
    """With its exit code, what it has printed, and what it failed with."""
    words = [sys.executable, "-c", PROGRAM.format(end=end)]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert (ran.returncode, ran.stdout) == (code, "worked\n")
    assert said in ran.stderr and bool(said) == bool(ran.stderr)


def test_the_only_error_of_a_group_comes_out_as_itself() -> None:
    """Also from a group in a group; with what caused it."""
    error, cause = KeyError("one"), ValueError("why")
    error.__cause__ = cause
    with pytest.raises(KeyError) as raised, unwrapped():
        raise BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [error])])
    assert raised.value.__cause__ is cause


def test_the_error_that_is_known_comes_out_and_the_others_stay_behind_it() -> None:
    """Whoever looks for the reason finds all of them."""
    group = BaseExceptionGroup("tasks", [KeyError("other"), DeployError("known")])
    with pytest.raises(DeployError, match="known") as raised, unwrapped(DeployError):
        raise group
    assert raised.value.__cause__ is group


def test_a_group_of_several_stays() -> None:
    """And one without any that is known."""
    several = BaseExceptionGroup("tasks", [KeyError("one"), ValueError("two")])
    with pytest.raises(BaseExceptionGroup) as raised, unwrapped():
        raise several
    assert raised.value is several
    with pytest.raises(BaseExceptionGroup), unwrapped(DeployError):
        raise several
