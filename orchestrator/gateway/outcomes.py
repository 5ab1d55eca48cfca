"""Labels of answers and calibration, in the control API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import anyio.to_thread

from orchestrator.core.errors import UsageError
from orchestrator.core.fitted import TARGET
from orchestrator.core.refined import stage_of
from orchestrator.gateway.answering import Asked, Telling, no_run, tell_and_answer
from orchestrator.gateway.guard import send_json
from orchestrator.ports.store import RunStore
from orchestrator.serve.outcomes import Label, Outcomes

LONGEST_NAME: Final = 200


class Labelled(Protocol):
    """What the routes need. ``flush`` has every run that has ended in ``runs``."""

    @property
    def outcomes(self) -> Outcomes: ...
    @property
    def runs(self) -> RunStore: ...
    @property
    def flush(self) -> Callable[[], Awaitable[None]]: ...


class OutcomeRoutes:
    """The routes."""

    def __init__(self, it: Labelled) -> None:
        self._it = it

    async def label(self, asked: Asked) -> None:
        """``run``, ``right``, and where they are told ``agent`` or ``router``, and ``by``; the answer is what was noted."""
        right = asked.body.get("right")
        if not isinstance(right, bool):
            raise UsageError("'right' must be true or false")
        words = (asked.words(name, LONGEST_NAME) for name in ("agent", "by", "router"))
        label = Label(right, *words)
        if label.agent and label.router:
            raise UsageError("a label is of an 'agent' or of a 'router'", cure="label the run twice")
        await self._it.flush()
        found = await anyio.to_thread.run_sync(self._it.runs.find, asked.text("run"))
        if found is None:
            raise no_run(asked.text("run"))
        noted = await self._it.outcomes.label(found, label)
        scale = noted[0].scale
        told: list[dict[str, Any]] = [{"signal": each.scale.signal, "score": each.score} for each in noted]
        who = {"agent": scale.agent, "model": scale.model}
        if label.router:
            told = [{"stage": stage_of(scale), "score": noted[0].score}]
            who = {"router": scale.agent, "server": scale.model}
        body = {"run": noted[0].run, **who, "right": right, "scores": told}
        await send_json(asked.send, 200, {"label": body})

    async def calibrate(self, asked: Asked) -> None:
        """``name``, and where they are told ``target`` and ``wrong``; the answer is what was fitted."""
        name, target, wrong = asked.text("name"), asked.number("target", TARGET), asked.number("wrong", 0.0)
        if not (0 < target <= 1 and 0 <= wrong < 1e9):
            raise UsageError("'target' must be a share, and 'wrong' a number that is not negative")

        async def work(_: Telling) -> Any:
            found = await self._it.outcomes.calibrate(name, target, wrong)
            return {"name": name, "target": target, "scales": [each.as_json() for each in found]}

        await tell_and_answer(asked, work, cancel_on_leave=False)
