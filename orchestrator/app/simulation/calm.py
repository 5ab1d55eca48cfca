"""The same load without its faults, played beside: what a fault cost is the difference.

Where more is asked than can be done, which requests are answered is chance, and one that fails with a fault would mostly have been
refused without it. So the same requests are played once more with no fault, in a process of its own: on a machine with two
processors it takes no longer. Where there is room for all of them, none would be lost, and nothing is played twice.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from typing import Final

from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.play import Load, Story, play
from orchestrator.core.blueprint import Blueprint

FEW: Final = 5_000
"""Requests that are played sooner than another process begins."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended, and how long it ``waited`` until a model began."""

    outcome: str
    waited: float | None


Calm = Mapping[str, Ended]
"""By the id of a request, which is the same in both plays."""


@contextmanager
def beside(blueprint: Blueprint, load: Load, assumed: Assumed) -> Iterator[Callable[[], Calm]]:
    """It is played while the block runs; what is given waits for its end. Leaving the block ends it."""
    calm = replace(load, faults=())
    if load.rps * load.duration <= FEW:
        yield lambda: ended(play(blueprint, calm, assumed))
        return
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_other, args=(theirs, ours, blueprint, calm, assumed), daemon=True)
    process.start()
    theirs.close()

    def found() -> Calm:
        try:
            told: Calm = ours.recv()
        except EOFError:  # killed, say for want of memory: then it is played here
            return ended(play(blueprint, calm, assumed))
        return told

    try:
        yield found
    finally:
        process.kill()
        process.join()
        ours.close()


def ended(story: Story) -> Calm:
    """How each request of a story ended."""
    return {wish.id: Ended(wish.outcome, None if wish.began is None else wish.began - wish.at) for wish in story.wishes}


def _other(theirs: Connection, ours: Connection, blueprint: Blueprint, load: Load, assumed: Assumed) -> None:
    """The other process. Ctrl-C is for the first, with which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours.close()
    Thread(target=_with_parent, daemon=True).start()
    theirs.send(ended(play(blueprint, load, assumed)))


def _with_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
