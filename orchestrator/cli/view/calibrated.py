"""What a calibration fitted, for people: each share with its interval, and what is missing where nothing was fitted yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.app.routing.figures import INTERVAL, Share
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.isotonic import Isotonic
from orchestrator.core.refined import Refined

if TYPE_CHECKING:
    from orchestrator.app.labelling import Tally


_POINTS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_NEARLY: Final = 0.995


def as_json(found: Mapping[str, Any]) -> str:
    """All of it for programs."""
    return json.dumps({"interval": INTERVAL, **found}, indent=2, ensure_ascii=False)


def shown_tally(tally: Tally) -> str:
    """What came of the cases."""
    without = "".join(f"; {count} without: {why}" for why, count in tally.without.items())
    return f"{tally.noted} labels noted, {tally.right} of them right{without}"


def shown(found: Mapping[str, Any], terminal: Terminal, node: str = "") -> str:
    """A paragraph for each scale; of a fleet's ``node`` each says so."""
    on = f" on {node}" if node else ""
    if not found["scales"]:
        return f"{found['name']}{on}: nothing is labelled yet (orchestrator label RUN right, or --cases FILE)"
    return "\n\n".join("\n".join(_lines(scale, found["target"], terminal, on)) for scale in found["scales"])


def _lines(scale: Mapping[str, Any], target: float, terminal: Terminal, on: str) -> Iterator[str]:
    routed = "router" in scale
    yield terminal.paint("bold", terminal.foreign(_named(scale) + on)) + f": {_count(scale)}"
    if not scale["serves"]:
        part = "router" if routed else "agent"
        yield f"  of an earlier version of the {part}: the one that serves does not go by it"
    fitted = scale["fitted"]
    if fitted is None:
        missing = scale["enough"] - scale["labelled"]
        until = "its own confidence stands" if routed else "the score is taken for the probability itself"
        yield f"  {missing} more are needed to fit: until then {until}"
    rows = [("right", *_share(scale["right"], scale["labelled"]))]
    if fitted is None:
        yield from columns(rows, indent="  ")
        return
    rows += [
        (f"{'decided' if routed else 'kept'}, where it was not fitted on", *_share(fitted["kept"], fitted["of"])),
        (f"right of what was {'decided' if routed else 'kept'}", *_share(fitted["kept_right"], fitted["kept"])),
    ]
    yield from columns(rows, indent="  ")
    if routed:
        yield f"  {decides(fitted)}; calibration error {fitted['ece']:.3f}, {fitted['before']:.3f} without the labels"
        yield from columns([*_curve(Refined.from_json(fitted))], indent="    ")
        return
    yield f"  {_threshold(fitted, target)}; calibration error {fitted['ece']:.3f}"
    levels = [("score from", "right", "interval", "labelled")]
    levels += [(f"{low:.3f}", *_share(int(right), int(of))) for low, right, of in fitted["curve"]]
    yield from columns(levels, indent="    ")


def _named(scale: Mapping[str, Any]) -> str:
    if "router" in scale:
        return f"router {scale['router']}, " + ", ".join(filter(None, (scale["stage"], scale["server"])))
    return f"{scale['agent']}, {scale['model']}, {scale['signal']}"


def _count(scale: Mapping[str, Any]) -> str:
    what = "decision" if "router" in scale else "answer"
    return f"{scale['labelled']} labelled {what}{'s' if scale['labelled'] != 1 else ''}"


def decides(fitted: Mapping[str, Any]) -> str:
    """From which probability on a stage decides by labels; ``fitted`` is the plain form of a ``Refined``."""
    fit = Refined.from_json(fitted)
    if fit.usual > 1:
        return f"at no confidence is {fit.target:.0%} of what is decided right: it decides nothing"
    if fit.usual <= fit.lowest:
        return f"{fit.target:.0%} of what is decided is right, from where it decides now"
    return f"decides from {fit.at(fit.usual):.1%} on (its own {_own(fit.usual)}), so that {fit.target:.0%} is right"


def _curve(fit: Refined) -> Iterator[tuple[str, str]]:
    """Its own confidence from the lowest labelled one on, and what that is worth: the levels of a curve, or points of a line."""
    yield "own confidence from", "probability"
    points = [fit.lowest, *(own for own in _POINTS if own > fit.lowest)]
    owns = [block.low for block in fit.curve.blocks] if isinstance(fit.curve, Isotonic) else points
    yield from ((_own(own), f"{fit.at(own):.1%}") for own in owns)


def _own(confidence: float) -> str:
    """Fine where much lies near certainty."""
    return f"{confidence:.1%}" if confidence < _NEARLY else f"{confidence:.4%}"


def _threshold(fitted: Mapping[str, Any], target: float) -> str:
    if fitted["threshold"] > 1:
        return f"at no threshold is {target:.0%} of what is kept right: every answer is handed over"
    return f"kept from a probability of {fitted['threshold']:.1%} on, so that {target:.0%} is right"


def _share(right: int, of: int) -> tuple[str, str, str]:
    share = Share(right, of)
    low, high = share.interval
    return f"{share.value or 0:.1%}", f"[{low:.1%}, {high:.1%}]", f"{right} of {of}"
