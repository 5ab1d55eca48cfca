"""Whether what was proposed is better, on requests that it was not proposed from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.app.routing.figures import Figures, Share
from orchestrator.app.routing.search import CHANCE, CHEAPER, by_chance


@dataclass(frozen=True, slots=True)
class Measured:
    """What a router did with the requests: what came of each, how many calls to a model it wanted and how many of these failed, its
    own computing time for one, in seconds, and of which requests it wanted to know a model's word and had none (``unheard``)."""

    figures: Figures
    calls: int
    seconds: float
    failed: int = 0
    unheard: tuple[bool, ...] = ()

    @property
    def of(self) -> int:
        """Requests."""
        return len(self.figures.tried)

    @property
    def silent(self) -> tuple[bool, ...]:
        """``unheard`` of every request."""
        return self.unheard or (False,) * self.of


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether it is better, and why or why not."""

    better: bool
    why: str


def compare(now: Measured, then: Measured, target: float, *, missed: bool) -> Comparison:
    """Both measured on the same requests. ``missed``: as it is now the router is under the target, so that fewer wrong decisions
    are looked for; else more right ones that keep to the target, else the same for less.

    Where a model was not heard nobody knows what it would say: it counts as right in ``now``, so that to decide in its place is
    never a gain, and to decide wrongly there a loss."""
    avoided, added = _changed(now, then)
    if missed:
        why = f"{avoided} wrong decisions fewer and {added} more"
        return _beyond_chance(avoided, added, why, f"{_of_the_model(now, then)}{_reach(then, target)}")
    gained, lost = _gains(now, then)
    why = f"{gained} requests more are decided rightly and {lost} fewer"
    share = then.figures.decided_right
    if gained > lost and share.value is not None and share.value < target:
        return Comparison(False, f"{why}, but of what is decided only {share.right} of {share.of} are right")
    if gained > lost:
        return _beyond_chance(gained, lost, why, _of_the_model(now, then))
    if any(now.unheard):
        return _in_its_place(now, then)
    cheaper = _cheaper(now, then)
    if cheaper and not lost and added <= avoided:
        return Comparison(True, f"it decides as well, {cheaper}")
    return Comparison(False, why if gained or lost else "it decides no request better and is not clearly cheaper")


def _beyond_chance(better: int, worse: int, why: str, more: str) -> Comparison:
    chance = by_chance(better, worse)
    if better <= worse or chance > CHANCE:
        return Comparison(False, f"{why}, which may be chance ({_p(chance, 2)})")
    return Comparison(True, f"{why} ({_p(chance, 3)} that this is chance){more}")


def _p(chance: float, digits: int) -> str:
    least = 10.0**-digits
    return f"p < {least:g}" if chance < least else f"p = {chance:.{digits}f}"


def _reach(then: Measured, target: float) -> str:
    share = then.figures.decided_right
    if share.value is None or share.value >= target:
        return ""
    return f"; the target is not reached all the same: {share.right} of {share.of} are right"


def _in_its_place(now: Measured, then: Measured) -> Comparison:
    """``then`` decides itself what ``now`` asks a model about that was not heard: cheaper, and no gain that anybody knows of."""
    taken = _taken(now, then)
    if not taken.of:
        return Comparison(False, "it decides no request better, and takes none from the model")
    low, high = taken.interval
    told = f"{taken.right} of the {taken.of} requests that it takes from the model are right without it [{low:.1%}, {high:.1%}]"
    calls = f"with {then.calls} calls to a model and not {now.calls} it would be cheaper"
    return Comparison(
        False, f"{calls}, and {told}; whether the model decides more of them rightly nobody knows without --ask"
    )


def _taken(now: Measured, then: Measured) -> Share:
    """What ``now`` would ask a model about and ``then`` decides: how much of it rightly."""
    found = [
        one.verdict == "right"
        for one, asked, still in zip(then.figures.tried, now.silent, then.silent, strict=True)
        if asked and not still
    ]
    return Share(sum(found), len(found))


def _of_the_model(now: Measured, then: Measured) -> str:
    """How much more or less is left to a model that was not heard."""
    more, taken = sum(b and not a for a, b in zip(now.silent, then.silent, strict=True)), _taken(now, then)
    found = [f"{more} requests more are left to the model, which was not asked"] if more else []
    if taken.of:
        found.append(
            f"{taken.of} are taken from the model, which was not asked, and {taken.right} of these are right without it"
        )
    return "".join(f"; {each}" for each in found)


def _changed(now: Measured, then: Measured) -> tuple[int, int]:
    """How many were decided wrongly and are no more, and the other way round."""
    pairs = _pairs(now, then)
    gone = sum(a == "wrong" != b for _, a, b in pairs)
    come = sum(a != "wrong" == b for _, a, b in pairs)
    return gone, come


def _gains(now: Measured, then: Measured) -> tuple[int, int]:
    """Requests that somebody answers: decided rightly now and not before, and the other way round."""
    pairs = [(a == "right", b == "right") for wanted, a, b in _pairs(now, then) if wanted]
    return pairs.count((False, True)), pairs.count((True, False))


def _pairs(now: Measured, then: Measured) -> Sequence[tuple[bool, str, str]]:
    """Of each request: whether somebody answers it, and what came of it now and then. What both leave to a model that was not
    heard is the same in both; what ``now`` alone leaves to it counts as right."""
    found = zip(now.figures.tried, then.figures.tried, now.silent, then.silent, strict=True)
    return [(bool(a.wanted), "right" if one else a.verdict, b.verdict) for a, b, one, other in found if not one & other]


def _cheaper(now: Measured, then: Measured) -> str:
    if then.calls < now.calls:
        return f"with {then.calls} calls to a model and not {now.calls}"
    if then.calls == now.calls and then.seconds < CHEAPER * now.seconds:
        return f"in {then.seconds / now.seconds:.0%} of the time"
    return ""
