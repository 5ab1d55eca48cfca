"""What tuning found, for people and for programs: what is now, what is proposed, both with intervals, and the patch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.app.routing.figures import INTERVAL, Share
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.app.routing.comparison import Measured
    from orchestrator.app.routing.patch import Patch
    from orchestrator.app.routing.search import Setting, Tally
    from orchestrator.app.routing.tune import Tuned, Wish

_ROWS: Final = (
    ("right of all that was decided", "decided_right"),
    ("decided, of what somebody answers", "decided"),
    ("out of scope, left to nobody", "refused"),
)
_UNHEARD: Final = (
    ("right of what is decided without a model", "decided_right"),
    ("decided without one, of what somebody answers", "decided"),
    ("out of scope, left to nobody or to a model", "refused"),
)
"""The same where a model was not asked that would have been."""


@dataclass(frozen=True, slots=True)
class Told:
    """All that came of it. ``left`` are the routers that were not tuned, with why."""

    wish: Wish
    found: tuple[Tuned, ...]
    left: tuple[str, ...]
    patch: Patch


def shown(told: Told, terminal: Terminal) -> str:
    """One paragraph a router, then the patch."""
    parts = ["\n".join(_lines(one, told.wish, terminal)) for one in told.found]
    parts += [f"not tuned: {line}" for line in told.left]
    parts += told.patch.by_hand
    diff = told.patch.diff()
    return "\n\n".join([*parts, *([terminal.foreign(diff).rstrip("\n")] if diff else [])])


def _lines(one: Tuned, wish: Wish, terminal: Terminal) -> Iterator[str]:
    count = one.now_measured.of
    yield (
        terminal.paint("bold", f"router {one.router}")
        + f": {one.from_} requests to propose from, {count} others to measure on"
    )
    yield f"  seed {wish.seed}; {wish.target * 100:.4g}% of what is decided should be right"
    yield f"  now: {told_of(one.now)}"
    if one.proposed is None:
        yield terminal.paint("bold", "  nothing better was found") + f": {one.comparison.why}"
    elif one.comparison.better:
        yield f"  proposed: {terminal.paint('bold', told_of(one.proposed))}"
        yield f"    because {one.comparison.why}"
    else:
        yield (
            terminal.paint("bold", "  nothing better was found")
            + f". The best of the search was {told_of(one.proposed)}:"
        )
        yield f"    {one.comparison.why}"
    yield ""
    yield from columns(_table(one), indent="  ")
    yield from (f"  note: {note}" for note in one.notes)


def told_of(setting: Setting) -> str:
    """A setting in words."""
    sure = "as fitted" if setting.confidence is None else f"{setting.confidence * 100:g}%"
    model = f"; model {setting.model}" if setting.model else ""
    return f"{', '.join(setting.stages)}; confidence {sure}{model}"


def named(one: Tuned) -> str:
    """What the other setting is called."""
    return "proposed" if one.comparison.better else "best of the search"


def _table(one: Tuned) -> list[tuple[str, ...]]:
    measured = [one.now_measured, *([one.proposed_measured] if one.proposed_measured else [])]
    heads = ["now", named(one)][: len(measured)]
    rows: list[tuple[str, ...]] = [("", *heads)]
    unheard = any(any(each.unheard) and not each.failed for each in measured)
    for what, name in _UNHEARD if unheard else _ROWS:
        shares = [getattr(each.figures, name) for each in measured]
        if any(share.of for share in shares):
            rows.append((what, *(_share(share) for share in shares)))
    if any(each.calls for each in measured):
        rows.append(
            (
                "left to a model, not asked here" if unheard else "asked of a model",
                *(_share(Share(each.calls, each.of)) for each in measured),
            )
        )
    if any(each.failed for each in measured):
        rows.append(("calls that failed", *(_share(Share(each.failed, each.calls)) for each in measured)))
    rows.append(("computing time of one", *(f"{each.seconds * 1000:.2f} ms" for each in measured)))
    return rows


def _share(share: Share) -> str:
    if not share.of:
        return "none"
    low, high = share.interval
    return f"{share.value:.1%} [{low:.1%}, {high:.1%}] {share.right} of {share.of}"


def as_json(told: Told) -> str:
    """All of it for programs."""
    found = {
        "interval": INTERVAL,
        "target": told.wish.target,
        "seed": told.wish.seed,
        "routers": [_router(one) for one in told.found],
        "not_tuned": list(told.left),
        "by_hand": told.patch.by_hand,
        "patch": told.patch.diff(),
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _router(one: Tuned) -> dict[str, Any]:
    proposed = (
        one.proposed_measured
        and one.proposed
        and {
            **_setting(one.proposed),
            **_measured(one.proposed_measured),
        }
    )
    return {
        "router": one.router,
        "better": one.comparison.better,
        "why": one.comparison.why,
        "proposed_from": one.from_,
        "now": {**_setting(one.now), **_measured(one.now_measured)},
        "proposed": proposed,
        "notes": list(one.notes),
        "curves": [
            {"stages": list(order), "points": [_point(share, of) for share, of in points]}
            for order, points in one.curves.items()
        ],
    }


def _setting(setting: Setting) -> dict[str, Any]:
    model = {"model": setting.model} if setting.model else {}
    return {"stages": list(setting.stages), "confidence": setting.confidence, **model}


def _measured(measured: Measured) -> dict[str, Any]:
    shares = {name: getattr(measured.figures, name).as_json() for _, name in _ROWS}
    return {
        **shares,
        "requests": measured.of,
        "model_calls": measured.calls,
        "failed_calls": measured.failed,
        "unheard": sum(measured.unheard),
        "seconds": measured.seconds,
    }


def _point(share: float, of: Tally) -> dict[str, Any]:
    return {"confidence": share, "of": of.of, "decided": of.kept, "right": of.right, "model_calls": of.calls}
