"""The places of a deployment: how many of its requests are in work at once, and who has one. Pure, and read by the scheduler.

A request has a place while a model or a function works for it, and between two of these; not before the first, and not while
it waits for a model. So whoever waits is in the scheduler's lines, where it is seen which models are wanted.
"""

from __future__ import annotations

from orchestrator.serve.scheduler_limits import PRIORITIES


class Places:
    """``limit`` ``None``: everybody has one at once. ``runs`` have begun and not ended, with a place or without; ``waits``: calls
    that stand in the scheduler's lines, by the rank of their class."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.inside = 0
        self.runs = 0
        self.waits = [0] * len(PRIORITIES)

    @property
    def free(self) -> bool:
        """Whether one more may have a place."""
        return self.limit is None or self.inside < self.limit

    def most_urgent(self, now: float) -> int | None:  # noqa: ARG002 - a gate's line goes by the time
        """The rank of the first that waits for a place and for no model; ``None`` where nobody does."""
        return None

    def let_one_in(self, now: float) -> None:
        """Give that one a place."""


class Place:
    """What one request has: whether it is in (``held``), how many models and functions work for it now, whether any did
    before (``began``), how many of its calls stand in the scheduler's lines (``waiting``), and its number in the order of coming,
    which its first call gives it."""

    __slots__ = ("began", "held", "order", "places", "waiting", "works")

    def __init__(self, places: Places) -> None:
        self.places = places
        self.held = self.began = False
        self.works = self.waiting = 0
        self.order = 0

    @property
    def fits(self) -> bool:
        """Whether work for it may begin."""
        return self.held or self.places.free

    def begin(self) -> bool:
        """A model or a function works for it. Tells whether calls of it that wait may begin by that."""
        came = not self.held
        if came:
            self.places.inside += 1
            self.held = self.began = True
        self.works += 1
        return came and self.waiting > 0 and self.places.limit is not None

    def queue(self, rank: int) -> None:
        """A call of it, of this class, stands in line."""
        self.waiting += 1
        self.places.waits[rank] += 1

    def unqueue(self, rank: int) -> None:
        """It does no more."""
        self.waiting -= 1
        self.places.waits[rank] -= 1

    def pause(self) -> bool:
        """That work ended; it keeps its place for what it does with the outcome. But where calls of it wait and nothing else works
        for it, it waits: tells whether somebody else may have its place."""
        self.works -= 1
        return self.waiting > 0 and self.rest() and self.places.limit is not None

    def rest(self) -> bool:
        """It waits for a model: somebody else may have its place, unless other work of it goes on. Tells whether it had one."""
        if not self.held or self.works:
            return False
        self.places.inside -= 1
        self.held = False
        return True
