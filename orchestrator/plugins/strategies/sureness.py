"""From a stage's own confidence to a probability, and whether that is enough to decide: as fitted on examples, or as labelled
decisions refined it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.refined import Refined

_MOST_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Sureness:
    """``raw`` is the stage's own confidence, ``probability`` what it is worth, ``needed`` the least of these that decides (1 where
    none does); ``labelled`` is whether labelled decisions say so, ``few`` on how many examples it was fitted where these are too
    few to say much."""

    raw: float
    probability: float
    needed: float
    enough: bool
    labelled: bool = False
    few: int | None = None

    def fitted_on(self, few: int | None) -> Sureness:
        """The same, with on how many examples it was fitted where these are ``few``; labels say more than any."""
        return self if few is None or self.labelled else replace(self, few=few)

    def told(self, name: str) -> str:
        """For people: how sure it is of ``name``, and what it takes. In whole percents, and finer only where these would not tell
        which of the two is more; never 100, as nothing that was fitted is certain."""
        digits = next((n for n in range(_MOST_DIGITS) if self._tells(n)), _MOST_DIGITS)
        shown, needed = self._shown(digits)
        least = f"(needs {needed:.{digits}%}{', by labels' if self.labelled else ''})"
        least += "" if self.few is None else f", mostly assumed from {self.few} example{'s' * (self.few != 1)}"
        if self.enough:
            return f"{name}, {shown:.{digits}%} sure {least}"
        return f"not sure enough: {name} {shown:.{digits}%} {least}"

    def _shown(self, digits: int) -> tuple[float, float]:
        most = 1 - 10.0 ** -(digits + 2)
        return min(round(self.probability, digits + 2), most), round(self.needed, digits + 2)

    def _tells(self, digits: int) -> bool:
        shown, needed = self._shown(digits)
        return (shown >= needed) == self.enough


def sureness(raw: float, fitted: float, written: float | None, refined: Refined | None, *, strict: bool) -> Sureness:
    """``fitted`` is the least own confidence that decides where nothing is labelled, ``written`` the least probability that the
    manifest wants, which goes before all others; ``strict`` is whether a later stage knows better."""
    if refined is None:
        needed = fitted if written is None else written
        return Sureness(raw, raw, needed, raw >= needed)
    probability = refined.at(raw)
    if written is not None:
        return Sureness(raw, probability, written, probability >= written, labelled=True)
    least = refined.least(fitted, strict=strict)
    return Sureness(raw, probability, refined.at(least) if least <= 1 else 1.0, raw >= least, labelled=True)
