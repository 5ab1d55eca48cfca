"""What came of trying routers, for people: shares with their intervals, then every request that was not decided rightly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from orchestrator.app.routing.examine import NOT_ASKED
from orchestrator.app.routing.figures import INTERVAL, NOBODY, Figures, Share, Tried
from orchestrator.cli.view.calibrated import decides
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.app.routing.examine import Examined
    from orchestrator.core.refined import Refined

_ROWS: Final = (
    ("first choice right", "first_right"),
    ("decided", "decided"),
    ("right of what was decided", "decided_right"),
    ("out of scope, left to nobody", "refused"),
)
_SHOWN_OVERLAPS: Final = 20


def as_json(found: Sequence[Examined]) -> str:
    """All of it for programs."""
    routers = [one.as_json() for one in found]
    return json.dumps({"interval": INTERVAL, "routers": routers}, indent=2, ensure_ascii=False)


def shown(found: Sequence[Examined], terminal: Terminal) -> str:
    """One paragraph a router."""
    return "\n\n".join("\n".join(_lines(one, terminal)) for one in found)


def _lines(one: Examined, terminal: Terminal) -> Iterator[str]:
    yield terminal.paint("bold", f"router {one.router}") + f": {one.strategy}; {one.candidates} ways out"
    yield from (f"  {each}" for each in one.thresholds)
    yield from (f"  {_refined(stage, server, fit)}" for (stage, server), fit in one.refined.items())
    yield from (f"  note: {note}" for note in one.notes)
    if one.own is None:
        yield "  its own examples: this strategy cannot leave them out"
    elif not one.own.tried:
        left = f"none of {one.untried} can be left out: it does not choose by them" if one.untried else "there are none"
        yield f"  its own examples: {left}"
    else:
        left = f"; {one.untried} more were not tried" if one.untried else ""
        yield from _measured(f"its own examples, each left out{left}", one.own, terminal)
    if one.cases is not None:
        yield from _measured("the cases", one.cases, terminal)
    yield from _overlaps(one, terminal)


def _refined(stage: str, server: str, fit: Refined) -> str:
    """What labels make of a stage's confidence."""
    named = f"{stage} on {server}" if server else stage
    told = f"{named}, by {fit.of} labelled decisions: {decides(fit.as_json())}"
    return f"{told}; calibration error {fit.ece:.3f}, {fit.before:.3f} without them"


def _measured(title: str, figures: Figures, terminal: Terminal) -> Iterator[str]:
    yield ""
    yield f"  {title}"
    rows = [(what, *_share(getattr(figures, name))) for what, name in _ROWS if getattr(figures, name).of]
    yield from columns(rows, indent="    ")
    yield from _confusion(figures)
    for one in figures.failures:
        yield f"    {_verdict(one, terminal)} {terminal.foreign(json.dumps(one.text, ensure_ascii=False))} {_told(one, terminal)}"


def _share(share: Share) -> tuple[str, str, str]:
    low, high = share.interval
    return f"{share.value or 0:.1%}", f"[{low:.1%}, {high:.1%}]", f"{share.right} of {share.of}"


def _confusion(figures: Figures) -> Iterator[str]:
    """Who was taken for whom, where anybody was taken for another."""
    mistaken = [
        f"{count} x {wanted} -> {chosen}"
        for wanted, row in figures.confusion.items()
        for chosen, count in row.most_common()
        if chosen not in (wanted, NOBODY)
    ]
    if mistaken:
        yield f"    mistaken: {', '.join(mistaken)}"


def _verdict(one: Tried, terminal: Terminal) -> str:
    return terminal.paint("red" if one.verdict == "wrong" else "yellow", f"{one.verdict:<6}")


def _told(one: Tried, terminal: Terminal) -> str:
    wanted = " or ".join(one.wanted) or NOBODY
    return terminal.foreign(f"-> {one.decision.choice or NOBODY}, wanted {wanted} ({one.id}): {_why(one)}")


def _why(one: Tried) -> str:
    """What the stage said that decided, or that came nearest to it; ``--json`` tells what all of them said."""
    said = one.decision.why.split(" | ")
    return next((part for part in reversed(said) if NOT_ASKED not in part), said[-1])


def _overlaps(one: Examined, terminal: Terminal) -> Iterator[str]:
    if not one.overlaps:
        return
    yield ""
    yield "  nearly the same in two agents"
    for each in one.overlaps[:_SHOWN_OVERLAPS]:
        sides = [
            f"{row.source} of {row.candidate} {json.dumps(row.text, ensure_ascii=False)}"
            for row in (each.one, each.other)
        ]
        yield terminal.foreign(f"    {each.likeness:.0%} alike: {' and '.join(sides)}")
    if len(one.overlaps) > _SHOWN_OVERLAPS:
        yield f"    and {len(one.overlaps) - _SHOWN_OVERLAPS} more (--json lists 500)"
