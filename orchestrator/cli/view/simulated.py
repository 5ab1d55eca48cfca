"""A simulation as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestrator.app.simulation.durations import HARDWARE, weights_of
from orchestrator.app.simulation.overload import rate_of
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.app.simulation.faults import Fault
    from orchestrator.app.simulation.figures import Counts, FailOver, Figures, Move, Spread
    from orchestrator.app.simulation.order import Simulated
    from orchestrator.core.diagnostic import Place

PlaceOf = Callable[[str], "Place"]


def as_json(simulated: Simulated, place_of: PlaceOf) -> str:
    """The figures, for programs."""
    load, figures = simulated.story.load, simulated.figures
    plain: dict[str, Any] = {
        "deployment": simulated.blueprint.name,
        "rps": load.rps,
        "duration": load.duration,
        "seed": load.seed,
        "settled": simulated.story.settled,
        "lost": figures.lost,
        "unheard": simulated.unheard,
        "can_do": simulated.can_do,
        **asdict(figures),
        "breaks": [{**asdict(each), "place": str(place_of(each.address))} for each in simulated.breaks],
        "assumed": asdict(simulated.assumed),
    }
    return json.dumps(plain, indent=2)


def shown(simulated: Simulated, terminal: Terminal, place_of: PlaceOf) -> str:
    """The figures, for people."""
    load, figures = simulated.story.load, simulated.figures
    lines = [
        f"{simulated.blueprint.name}, simulated: {load.rps:g} requests a second for {load.duration:g} s, seed {load.seed}"
    ]
    lines += [f"  {_told_fault(fault)}" for fault in load.faults]
    if not simulated.story.settled:
        lines.append("  the fleet was not ready when the first request came: not every node held what it was given")
    lines += [
        "",
        *_counted(figures),
        *_too_much(simulated),
        "",
        *_agents(simulated, terminal),
        "",
        *_servers(simulated, terminal),
    ]
    if figures.fail_overs:
        lines += ["", terminal.paint("bold", "fail-over")]
        lines += [line for each in figures.fail_overs for line in _fail_over(each)]
    lines += ["", terminal.paint("bold", "what breaks")]
    for each in simulated.breaks:
        lines += [f"  {each.at:6.1f} s  {each.what}", f"            --> {place_of(each.address)} in {each.address}"]
        lines.append(f"            cure: {each.cure}")
    lines += [] if simulated.breaks else ["  nothing"]
    lines += ["", terminal.paint("bold", "assumed"), *_assumed(simulated), "", _verdict(simulated, terminal)]
    return "\n".join(lines)


def _told_fault(fault: Fault) -> str:
    back = f", and is back {fault.after:g} s later" if fault.after is not None else " and stays away"
    return f"{fault.name} fails at {fault.at:g} s{back}"


def _counted(figures: Figures) -> Iterator[str]:
    counts, otherwise = figures.counts, figures.otherwise
    yield f"{counts.asked:,} requests: {counts.answered:,} answered"
    codes = ", ".join(f"{code} {count:,}" for code, count in counts.codes.items())
    rows = [
        (counts.refused, "refused for want of room or time"),
        (counts.failed, "failed"),
        (counts.gone, "ended with the node that they had come to"),
        (counts.away, "found no connection, as their node was down"),
        (counts.kept, "are kept until their agent is there again (store_and_forward)"),
    ]
    yield from (f"  {count:>7,}  {what}" for count, what in rows if count)
    if codes:
        yield f"  by code: {codes}"
    if otherwise is not None:
        calm = f"{otherwise.answered:,} answered, {otherwise.refused:,} refused, {otherwise.failed:,} failed"
        yield f"  where nothing fails: {calm}"


def _too_much(simulated: Simulated) -> list[str]:
    """That more is asked than can be done, whatever fails."""
    asked, can = simulated.story.load.rps, simulated.can_do
    if asked - can < asked * 1e-6:
        return []
    can_do = f"the fleet can do {rate_of(can)}" if simulated.blueprint.nodes else f"{rate_of(can)} can be done"
    can_do += ", even while nothing fails" if simulated.story.load.faults else ""
    return [f"too much is asked: {rate_of(asked)} requests a second come, and {can_do}"]


def _agents(simulated: Simulated, terminal: Terminal) -> list[str]:
    """Whatever became of a request, it stands in one of the columns."""
    figures = simulated.figures
    more = [
        (name, found)
        for name, found in (("NODE DOWN", _unheard), ("KEPT", _kept))
        if any(found(each.counts) for each in figures.agents)
    ]
    head = ("AGENT", "ASKED", "ANSWERED", "REFUSED", "FAILED", *(name for name, _ in more))
    rows = []
    for each in figures.agents:
        counts = each.counts
        ends = (counts.asked, counts.answered, counts.refused, counts.failed, *(found(counts) for _, found in more))
        rows.append((each.agent, *(f"{n:,}" for n in ends), *_spread(each.waited), *_spread(each.took)))
    return _table((*head, "WAITED p50", "p95", "p99", "TOOK p50", "p95", "p99"), rows, terminal)


def _unheard(counts: Counts) -> int:
    return counts.gone + counts.away


def _kept(counts: Counts) -> int:
    return counts.kept


def _servers(simulated: Simulated, terminal: Terminal) -> list[str]:
    head = ("MODEL", "NODE", "SLOTS", "BUSY", "ANSWERS", "WAITED p50", "p95", "p99")
    rows = [
        (each.model, each.node or "-", str(each.slots), f"{each.busy:.0%}", f"{each.answers:,}", *_spread(each.waited))
        for each in simulated.figures.servers
    ]
    return _table(head, rows, terminal) if rows else ["no agent needs a model"]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], terminal: Terminal) -> list[str]:
    first, *rest = columns([head, *rows])
    return [terminal.paint("bold", first), *rest]


def _spread(spread: Spread | None) -> tuple[str, str, str]:
    return ("-", "-", "-") if spread is None else (_time(spread.p50), _time(spread.p95), _time(spread.p99))


def _time(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:.0f} s"


def _fail_over(each: FailOver) -> Iterator[str]:
    other = "the other nodes" if each.fault.kind == "node" else "the nodes"
    met = f"of {each.asked:,} requests that came to {other} meanwhile, {each.answered:,} were answered"
    calm = f" ({each.otherwise:,} where nothing fails)" if each.otherwise is not None else ""
    yield f"  {each.fault.name} at {each.fault.at:g} s: {met}{calm}"
    if each.noticed is not None:
        yield f"    out of routing after {each.noticed:.1f} s"
    yield from (f"    {move.agent} taken over by {move.node} after {move.seconds:.1f} s" for move in each.taken)
    yield from (_back(move) for move in each.back)


def _back(move: Move) -> str:
    return f"    {move.agent} held by {move.node} again {move.seconds:.1f} s after its return"


def _assumed(simulated: Simulated) -> Iterator[str]:
    assumed, blueprint = simulated.assumed, simulated.blueprint
    machines = {assumed.of_node(each.node) for each in simulated.figures.servers}
    for kind in sorted(machines):
        yield f"  {kind}: {HARDWARE[kind].about} (--hardware)"
    yield f"  a request has {assumed.prompt} tokens, and its answer {assumed.answer} (--tokens)"
    for each in simulated.figures.servers:
        spec = blueprint.elements[f"model.{each.model}"].spec
        seconds = assumed.seconds_of("", spec, each.node)
        known = f", {weights_of(spec) / 1e9:.1f} GB of weights" if weights_of(spec) else ""
        on = f" on {each.node}" if each.node else ""
        yield f"  {each.model}{on}: {_time(seconds)} an answer{known}; {_slots(spec, each.slots)}"
    for agent, seconds in assumed.seconds.items():
        yield f"  {agent or 'every agent'}: {_time(seconds)} an answer, as --service says"
    yield "  answers vary in length: half of them by a third or more; routers choose at once; nobody hands over"


def _slots(model: Mapping[str, Any], slots: int) -> str:
    answers = "1 answer" if slots == 1 else f"{slots} answers"
    if model["max_concurrent"]:
        return f"{answers} at once (max_concurrent)"
    return f"{answers} at once" + (" (--slots)" if model["zone"] == "node" else "")


def _verdict(simulated: Simulated, terminal: Terminal) -> str:
    lost, unheard = simulated.figures.lost, simulated.unheard
    more = (
        f"; {unheard:,} more found no connection, or lost it, and no node that lived held their agent"
        if unheard
        else ""
    )
    if not lost:
        told = f"lost: none of the requests that a living node took on{more.replace(' more ', ' ', 1)}"
        return terminal.paint("red", told) if more else told
    kinds = (("fault", "by what fails"), ("overload", "as too much is asked"), ("other", "for other reasons"))
    counts = {why: sum(each.lost for each in simulated.breaks if each.kind == kind) for kind, why in kinds}
    parts = [f"{count:,} {why}" if count < lost else f"all {why}" for why, count in counts.items() if count]
    told = "" if counts["by what fails"] == lost else f": {', '.join(parts)}"
    return terminal.paint("red", f"lost: {lost:,} requests that a living node took on were not answered{told}{more}")
