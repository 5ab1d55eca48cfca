"""What the nodes of a fleet wrote down, read together: the events of their mesh and the runs that they finished."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.apart.load import NAME, Asked
from tests.apart.machine import Machine
from tests.mesh.invariants import Effect, wrong_effects

EXCLUSIVE: Final = "sole"


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that a node wrote down. ``at`` is of ``time.time``."""

    at: float
    node: str
    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Journals:
    """Those of all nodes since a moment, in the order of time: all machines here have one clock. ``leases`` also of the time
    before."""

    leases: Sequence[Noted]
    events: Sequence[Noted]
    finished: Sequence[Noted]

    @classmethod
    def read(cls, machines: Iterable[Machine], since: float) -> Journals:
        """From their files."""
        events: list[Noted] = []
        finished: list[Noted] = []
        for each in machines:
            logs = each.home / "state" / "logs"
            events += _events(each.name, logs / "runtime.log")
            found = _lines(logs / "deployments" / f"{NAME}.ndjson")
            finished += [
                Noted(line["at"], each.name, line["kind"], line)
                for line in found
                if line["kind"] == "run.finished" and line["at"] >= since
            ]
        events.sort(key=lambda one: one.at)
        leases = [one for one in events if one.kind == "mesh.lease"]
        return cls(leases, [one for one in events if one.at >= since], sorted(finished, key=lambda one: one.at))

    def of(self, kind: str) -> list[Noted]:
        """The events of one kind."""
        return [one for one in self.events if one.kind == kind]

    # ---- figures -----------------------------------------------------------------------------------------------

    def rerouted(self, asked: Sequence[Asked]) -> int:
        """Requests of which a node was lost, and that another one answered."""
        first: dict[str, str] = {}
        for one in self.of("mesh.lost"):
            first.setdefault(run_of(one), one.fields["node"])
        ends = {one.request.id: one.result.node for one in asked if one.answered and one.result is not None}
        return sum(run in ends and ends[run] != node for run, node in first.items())

    def worked_twice(self) -> int:
        """Requests that were answered more often than they were asked, by nodes that did not know of each other."""
        done = Counter(run_of(one) for one in self.finished if "." in run_id(one) and is_done(one))
        return sum(count > 1 for count in done.values())

    def out_of_routing(self, asked: Sequence[Asked], node: str, down: tuple[float, float]) -> float:
        """For how many seconds of the time that a node was down requests still went to it."""
        lost = {run_of(one) for one in self.of("mesh.lost") if one.fields["node"] == node}
        return max(
            (one.at - down[0] for one in asked if one.request.id in lost and down[0] <= one.at < down[1]), default=0.0
        )

    def held_again(self, agent: str, node: str) -> float:
        """When a node was given an agent back last."""
        return max(one.at for one in self.of("mesh.holds") if one.node == node and agent in one.fields["agents"])

    # ---- what must hold ----------------------------------------------------------------------------------------

    def wrong(self, asked: Sequence[Asked]) -> list[str]:
        """What no fault excuses."""
        effects = self.effects()
        seen = [] if effects else [f"{EXCLUSIVE} was not seen to answer"]
        return [*seen, *self._delivered_wrong(asked), *wrong_effects(effects, {EXCLUSIVE})]

    def delivered_twice(self, asked: Sequence[Asked]) -> list[str]:
        """Requests of which a caller was given more than one answer, or the node that it asked has ended more than once."""
        ends = Counter(run_id(one) for one in self.finished)
        return [one.told for one in asked if ends[one.request.id] > 1 or _said_twice(one)]

    def effects(self) -> list[Effect]:
        """The answers of exclusive agents, each under the epoch of the lease that its node had taken last."""
        epochs: dict[str, int] = {}
        found: list[Effect] = []
        both = sorted([*self.leases, *self.finished], key=lambda one: one.at)
        for one in both:
            if one.kind == "mesh.lease" and one.fields["key"] == f"{NAME}.x.{EXCLUSIVE}":
                epochs[one.node] = one.fields["epoch"] if one.fields["held"] else 0
            elif one.fields.get("agent") == EXCLUSIVE and is_done(one) and one.fields["node"] == one.node:
                found.append(Effect(one.at, EXCLUSIVE, one.node, epochs.get(one.node, 0), run_id(one)))
        return found

    def _delivered_wrong(self, asked: Sequence[Asked]) -> Iterator[str]:
        for one in asked:
            if one.answered and one.result is not None and one.result.text != one.request.text:
                yield f"{one.told} was given {one.result.text!r}"


def _said_twice(asked: Asked) -> bool:
    heard = "".join(asked.pieces)
    return asked.streamed and asked.answered and heard != asked.request.text


def run_id(noted: Noted) -> str:
    """The id of a run; of what was asked on its behalf elsewhere, with a number behind it."""
    return str(noted.fields.get("run") or noted.fields.get("request"))


def run_of(noted: Noted) -> str:
    """The id of the run that a caller asked for."""
    return run_id(noted).partition(".")[0]


def is_done(noted: Noted) -> bool:
    """Whether a run was answered."""
    return noted.fields.get("status") == "completed"


def _events(node: str, file: Path) -> Iterator[Noted]:
    for line in _lines(file):
        at = datetime.fromisoformat(line["timestamp"]).timestamp()
        yield Noted(at, node, line["event"], {"node": "", **line})


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """A process that was killed may have left half a line, at the place where it was."""
    for text in file.read_text(encoding="utf-8").splitlines():
        if text.startswith("{") and text.endswith("}"):
            yield json.loads(text)
