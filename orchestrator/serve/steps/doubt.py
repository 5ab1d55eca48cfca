"""After a model's answer: whether it is kept, or goes up for a sign that it may be wrong. The cheapest sign is looked at first.

No answer is lost by looking: a sign that cannot be seen (no log-probabilities, a busy judge, no time left) is told in the
result's notes, and counts neither for nor against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from orchestrator.core.fitted import Fitted, Scale
from orchestrator.core.record import record
from orchestrator.core.request import Decision
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.provider import Capability, Support
from orchestrator.serve.clock import current_time
from orchestrator.serve.doubt.abstention import told_how
from orchestrator.serve.doubt.case import Case, Sight, Signs
from orchestrator.serve.doubt.check import UNDECIDED
from orchestrator.serve.doubt.signs import SIGNS, THRESHOLDS, TOP, VERDICTS
from orchestrator.serve.latch import IN_A_ROW
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.escalate import may_go_up
from orchestrator.serve.steps.shorten import shortened

STRATEGY: Final = "doubt"
"""What a decision of this step is called."""
LONGEST_ATTEMPT: Final = 2_000
"""Characters of an answer that went up, kept with the run so that it can be labelled."""
Gate = Mapping[str, Signs]
NO_SIGNS: Final[Gate] = {}
Conclusion = Literal["kept", "handed over", "sure", "blind"]


@record
class Look:
    """What came of one sign. ``confidence`` is the probability that the answer is right, as far as it is known."""

    sign: str
    scale: Scale
    sight: Sight
    confidence: float | None
    threshold: float
    fitted: bool
    conclusion: Conclusion

    @property
    def tied(self) -> bool:
        """Whether a verdict is as likely as not where this much is needed: nobody has said then that the answer is right. What a
        fit made of it is a share that was counted, and no tie."""
        return self.sign in VERDICTS and not self.fitted and self.confidence == self.threshold == UNDECIDED


def gate_of(run: Run, agent: Agent, endpoints: Sequence[str]) -> Gate:
    """The signs that are looked at. Where no server of the agent tells log-probabilities, its model is asked to say itself that it
    does not know."""
    gate: Gate = agent.spec.get("gate") or NO_SIGNS
    if "low_confidence" not in gate or not _all_silent(run, endpoints):
        return gate
    note = f"{', '.join(endpoints)} tells no log-probabilities: low_confidence was not looked at"
    run.remark(agent.address, endpoints[0], f"{note}, {agent.address} was asked to say itself when it does not know")
    rest = {sign: signs for sign, signs in gate.items() if sign != "low_confidence"}
    return {"abstains": {}, **rest}


def _all_silent(run: Run, endpoints: Sequence[str]) -> bool:
    known = run.deployment.endpoints
    told = {known[name].capabilities.get(Capability.LOGPROBS) if name in known else None for name in endpoints}
    return bool(endpoints) and told <= {Support.NO, Support.IGNORED}


def demand_of(gate: Gate, agent: Agent) -> str:
    """What the prompt says of it."""
    return told_how(agent.spec["output_schema"], gate["abstains"]) if "abstains" in gate else ""


def alternatives_of(gate: Gate, run: Run, endpoints: Sequence[str]) -> int:
    """How many alternatives a call asks for with each token: none where it may go to a server that refuses to be asked."""
    known = run.deployment.endpoints
    refused = any(
        known[name].capabilities.get(Capability.LOGPROBS) is Support.NO for name in endpoints if name in known
    )
    return TOP if "low_confidence" in gate and not refused else 0


def stays_above(run: Run, agent: Agent) -> Outcome | None:
    """Where the last answers of this agent in the conversation were not kept: the one that took over, without asking it."""
    if run.conversation is None or not (run.conversation.is_latched(agent.spec["name"]) and may_go_up(run, agent)):
        return None
    to = agent.spec["escalate_to"] or ""
    why = f"its last {IN_A_ROW} answers in this conversation were not kept: it stays with {to} until its task ends"
    run.add_decision(Decision(STRATEGY, to, why=why), agent.spec["name"])
    return Outcome(to=to, why=why)


async def weighed(case: Case, gate: Gate) -> Outcome:
    """The answer, or a hand-over with the answer as its failed attempt."""
    run, agent = case.run, case.agent
    if not gate or run.streamed or not may_go_up(run, agent):
        return case.outcome
    began = current_time()
    looks: list[Look] = []
    for sign, signs in gate.items():
        looks.append(await _look(case, sign, signs))
        if looks[-1].conclusion in ("handed over", "sure"):
            break
    return _decided(case, looks, began)


async def _look(case: Case, sign: str, signs: Signs) -> Look:
    run, agent, began = case.run, case.agent, current_time()
    calls, tokens = case.calls, case.tokens
    sight = await SIGNS[sign](case, signs)
    sight = replace(sight, score=_rounded(sight.score))  # what is judged by a curve is what the labels of curves keep
    look = _judged(case, sign, signs, sight)
    detail: dict[str, Any] = {"sign": sign, "verdict": look.conclusion}
    if sight.blind:
        run.remark(agent.address, case.endpoint, f"{agent.address}: {sign} was not looked at: {sight.blind}")
        detail["blind"] = sight.blind
    else:
        detail |= {"score": sight.score, "confidence": _rounded(look.confidence)}
        detail |= {"threshold": look.threshold, "fitted": look.fitted}
        detail |= {"model": look.scale.model, "scale": look.scale.signal, "version": look.scale.version}
    if case.calls > calls:
        detail |= {"calls": case.calls - calls, "tokens": case.tokens - tokens}
    if look.conclusion == "handed over":
        detail["answer"] = shortened(case.outcome.text, LONGEST_ATTEMPT)[0]
    run.note("doubt", agent.address, began, detail)
    return look


def _judged(case: Case, sign: str, signs: Signs, sight: Sight) -> Look:
    scale = Scale(case.agent.spec["name"], case.served_by(case.endpoint), sight.scale, case.agent.version)
    written, usual = signs.get("threshold"), THRESHOLDS[sign]
    if sight.score is None:
        return Look(sign, scale, sight, None, usual if written is None else written, fitted=False, conclusion="blind")
    fitted: Fitted | None = case.run.fitted.get(scale)
    confidence = sight.score if fitted is None else fitted.curve.at(sight.score)
    least = written if written is not None else usual if fitted is None else fitted.threshold
    sure = signs.get("sure")
    look = Look(sign, scale, sight, confidence, least, fitted=fitted is not None, conclusion="kept")
    if confidence < least or look.tied:
        return replace(look, conclusion="handed over")
    return replace(look, conclusion="sure") if sure is not None and confidence >= sure else look


def _decided(case: Case, looks: Sequence[Look], began: float) -> Outcome:
    """Told as a decision of the agent: whom the answer stays with, how sure, and what it cost to know."""
    run, agent, outcome = case.run, case.agent, case.outcome
    last = looks[-1]
    up = last.conclusion == "handed over"
    seen = [look for look in looks if look.confidence is not None and (look.sign != "abstains" or up)]
    why = _why(last if up else seen[-1] if seen else None, case)
    choice = agent.spec["escalate_to"] if up else agent.spec["name"]
    scores = {look.sign: look.sight.score for look in looks if look.sight.score is not None}
    took = (current_time() - began) * 1e3
    confidence = seen[-1].confidence if seen else None
    run.add_decision(Decision(STRATEGY, choice, scores, confidence, why, took), agent.spec["name"])
    if run.conversation is not None and any(look.conclusion != "blind" for look in looks):
        run.conversation.note(agent.spec["name"], kept=not up)
    if not up:
        return outcome
    return Outcome(to=agent.spec["escalate_to"] or "", text=outcome.text, why=why, served_by=outcome.served_by)


def _why(look: Look | None, case: Case) -> str:
    cost = f"; cost {case.calls} more call{'s' if case.calls > 1 else ''}, {case.tokens} tokens" if case.calls else ""
    if look is None:
        return f"kept: no sign of a wrong answer{cost}"
    if look.sign == "abstains":
        return f"abstains: {look.sight.why}{cost}"
    how = "" if look.fitted else ", not fitted yet"
    least = f"{'more than ' if look.tied else ''}{min(look.threshold, 1.0):.0%}"
    kept = "" if look.conclusion == "handed over" else "kept: "
    return f"{kept}{look.sign}: {look.sight.why}: {look.confidence:.0%} sure, {least} is needed{how}{cost}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
