"""Whether what was proposed is better, on requests that it was not proposed from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.app.routing.figures import Figures, Tried
from orchestrator.app.routing.search import CHANCE, CHEAPER, by_chance


@dataclass(frozen=True, slots=True)
class Measured:
    """What a router did with the requests: what came of each, how many calls to a model it wanted and how many of these failed, and
    its own computing time for one, in seconds."""

    figures: Figures
    calls: int
    seconds: float
    failed: int = 0

    @property
    def of(self) -> int:
        """Requests."""
        return len(self.figures.tried)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether it is better, and why or why not."""

    better: bool
    why: str


def compare(now: Measured, then: Measured, target: float, *, missed: bool) -> Comparison:
    """Both measured on the same requests. ``missed``: as it is now the router is under the target, so that fewer wrong decisions
    are looked for; else more right ones that keep to the target, else the same for less."""
    avoided, added = _changed(now, then, "wrong")
    if missed:
        why = f"{avoided} wrong decisions fewer and {added} more"
        return _beyond_chance(avoided, added, why, _reach(then, target))
    gained, lost = _gains(now, then)
    why = f"{gained} requests more are decided rightly and {lost} fewer"
    share = then.figures.decided_right
    if gained > lost and share.value is not None and share.value < target:
        return Comparison(False, f"{why}, but of what is decided only {share.right} of {share.of} are right")
    if gained > lost:
        return _beyond_chance(gained, lost, why, "")
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


def _changed(now: Measured, then: Measured, verdict: str) -> tuple[int, int]:
    """How many had this verdict and have it no more, and the other way round."""
    pairs = _pairs(now, then)
    gone = sum(a.verdict == verdict != b.verdict for a, b in pairs)
    come = sum(a.verdict != verdict == b.verdict for a, b in pairs)
    return gone, come


def _gains(now: Measured, then: Measured) -> tuple[int, int]:
    """Requests that somebody answers: decided rightly now and not before, and the other way round."""
    pairs = [(a.verdict == "right", b.verdict == "right") for a, b in _pairs(now, then) if a.wanted]
    return pairs.count((False, True)), pairs.count((True, False))


def _pairs(now: Measured, then: Measured) -> Sequence[tuple[Tried, Tried]]:
    return list(zip(now.figures.tried, then.figures.tried, strict=True))


def _cheaper(now: Measured, then: Measured) -> str:
    if then.calls < now.calls:
        return f"with {then.calls} calls to a model and not {now.calls}"
    if then.calls == now.calls and then.seconds < CHEAPER * now.seconds:
        return f"in {then.seconds / now.seconds:.0%} of the time"
    return ""
