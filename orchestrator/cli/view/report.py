"""How much was handled locally, for people: who answered, with intervals and times; tokens; the estimate and what it lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.app.report.assumed import Assumed
from orchestrator.app.report.figures import Estimate, Figures, estimate
from orchestrator.app.report.tiers import TIERS
from orchestrator.app.routing.figures import INTERVAL, Share
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.moments import clock, milliseconds
from orchestrator.cli.view.terminal import Terminal

_ZONES = {"node": "this device", "lan": "the local network", "cloud": "the cloud", "": "not recorded where"}


def as_json(name: str, figures: Figures, assumed: Assumed, fleet: Mapping[str, Any]) -> str:
    """All of it for programs; ``fleet`` is what is told of its nodes, where it has some."""
    return json.dumps({"deployment": name, **fleet, **figures.as_json(assumed)}, indent=2, ensure_ascii=False)


def shown(name: str, figures: Figures, assumed: Assumed, terminal: Terminal, nodes: Mapping[str, int]) -> str:
    """One page. ``nodes``: how many of the runs came in on each, where there are some."""
    if not figures.runs:
        return f"{name}: no run is kept of that time (orchestrator run {name} …)"
    first, *rest = _lines(name, figures, assumed, terminal)
    came = [f"  came in on {', '.join(f'{node} ({count})' for node, count in nodes.items())}"] if nodes else []
    return "\n".join([first, *came, *rest])


def _lines(name: str, figures: Figures, assumed: Assumed, terminal: Terminal) -> Iterator[str]:
    ends = [run.finished for run in figures.runs]
    count = len(figures.runs)
    told = f"{count} run{'s' if count != 1 else ''}, {clock(min(ends))} to {clock(max(ends))}"
    yield terminal.paint("bold", name) + f": {told}"
    yield ""
    first, *rest = columns(_rows(figures))
    yield terminal.paint("bold", first)
    yield from rest
    yield ""
    yield terminal.paint("bold", f"handled locally: {_share(figures.local)}")
    yield f"  of what was answered: {_share(figures.local_of_answered)}"
    yield "  a rule or a model nearby answered, and nothing of it went to the cloud"
    yield f"  small: below {figures.small_below / 1e9:g} billion parameters; intervals: {INTERVAL}"
    if figures.touched_cloud:
        yield f"  {figures.touched_cloud} more were answered nearby after a call to the cloud, and do not count"
    yield from _tokens(figures)
    yield from _estimated(estimate(figures, assumed), assumed, figures)


def _rows(figures: Figures) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("ANSWERED BY", "RUNS", "SHARE", "INTERVAL", "P50", "P95")]
    for tier, words in TIERS.items():
        times = figures.times(tier)
        if times is not None:
            share = figures.share(tier)
            low, high = share.interval
            part = f"{share.value or 0:.1%}", f"[{low:.1%}, {high:.1%}]"
            rows.append((words, str(share.right), *part, *map(milliseconds, times)))
    return rows


def _tokens(figures: Figures) -> Iterator[str]:
    found = figures.tokens()
    if not found:
        yield "tokens: no model was asked"
        return
    yield "tokens"
    rows = [
        (_ZONES.get(zone, zone), f"{each.calls} calls", f"{each.prompt} read", f"{each.completion} written")
        for zone, each in found.items()
    ]
    yield from columns(rows, indent="  ")
    counted = sum(run.estimated for run in figures.runs)
    if counted:
        yield f"  of {counted} runs a server did not count: these are estimates"


def _estimated(found: Estimate, assumed: Assumed, figures: Figures) -> Iterator[str]:
    if found.baseline is None or found.baseline_tokens is None:
        yield "no estimate of money"
    else:
        read, written = found.baseline_tokens
        yield "estimate beside the cloud alone"
        count = figures.answered
        requests = (
            f"{count} answered request{'s' if count != 1 else ''} of {read:.0f} tokens read and {written:.0f} written"
        )
        yield f"  money   the cloud alone {found.baseline:.4f}: {requests}"
        yield f"          here {_spent(found)}"
        if len(figures.runs) > count:
            yield f"          (the {len(figures.runs) - count} that nobody answered count here, not for the cloud alone)"
    ours = "not known" if found.energy_wh is None else f"{found.energy_wh:.2f} Wh"
    yield f"  energy  the cloud alone {found.baseline_wh:.2f} Wh ({assumed.cloud_wh:g} Wh a request); here {ours}"
    yield from (f"  {each}" for each in found.missing)


def _spent(found: Estimate) -> str:
    cloud = "not known" if found.spent is None else f"{found.spent:.4f} for the cloud"
    power = "" if found.electricity is None else f", {found.electricity:.4f} for electricity"
    return cloud + power + ("" if found.cheaper is None else f": {found.cheaper:.1f} times cheaper")


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.value or 0:.1%} [{low:.1%}, {high:.1%}], {share.right} of {share.of}"
