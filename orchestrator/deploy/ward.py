"""What the supervisor knows of one server that we started."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from orchestrator.deploy.server_records import ServerRecord, ServerWant
from orchestrator.plan.observed import StartedServer

WardState = Literal["waiting", "starting", "ready", "empty", "stopping", "resting", "failed"]


@dataclass(slots=True)
class Ward:
    """One server. ``lives`` while it has a process; ``again`` is when the next thing is due for it; ``since`` when it was wanted,
    last ready, or began to rest; ``failure`` is what ended its last try; ``patience`` is what it has from ``began`` to show a
    token. ``rests``: it shall have no process until somebody needs it. ``kept``: from then on until it is ready again or a start
    fails, what is bound to it stays bound. ``memory``: the bytes that it takes. ``crowded``: those that it takes turns
    with have its room, or one that goes. ``not_before``: it exited in its turn, and is not started again before that. One that is
    ``empty`` answers, and does not have its model yet. ``finishes``: it is on its way out, and not asked to end while it works;
    ``worked`` is when it was last seen to. ``runs``: the digest of what its process was started with. ``comes``: the bytes that it
    takes once that has ended, where it is started again with other options. ``shown``: it has shown a token with these options,
    and was not given up since."""

    name: str
    digest: str
    start_timeout: float
    since: float
    memory: int = 0
    failure: str = ""
    state: WardState = "waiting"
    why: str = ""
    lives: bool = False
    spawning: bool = False
    asking: bool = False
    wanted: bool = True
    rests: bool = False
    kept: bool = False
    shown: bool = False
    crowded: bool = False
    not_before: float = 0.0
    again: float = inf
    began: float = 0.0
    patience: float = inf
    ready_since: float = inf
    life: int = 0
    glances: int = 0
    unready: int = 0
    hung: bool = False
    finishes: bool = False
    worked: float = -inf
    runs: str = ""
    comes: int | None = None
    exits: deque[float] = field(default_factory=deque)

    @property
    def loaded(self) -> bool | None:
        """Whether its model is in memory; ``None`` where that is not plain, as while one that was ready is doubted. One that is
        started again has to load it first, and nobody need ask it to give its memory back before it can."""
        if self.state == "ready" or self.finishes:
            return True
        return False if self.rests or self._comes or self.state == "stopping" else None

    @property
    def returns(self) -> bool:
        """Whether it served and exited, and is started again: what is bound to it stays bound till it is given up."""
        return self.shown and self._comes

    @property
    def _comes(self) -> bool:
        """Whether it has no process yet, or one that has not shown a token: one that is doubted has."""
        return self.state in ("waiting", "starting") and (not self.lives or self.ready_since == inf)


def seen(
    ward: Ward, want: ServerWant, record: ServerRecord | None, seat: ServerRecord | None, log: str
) -> StartedServer:
    """One server as the planner sees it, with the ``record`` of its process, and that of the ``seat`` that it keeps."""
    return StartedServer(
        name=ward.name,
        kind=want.kind,
        digest=ward.digest,
        state=ward.state,
        why=ward.why,
        url=seat.url if seat else "",
        serves=seat.serves if seat else "",
        pid=record.process.pid if record and record.process else 0,
        log=log,
        memory=max(want.memory, ward.memory) if ward.state != "failed" else 0,  # it has no process
        cards=want.cards,
        slots=want.slots,
        context=want.context,
        rests=ward.kept,
        returns=ward.returns,
        turns=want.turns,
        finishes=ward.finishes,
    )
