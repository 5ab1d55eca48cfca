"""What labelled decisions say of a confidence that was fitted on examples, or told by a model. Pure.

From ``FEW`` labels on a line through its log-odds (Platt, 1999), drawn towards leaving it as it is; from ``ENOUGH`` on a curve that
never falls, in which the fit from the examples counts as ``FIRM`` labels. A model's own confidence comes from no example: there
nothing is blended, and it takes ``ENOUGH``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, Final

from orchestrator.core.fitted import ENOUGH, KEEP_NONE, TARGET, Fitted, Labelled, Scale, ece_of
from orchestrator.core.isotonic import Isotonic, fit_isotonic

FEW: Final = 50
"""Labelled decisions from which a line is fitted."""
FIRM: Final = 50
"""So many labels the fit from the examples counts as, in a curve."""
STRICT: Final = 0.98
"""Wanted accuracy where a later stage knows better, or the target if that is higher."""
ROUTE: Final = "route:"
"""The signals of routers' stages begin so."""
_FOLDS: Final = 5
_EDGE: Final = 1e-3
_LEAST: Final = 15
_MORE_WRONG: Final = 0.5
"""What is less probable is not decided, however sure the rest is."""
_OFFSET_PRECISION: Final = 1.0
_SLOPE_PRECISION: Final = 4.0


@dataclass(frozen=True, slots=True)
class Line:
    """The log-odds of a confidence, moved by ``offset`` and stretched by ``slope`` (above 0)."""

    offset: float
    slope: float

    def at(self, confidence: float) -> float:
        """The probability of a confidence."""
        return _logistic(self.offset + self.slope * _log_odds(confidence))


Curve = Isotonic | Line


@dataclass(frozen=True, slots=True)
class Refined:
    """A curve over a stage's own confidence, of which the labelled ones begin at ``lowest``; ``usual`` and ``strict`` are the least
    own confidences at which the target, or ``STRICT``, of what is decided is right (``KEEP_NONE`` where none is). The rest says how
    it does on labels that it was not fitted on: of ``of`` decisions ``right`` were right; ``kept`` would be decided again,
    ``kept_right`` of them rightly; ``ece`` is its calibration error, ``before`` that of the own confidence."""

    curve: Curve
    lowest: float
    usual: float
    strict: float
    target: float
    of: int
    right: int
    kept: int
    kept_right: int
    ece: float
    before: float

    def at(self, confidence: float) -> float:
        """The probability that a decision of this own confidence is right. Below all that was labelled it is only ever lowered, as
        the lowest labelled one was: nothing was seen there."""
        if confidence >= self.lowest:
            return self.curve.at(confidence)
        return confidence * min(1.0, self.curve.at(self.lowest) / self.lowest)

    def least(self, fitted: float, *, strict: bool) -> float:
        """From which own confidence on to decide, where without labels it were ``fitted``: where all that is labelled reaches what
        is wanted, the lower of ``fitted`` and the lowest labelled one."""
        found = self.strict if strict else self.usual
        return found if found > self.lowest else min(fitted, self.lowest)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        curve = self.curve
        plain: Any = [curve.offset, curve.slope] if isinstance(curve, Line) else curve.as_json()
        form = "line" if isinstance(curve, Line) else "levels"
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"form": form, "curve": plain}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Refined:
        """From the plain form; raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is none."""
        rest = {name: each for name, each in value.items() if name != "form"}
        if value["form"] == "line":
            return cls(**{**rest, "curve": Line(*map(float, value["curve"]))})
        return cls(**{**rest, "curve": Isotonic.from_json(value["curve"])})


Fit = Fitted | Refined
Refinements = Mapping[tuple[str, str], Refined]
"""Of one router as it is now, by stage and by the kind of server that its confidence is of (empty: no server)."""


def is_route(scale: Scale) -> bool:
    """Whether a scale is of a router's stage (``agent`` is the router then, and ``model`` the kind of server, empty for none)."""
    return scale.signal.startswith(ROUTE)


def stage_of(scale: Scale) -> str:
    """The stage that a router's scale is of."""
    return scale.signal.removeprefix(ROUTE)


def refinements_of(fitted: Mapping[Scale, Fit], router: str, version: str) -> Refinements:
    """What of all that was fitted is of this router in this version."""
    return {
        (stage_of(scale), scale.model): fit
        for scale, fit in fitted.items()
        if isinstance(fit, Refined) and (scale.agent, scale.version) == (router, version)
    }


def enough_of(scale: Scale) -> int:
    """How many labels something is fitted from."""
    return FEW if is_route(scale) and not scale.model else ENOUGH


def fit_from_json(scale: Scale, value: Mapping[str, Any]) -> Fit:
    """What was fitted on a scale, from its plain form; raises as ``Fitted.from_json`` does."""
    return Refined.from_json(value) if is_route(scale) else Fitted.from_json(value)


def refine(labelled: Sequence[Labelled], target: float = TARGET, *, of_model: bool = False) -> Refined | None:
    """Fit it to own confidences, each with whether the decision was right; ``None`` while too few are labelled."""
    if len(labelled) < (ENOUGH if of_model else FEW):
        return None
    firm = 0 if of_model else FIRM
    kept = kept_right = 0
    found: list[tuple[float, bool]] = []
    for fold in range(_FOLDS):
        rest = [pair for at, pair in enumerate(labelled) if at % _FOLDS != fold]
        curve = _curve(rest, firm, len(labelled))
        least = _least(curve, rest, target)
        for confidence, right in labelled[fold::_FOLDS]:
            found.append((curve.at(confidence), right))
            kept += confidence >= least
            kept_right += confidence >= least and right
    curve = _curve(labelled, firm, len(labelled))
    return Refined(
        curve,
        lowest=min(confidence for confidence, _ in labelled),
        usual=_least(curve, labelled, target),
        strict=_least(curve, labelled, max(target, STRICT)),
        target=target,
        of=len(labelled),
        right=sum(right for _, right in labelled),
        kept=kept,
        kept_right=kept_right,
        ece=ece_of(found),
        before=ece_of(labelled),
    )


def _curve(labelled: Sequence[Labelled], firm: int, of: int) -> Curve:
    """A line while all that is labelled (``of``) is little; a curve also where no rising line fits."""
    line = _line(labelled) if of < ENOUGH else None
    if line is not None and line.slope > 0:
        return line
    share = firm / (firm + len(labelled))
    return fit_isotonic([(own, share * own + (1 - share) * right) for own, right in labelled])


def _least(curve: Curve, labelled: Sequence[Labelled], wanted: float) -> float:
    """The lowest own confidence such that those labelled from there on, ``_LEAST`` or more, have a mean probability of at least
    ``wanted``."""
    ranked = sorted(((curve.at(own), own) for own, _ in labelled), reverse=True)
    found, total, count = KEEP_NONE, 0.0, 0
    for probability, same in groupby(ranked, key=lambda pair: pair[0]):
        owns = [own for _, own in same]
        total, count = total + probability * len(owns), count + len(owns)
        if total < wanted * count - 1e-9 or probability < _MORE_WRONG:
            break
        found = owns[-1] if count >= _LEAST else found
    return found


def _line(labelled: Sequence[Labelled]) -> Line:
    """The most probable line, by Newton's method, where offset 0 and slope 1 are expected."""
    points = [(_log_odds(own), right) for own, right in labelled]
    offset, slope = 0.0, 1.0
    for _ in range(50):
        down = [_OFFSET_PRECISION * offset, _SLOPE_PRECISION * (slope - 1.0)]
        bend = [_OFFSET_PRECISION, 0.0, _SLOPE_PRECISION]
        for odds, right in points:
            probability = _logistic(offset + slope * odds)
            error, weight = probability - right, probability * (1 - probability)
            down = [down[0] + error, down[1] + error * odds]
            bend = [bend[0] + weight, bend[1] + weight * odds, bend[2] + weight * odds * odds]
        whole = bend[0] * bend[2] - bend[1] * bend[1]
        step = ((bend[2] * down[0] - bend[1] * down[1]) / whole, (bend[0] * down[1] - bend[1] * down[0]) / whole)
        most = max(1.0, *map(abs, step))  # from afar a whole step may lead past the best
        offset, slope = offset - step[0] / most, slope - step[1] / most
        if max(map(abs, step)) < 1e-9:
            break
    return Line(offset, slope)


def _log_odds(probability: float) -> float:
    held = min(1 - _EDGE, max(_EDGE, probability))
    return math.log(held / (1 - held))


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-700.0, value)))
