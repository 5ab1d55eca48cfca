"""Work that is counted, or timed beside what is known: a bound in steps is the same on every machine, however busy."""

from __future__ import annotations

import gc
import re
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_LETTERS = 1_500


def seconds_of(work: Callable[[], Any]) -> float:
    """The processor's seconds that it took, garbage left lying: to collect it costs as much as the whole process holds."""
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        gc.enable()


def seconds_a_step() -> float:
    """Of the slowest kind, a repeat of a group: from each letter to the end, so half the square of their number."""
    pattern, text = re.compile("(a|b)*c"), "a" * _LETTERS
    return seconds_of(lambda: pattern.search(text)) / (_LETTERS**2 / 2)


def lines_run_by(work: Callable[[], Any]) -> int:
    """How many lines of Python it runs, turns of loops counted each."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
