"""Requests that come to nodes of a fleet at a steady rate, and how each of them ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.event import DELTA, Event
from orchestrator.core.request import Request, Result
from tests.apart.machine import Machine

NAME: Final = "works"
PATIENCE: Final = 15.0
_AT_ONCE: Final = 96


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests for an agent through a node, so many each second; each has so many seconds."""

    node: str
    agent: str
    rate: float = 4.0
    patience: float = PATIENCE


@dataclass(slots=True)
class Asked:
    """A request: what was heard of its answer on the way, and how it ended. Times are those of the journals (``time.time``)."""

    request: Request
    node: str
    at: float
    streamed: bool
    pieces: list[str] = field(default_factory=list)
    result: Result | None = None
    error: str = ""
    ended: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether the answer came."""
        return self.result is not None and self.result.status == "completed"

    @property
    def is_cut_off(self) -> bool:
        """Whether its node, or that node's lease, was lost after a part of the answer had been passed on: then nobody may begin it
        anew."""
        error = self.result.error if self.result is not None else None
        return bool(self.pieces and error and error["code"] in ("ORC574", "ORC579"))

    @property
    def told(self) -> str:
        """How it ended, for a person."""
        error = self.result.error if self.result is not None else self.error
        where = self.result.node if self.result is not None else ""
        return f"{self.request.id} for {self.request.agent} through {self.node} after {self.ended - self.at:.2f} s: {where} {error}"


def ask(machine: Machine, agent: str, *, streamed: bool = False, patience: float = PATIENCE) -> Asked:
    """Ask now, and wait for its end."""
    text = f"request at {time.time():.6f}"
    asked = Asked(Request(text, agent=agent, timeout=patience), machine.name, time.time(), streamed)

    def hear(event: Event) -> None:
        if event.kind == DELTA:
            asked.pieces.append(str(event.fields["text"]))

    try:
        asked.result = machine.client().run(NAME, asked.request, hear if streamed else None)
    except OrchestratorError as error:
        asked.error = error.line
    asked.ended = time.time()
    return asked


@dataclass
class Load:
    """The requests of some flows, as they come. A node may be left out for as long as it is down."""

    machines: Mapping[str, Machine]
    flows: Sequence[Flow]
    asked: list[Asked] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """They come for as long as this lasts; afterwards all have ended."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            threads = [threading.Thread(target=self._flow, args=(flow, pool)) for flow in self.flows]
            for thread in threads:
                thread.start()
            try:
                yield self
            finally:
                self._over.set()
                for thread in threads:
                    thread.join()

    def _flow(self, flow: Flow, pool: ThreadPoolExecutor) -> None:
        number, began = 0, time.monotonic()
        while not self._over.wait(max(0.0, began + number / flow.rate - time.monotonic())):
            number += 1
            if flow.node not in self.left_out:
                pool.submit(self._ask, flow, streamed=number % 2 == 0)

    def _ask(self, flow: Flow, *, streamed: bool) -> None:
        self.asked.append(ask(self.machines[flow.node], flow.agent, streamed=streamed, patience=flow.patience))
