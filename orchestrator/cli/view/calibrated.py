"""What a calibration fitted, for people: each share with its interval, and what is missing where nothing was fitted yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.app.routing.figures import INTERVAL, Share
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.app.labelling import Tally


def as_json(found: Mapping[str, Any]) -> str:
    """All of it for programs."""
    return json.dumps({"interval": INTERVAL, **found}, indent=2, ensure_ascii=False)


def shown_tally(tally: Tally) -> str:
    """What came of the cases."""
    without = "".join(f"; {count} without: {why}" for why, count in tally.without.items())
    return f"{tally.noted} labels noted, {tally.right} of them right{without}"


def shown(found: Mapping[str, Any], terminal: Terminal) -> str:
    """A paragraph for each scale."""
    if not found["scales"]:
        return f"{found['name']}: no answer is labelled yet (orchestrator label RUN right, or --cases FILE)"
    return "\n\n".join("\n".join(_lines(scale, found["target"], terminal)) for scale in found["scales"])


def _lines(scale: Mapping[str, Any], target: float, terminal: Terminal) -> Iterator[str]:
    named = f"{scale['agent']}, {scale['model']}, {scale['signal']}"
    yield terminal.paint("bold", terminal.foreign(named)) + f": {_count(scale['labelled'])}"
    if not scale["serves"]:
        yield "  of an earlier version of the agent: the one that serves does not go by it"
    fitted = scale["fitted"]
    if fitted is None:
        missing = scale["enough"] - scale["labelled"]
        yield f"  {missing} more are needed to fit: until then the score is taken for the probability itself"
    rows = [("right", *_share(scale["right"], scale["labelled"]))]
    if fitted is None:
        yield from columns(rows, indent="  ")
        return
    rows += [
        ("kept, where it was not fitted on", *_share(fitted["kept"], fitted["of"])),
        ("right of what was kept", *_share(fitted["kept_right"], fitted["kept"])),
    ]
    yield from columns(rows, indent="  ")
    yield f"  {_threshold(fitted, target)}; calibration error {fitted['ece']:.3f}"
    levels = [("score from", "right", "interval", "labelled")]
    levels += [(f"{low:.3f}", *_share(int(right), int(of))) for low, right, of in fitted["curve"]]
    yield from columns(levels, indent="    ")


def _count(labelled: int) -> str:
    return f"{labelled} labelled answer{'s' if labelled != 1 else ''}"


def _threshold(fitted: Mapping[str, Any], target: float) -> str:
    if fitted["threshold"] > 1:
        return f"at no threshold is {target:.0%} of what is kept right: every answer is handed over"
    return f"kept from a probability of {fitted['threshold']:.1%} on, so that {target:.0%} is right"


def _share(right: int, of: int) -> tuple[str, str, str]:
    share = Share(right, of)
    low, high = share.interval
    return f"{share.value or 0:.1%}", f"[{low:.1%}, {high:.1%}]", f"{right} of {of}"
