"""What a deployment that is applied waits for: the step that is carried out, the server that starts, the try that comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from orchestrator.deploy.trouble import Trouble, Wait
from orchestrator.deploy.ward import Ward
from orchestrator.plan.observed import server_name

_SERVERS: Final = {
    "waiting": "to be started again",
    "starting": "its first token",
    "empty": "its model, to be pulled into it",
    "failed": "a rest after too many tries",
    "stopping": "the end of what ran with other options",
}


class Doings:
    """Which step of each deployment is being carried out. Hears every step; ``now`` is seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._steps: dict[str, Wait] = {}
        self._failed: dict[str, Wait] = {}

    def heard(self, deployment: str, state: str, step: Mapping[str, Any]) -> None:
        """A step was ``started``, ``done`` or ``failed``. Those of servers go on by themselves (see :func:`waits_for`)."""
        if step["address"].partition(".")[0] == "server":
            return
        doing = self._steps.pop(deployment, None)
        if state == "started":
            self._steps[deployment] = Wait(step["address"], step["does"], self._now())
        elif state == "failed" and doing is not None:
            self._failed[deployment] = doing

    def step(self, deployment: str) -> Wait | None:
        """What is being done for it."""
        return self._steps.get(deployment)

    def failed(self, deployment: str) -> Wait | None:
        """The step that failed since this was last asked."""
        return self._failed.pop(deployment, None)


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on two clocks: that of the loop, and seconds since 1970."""

    loop: float
    now: float

    def of(self, at: float) -> float:
        """A moment of the loop in seconds since 1970."""
        return self.now - (self.loop - at)


def waits_for(
    deployment: str, doing: Wait | None, trouble: Trouble | None, wards: Mapping[str, Ward], moment: Moment
) -> Iterator[Wait]:
    """Everything that this deployment waits for: its servers, the step of now, and the next try of what failed."""
    for name, ward in wards.items():
        lacks = ward.wanted and ward.state != "ready" and not ward.kept  # one that rests is there for the next request
        if lacks and name == server_name(deployment, name.partition("/")[2]):
            yield _server(name, ward, moment)
    if doing is not None:
        yield doing
    elif trouble is not None:
        step = trouble.step or Wait(f"deployment.{deployment}", "run as its manifest says", trouble.since)
        yield Wait(step.address, step.what, trouble.since, trouble.error.message, moment.of(trouble.again))


def _server(name: str, ward: Ward, moment: Moment) -> Wait:
    says = f" ({ward.why})" if ward.state == "starting" and ward.why else ""
    due = ward.state in ("waiting", "failed") and ward.again != inf
    again = moment.of(ward.again) if due else None
    what = f"{_SERVERS[ward.state]}{says}"
    return Wait(f"server.{name.partition('/')[2]}", what, moment.of(ward.since), ward.failure, again)
