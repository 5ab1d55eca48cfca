"""What many runs were answered by, in the control API: the runs without their words, and the models that the manifest names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import anyio.to_thread

from orchestrator.core.served import ServedRun, served_run
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.gateway.answering import Asked, revisions_of
from orchestrator.gateway.guard import send_json
from orchestrator.ports.store import RunStore

MOST: Final = 1_000_000
"""Runs; the store keeps fewer."""


class Reported(Protocol):
    """What the route needs. ``flush`` has every run that has ended in ``runs``."""

    @property
    def reconciler(self) -> Reconciler: ...
    @property
    def runs(self) -> RunStore: ...
    @property
    def flush(self) -> Callable[[], Awaitable[None]]: ...


class ReportRoute:
    """The route."""

    def __init__(self, it: Reported) -> None:
        self._it = it

    async def look(self, asked: Asked) -> None:
        """``name``, and where they are told ``last``, a number of runs, and ``since``, seconds since 1970."""
        name, last, since = asked.text("name"), asked.count("last", MOST), asked.number("since", 0.0)
        revisions = await revisions_of(self._it.reconciler, name)
        await self._it.flush()
        runs = await anyio.to_thread.run_sync(self._runs, name, last, since)
        models = models_of(revisions[0].blueprint["elements"]) if revisions else []
        await send_json(asked.send, 200, {"runs": [run.as_json() for run in runs], "models": models})

    def _runs(self, name: str, last: int, since: float) -> list[ServedRun]:
        runs = map(served_run, self._it.runs.recent(name, min(last, MOST)))
        return [run for run in runs if run.finished >= since]


def models_of(elements: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of a stored blueprint's elements: each model's alias, the ids that servers know it under, its zone, and its price where the
    manifest gives one."""
    specs = [each["spec"] for each in elements if each["kind"] == "model"]
    return [
        {
            "alias": spec["alias"],
            "ids": sorted(
                {*(name for names in spec["ids"].values() for name in names), spec["named"] or spec["alias"]}
            ),
            "zone": spec["zone"],
            "price": spec.get("price"),
        }
        for spec in specs
    ]
