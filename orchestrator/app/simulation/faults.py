"""What is to go wrong, as an operator writes it: ``edge-1@60s``, ``edge-1@60s+30s``, ``hub@30s``, ``edge-1-edge-2@30s+5s``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.core.errors import UsageError
from orchestrator.core.names import did_you_mean
from orchestrator.core.quantity import parse_duration
from orchestrator.testing.sim_bus import HUB

SHAPE: Final = "write it like edge-1@60s, or edge-1@60s+30s where it is back after 30 s"


@dataclass(frozen=True, slots=True)
class Fault:
    """A node, the hub's server (``hub``) or a link between two of them goes down ``at`` seconds; it is back ``after`` so many
    seconds, or never. ``written`` is how the operator wrote it."""

    kind: Literal["node", "hub", "link"]
    ends: tuple[str, ...]
    at: float
    after: float | None
    written: str

    @property
    def name(self) -> str:
        """What goes down, in words."""
        if self.kind == "link":
            return f"the link between {self.ends[0]} and {self.ends[1]}"
        return "the hub's server" if self.kind == "hub" else self.ends[0]


def read_fault(written: str, nodes: Sequence[str], duration: float) -> Fault:
    """One fault of a fleet of these nodes. Raises ``UsageError``."""
    what, at, times = written.rpartition("@")
    if not at or not what:
        raise UsageError(f"--fail {written} says not what fails when", cure=SHAPE)
    begins, plus, lasts = times.partition("+")
    begun = _seconds(written, begins)
    after = _seconds(written, lasts) if plus else None
    if begun >= duration:
        raise UsageError(
            f"--fail {written} comes after the end, which is at {duration:g} s", cure="make --duration longer"
        )
    if after is not None and after <= 0:
        raise UsageError(f"--fail {written} is back at once", cure=SHAPE)
    kind, ends = _ends(what, written, nodes)
    return Fault(kind, ends, begun, after, written)


def check_apart(faults: Sequence[Fault]) -> None:
    """Raises ``UsageError`` where the same thing would fail while it is down: nobody could say when it is back."""
    for at, one in enumerate(faults):
        for other in faults[at + 1 :]:
            first, second = sorted((one, other), key=lambda fault: fault.at)
            same = (one.kind, {*one.ends}) == (other.kind, {*other.ends})
            if same and (first.after is None or second.at < first.at + first.after):
                raise UsageError(
                    f"--fail {second.written} comes while {first.name} is down by --fail {first.written}",
                    cure="let the second come after the first is over, or write both as one",
                )


def _ends(what: str, written: str, nodes: Sequence[str]) -> tuple[Literal["node", "hub", "link"], tuple[str, ...]]:
    if what in nodes:
        return "node", (what,)
    if not nodes:
        raise UsageError(
            f"--fail {written}: a deployment of one device has no nodes that could fail",
            cure="leave --fail out, or make its type distributed-edge",
        )
    if what == HUB:
        return "hub", (HUB,)
    known = {*nodes, HUB}
    for at, letter in enumerate(what):
        first, second = what[:at], what[at + 1 :]
        if letter == "-" and {first, second} <= known and first != second:
            return "link", (first, second)
    links = [f"{node}-{HUB}" for node in nodes]
    near = did_you_mean(what, [*nodes, HUB, *links])
    raise UsageError(
        f'--fail {written}: there is no node "{what}", nor a link of that name between two of them',
        cure=near or f"one of {', '.join(nodes)}, or {HUB}, or two of these with - between them for their link",
    )


def _seconds(written: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--fail {written}: {error}", cure=SHAPE) from error
