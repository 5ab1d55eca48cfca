"""What steps of a regular expression cost on this machine, now: a bound in steps needs no seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

_LETTERS = 1_500


def seconds_of(work: Callable[[], Any]) -> float:
    """The processor's seconds that it took."""
    began = time.process_time()
    work()
    return time.process_time() - began


def seconds_a_step() -> float:
    """Of the slowest kind, a repeat of a group: from each letter to the end, so half the square of their number."""
    pattern, text = re.compile("(a|b)*c"), "a" * _LETTERS
    return seconds_of(lambda: pattern.search(text)) / (_LETTERS**2 / 2)
