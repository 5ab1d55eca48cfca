"""Which answers were right: noted by run, and fitted to what the gates of a deployment go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.errors import NothingToLabel
from orchestrator.core.fitted import ENOUGH, Fitted, Labelled, Scale, fit
from orchestrator.ports.store import Outcome, OutcomeStore
from orchestrator.serve.disk import Disk
from orchestrator.serve.engine import Engine, EngineTable


@dataclass(frozen=True, slots=True)
class Label:
    """That the answer of an ``agent`` in a run (of the one that answered, where none is named) was right or wrong."""

    right: bool
    agent: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What came of fitting one scale: ``fitted`` is ``None`` while too few answers are labelled; ``serves`` is whether the agent
    as it is now goes by it."""

    scale: Scale
    labelled: int
    right: int
    fitted: Fitted | None
    serves: bool

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        scale = {"agent": self.scale.agent, "model": self.scale.model, "signal": self.scale.signal}
        counts = {"labelled": self.labelled, "right": self.right, "enough": ENOUGH, "serves": self.serves}
        return {**scale, **counts, "fitted": self.fitted.as_json() if self.fitted else None}


class Outcomes:
    """The owner of labels and fits, over a store."""

    def __init__(self, store: OutcomeStore, engines: EngineTable) -> None:
        self._store = store
        self._engines = engines
        self._fitted = {name: dict(each) for name, each in store.fitted().items()}
        self._on_disk = Disk().do

    def prepare(self, engine: Engine) -> None:
        """Let a new engine go by what was fitted before. An agent that answers from something else by now finds nothing."""
        engine.fitted = self._fitted.get(engine.deployment.name, {})

    async def label(self, run: Mapping[str, Any], label: Label) -> list[Outcome]:
        """Note it of a run in its stored form. Raises ``NothingToLabel`` where its agent looked for no sign."""
        found = outcomes_of(run, label)
        await self._on_disk(self._store.label, found)
        return found

    async def calibrate(self, deployment: str, target: float, wrong: float) -> list[Calibrated]:
        """Fit each scale of a deployment that has enough labels, store it, and let its gates go by it from now on. Raises
        ``NoSuchDeployment``."""
        engine = self._engines.get(deployment)
        found = await self._on_disk(self._calibrate, engine, target, wrong)
        fitted = _fitted(found)
        self._fitted[deployment] = {**self._fitted.get(deployment, {}), **fitted}
        self.prepare(self._engines.get(deployment))
        return found

    def _calibrate(self, engine: Engine, target: float, wrong: float) -> list[Calibrated]:
        """Read, fit and keep, as one piece of the disk's work."""
        deployment = engine.deployment
        found = _calibrated(self._store.outcomes(deployment.name), engine, target, wrong)
        self._store.keep_fitted(deployment.name, deployment.revision, _fitted(found))
        return found


def _fitted(found: Sequence[Calibrated]) -> dict[Scale, Fitted]:
    return {each.scale: each.fitted for each in found if each.fitted is not None}


def _calibrated(outcomes: Sequence[Outcome], engine: Engine, target: float, wrong: float) -> list[Calibrated]:
    grouped: dict[Scale, list[Labelled]] = {}
    for each in outcomes:
        grouped.setdefault(each.scale, []).append((each.score, each.right))
    now = {name: agent.version for name, agent in engine.deployment.agents.items()}
    return [
        Calibrated(
            scale,
            len(labelled),
            sum(right for _, right in labelled),
            fit(labelled, target, wrong),
            serves=now.get(scale.agent) == scale.version,
        )
        for scale, labelled in sorted(grouped.items(), key=lambda pair: str(pair[0]))
    ]


def outcomes_of(run: Mapping[str, Any], label: Label) -> list[Outcome]:
    """One for each score that the agent's answer had in the run. Raises ``NothingToLabel``."""
    agent = label.agent or str(run["agent"])
    scored = [step for step in run["steps"] if step["kind"] == "doubt" and "score" in step["detail"]]
    mine = {
        step["detail"]["scale"]: step["detail"]
        for step in scored
        if step["subject"] == f"agent.{agent}" and step["detail"]["sign"] != "abstains"
    }
    if not mine:
        others = dict.fromkeys(step["subject"].partition(".")[2] for step in scored)
        cure = f"name the agent that is meant (--agent): {', '.join(others)}" if others else None
        raise NothingToLabel(
            f"the answer of {agent or 'nobody'} in {run['id']} has no score: it looked for no sign of a wrong answer",
            cure=cure or "Give the agent a sign in escalate_when: low_confidence, agreement, self_check or judge.",
        )
    return [
        Outcome(
            str(run["deployment"]),
            int(run["revision"]),
            str(run["id"]),
            Scale(agent, str(detail["model"]), str(detail["scale"]), str(detail.get("version", ""))),
            float(detail["score"]),
            label.right,
            label.by,
        )
        for detail in mine.values()
    ]
