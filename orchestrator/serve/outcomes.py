"""Which answers, and which choices of routers, were right: noted by run, and fitted to what a deployment goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.errors import NothingToLabel
from orchestrator.core.fitted import Fitted, Labelled, Scale, fit
from orchestrator.core.refined import ROUTE, Fit, enough_of, is_route, refine, refinements_of, stage_of
from orchestrator.ports.store import Outcome, OutcomeStore
from orchestrator.serve.disk import Disk
from orchestrator.serve.engine import Engine, EngineTable

NO_SIGN: Final = "Give the agent a sign in escalate_when: low_confidence, agreement, self_check or judge"


@dataclass(frozen=True, slots=True)
class Label:
    """That the answer of an ``agent`` in a run (of the one that answered, where none is named) was right or wrong; or where a
    ``router`` is named, whom that chose."""

    right: bool
    agent: str = ""
    by: str = ""
    router: str = ""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What came of fitting one scale: ``fitted`` is ``None`` while too little is labelled; ``serves`` is whether the agent or
    router as it is now goes by it."""

    scale: Scale
    labelled: int
    right: int
    fitted: Fit | None
    serves: bool

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        of = self.scale
        if is_route(of):
            scale = {"router": of.agent, "stage": stage_of(of), "server": of.model}
        else:
            scale = {"agent": of.agent, "model": of.model, "signal": of.signal}
        counts = {"labelled": self.labelled, "right": self.right, "enough": enough_of(of), "serves": self.serves}
        return {**scale, **counts, "fitted": self.fitted.as_json() if self.fitted else None}


class Outcomes:
    """The owner of labels and fits, over a store."""

    def __init__(self, store: OutcomeStore, engines: EngineTable) -> None:
        self._store = store
        self._engines = engines
        self._fitted = {name: dict(each) for name, each in store.fitted().items()}
        self._on_disk = Disk().do

    def prepare(self, engine: Engine) -> None:
        """Let a new engine go by what was fitted before. An agent that answers from something else by now, and a router that
        chooses from something else, find nothing."""
        fitted = self._fitted.get(engine.deployment.name, {})
        engine.fitted = {scale: fit for scale, fit in fitted.items() if isinstance(fit, Fitted)}
        versions = {name: router.version for name, router in engine.deployment.routers.items()}
        engine.refined = {name: refinements_of(fitted, name, version) for name, version in versions.items()}

    async def label(self, run: Mapping[str, Any], label: Label) -> list[Outcome]:
        """Note it of a run in its stored form. Raises ``NothingToLabel`` where its agent looked for no sign, or nobody was
        chosen by a probability."""
        found = [choice_of(run, label)] if label.router else outcomes_of(run, label)
        await self._on_disk(self._store.label, found)
        return found

    async def calibrate(self, deployment: str, target: float, wrong: float) -> list[Calibrated]:
        """Fit each scale of a deployment that has enough labels, store it, and let its gates and routers go by it from now on.
        ``wrong`` is of gates only. Raises ``NoSuchDeployment``."""
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


def _fitted(found: Sequence[Calibrated]) -> dict[Scale, Fit]:
    return {each.scale: each.fitted for each in found if each.fitted is not None}


def _calibrated(outcomes: Sequence[Outcome], engine: Engine, target: float, wrong: float) -> list[Calibrated]:
    grouped: dict[Scale, list[Labelled]] = {}
    for each in outcomes:
        grouped.setdefault(each.scale, []).append((each.score, each.right))
    parts = engine.deployment.agents | engine.deployment.routers  # type: ignore[operator] # both are dicts
    now = {name: part.version for name, part in parts.items()}
    return [
        Calibrated(
            scale,
            len(labelled),
            sum(right for _, right in labelled),
            _fit(scale, labelled, target, wrong),
            serves=now.get(scale.agent) == scale.version,
        )
        for scale, labelled in sorted(grouped.items(), key=lambda pair: str(pair[0]))
    ]


def _fit(scale: Scale, labelled: Sequence[Labelled], target: float, wrong: float) -> Fit | None:
    return refine(labelled, target, of_model=bool(scale.model)) if is_route(scale) else fit(labelled, target, wrong)


def choice_of(run: Mapping[str, Any], label: Label) -> Outcome:
    """The choice of a router in a run. Raises ``NothingToLabel`` where it chose nobody by a probability, or several."""
    routed = [step for step in run["steps"] if step["kind"] == "route"]
    found = [step for step in routed if step["subject"] == f"router.{label.router}"]
    detail = found[-1]["detail"] if found else {}
    if "score" not in detail:
        asked = [step["subject"].partition(".")[2] for step in routed if "score" in step["detail"]]
        why = _unscored(detail) if found else "it was not asked"
        raise NothingToLabel(
            f"{label.router} chose nobody by a probability in {run['id']}: {why}",
            cure=f"name the router that is meant (--router): {', '.join(asked)}"
            if asked
            else "label another run of it",
        )
    scale = Scale(label.router, str(detail.get("server", "")), ROUTE + str(detail["stage"]), str(detail["version"]))
    score = float(detail["score"])
    return Outcome(str(run["deployment"]), int(run["revision"]), str(run["id"]), scale, score, label.right, label.by)


def _or_its_router(run: Mapping[str, Any]) -> str:
    """That a choice can be labelled, where one of the run can."""
    routed = [step for step in run["steps"] if step["kind"] == "route" and "score" in step["detail"]]
    return (
        f"; whom the router chose is labelled with --router {routed[-1]['subject'].partition('.')[2]}" if routed else ""
    )


def _unscored(detail: Mapping[str, Any]) -> str:
    if "parts" in detail:
        return "the request went to several, and which of them is meant cannot be told"
    if detail["choice"] is None:
        return "no stage was sure enough"
    return "a rule decided, keywords did, or the very words of an example"


def outcomes_of(run: Mapping[str, Any], label: Label) -> list[Outcome]:
    """One for each score that the agent's answer had in the run. Raises ``NothingToLabel``."""
    agent = label.agent or str(run["agent"])
    looked = [step for step in run["steps"] if step["kind"] == "doubt"]
    scored = [step for step in looked if "score" in step["detail"] and step["detail"]["sign"] != "abstains"]
    mine = {step["detail"]["scale"]: step["detail"] for step in scored if step["subject"] == f"agent.{agent}"}
    if not mine:
        others = dict.fromkeys(step["subject"].partition(".")[2] for step in scored)
        cure = f"name the agent that is meant (--agent): {', '.join(others)}" if others else None
        signs = dict.fromkeys(step["detail"]["sign"] for step in looked if step["subject"] == f"agent.{agent}")
        why = f"{', '.join(signs)} gave none" if signs else "it looked for no sign of a wrong answer"
        raise NothingToLabel(
            f"the answer of {agent or 'nobody'} in {run['id']} has no score: {why}",
            cure=cure or f"{NO_SIGN}{_or_its_router(run)}.",
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
