"""Before an agent's or a router's call: which of its endpoints the policy lets it ask, and the ruling on each in the cloud."""

from __future__ import annotations

from typing import Final

from orchestrator.core.approval import SEND, Approval
from orchestrator.core.errors import HeldRunLost, KeptNear, ModelError, NoModel, Withheld
from orchestrator.core.record import record
from orchestrator.core.request import Decision
from orchestrator.core.spending import MILLION
from orchestrator.deploy.deployment import Agent, Router
from orchestrator.ports.provider import ChatCall
from orchestrator.serve.ask import CallTrace
from orchestrator.serve.consents import Outgoing, endpoints_of
from orchestrator.serve.outbound import NO_PRICE, WRITE_PRICE, Customs, Passage
from orchestrator.serve.outcome import Held
from orchestrator.serve.policy import Consent, Departure, Ruling, rule
from orchestrator.serve.run import Run
from orchestrator.serve.steps.refused import denied

NOBODY: Final = (
    "Apply the deployment, whose runtime keeps what waits for people; or write escalation: {approval: never}."
)

MAYBE_SENT: Final = (
    "this run's words were being sent to the cloud under an earlier leave when that was cut off: "
    "they may be there already"
)
OTHERWISE: Final = "what a person allowed earlier in this run was for another endpoint, or other words"
"""Why a person is asked again."""
POLICY: Final = "policy"
"""The strategy of the decisions that are rulings."""


@record
class _Sender:
    """Who would send: its name, and whether it may use nothing beyond the local network."""

    name: str
    address: str
    offline: bool = False
    chooses: bool = False
    """It waits for nobody: a router, and a look beside the answer."""


async def let_out(
    run: Run, part: Agent | Router, endpoints: tuple[str, ...], call: ChatCall, *, aside: bool = False
) -> tuple[tuple[str, ...], Customs | None]:
    """Those that an agent or a router may ask, in the same order, and what the calls to the cloud go out with; nothing where the
    deployment has none there. Each in the cloud is ruled on, and the ruling is kept with the run's decisions. ``aside``: the call
    is made beside the answer, and waits for no person. Raises why not, where that leaves none: ``BudgetExceeded``, ``Withheld`` or
    ``NoModel``."""
    passage = run.passage
    if passage is None:
        return endpoints, None
    if len(run.near(endpoints)) == len(endpoints):
        return endpoints, _customs(run, part, passage)
    # a router works offline where its agents do: that is proved over the graph
    offline = part.spec["offline"] if isinstance(part, Agent) else False
    sender = _Sender(part.spec["name"], part.address, offline, aside or isinstance(part, Router))
    allowed = await _let_far(run, sender, passage, endpoints, call)
    return allowed, _customs(run, part, passage)


def _customs(run: Run, part: Agent | Router, passage: Passage) -> Customs:
    return Customs(passage, part.spec["name"], closed=run.restricted)


async def _let_far(
    run: Run, sender: _Sender, passage: Passage, endpoints: tuple[str, ...], call: ChatCall
) -> tuple[str, ...]:
    near = run.near(endpoints)
    _take_leave(run, sender, passage, call)
    run.consents.recognise(sender.name, call.messages, passage)
    refusals: dict[str, ModelError | NoModel] = {}
    asked_for: list[str] = []
    for name in endpoints:
        if name not in near:
            ruling, error = await _ruling(run, sender, passage, name, call)
            _keep(run, sender, ruling)
            if error is not None:
                refusals[name] = error
            asked_for += [name] if ruling.refused == "approval" else []
    allowed = tuple(name for name in endpoints if name not in refusals)
    if not allowed and asked_for and not sender.chooses and run.desk is not None:
        raise _held(run, passage, Outgoing(sender.name, tuple(asked_for), call.messages))
    if not allowed:
        raise next(iter(refusals.values()))
    return allowed


def _take_leave(run: Run, sender: _Sender, passage: Passage, call: ChatCall) -> None:
    """A person has decided on what this agent would send. Raises ``ApprovalDenied``, and ``HeldRunLost`` where it is not that."""
    leave, run.leave = run.leave, None
    approval = leave.waited if leave is not None and isinstance(leave.waited, Approval) else None
    asked = approval.call if approval is not None else None
    if approval is None or asked is None:
        return
    if approval.state != "approved":
        raise denied(approval)
    if leave is not None and leave.sent:  # it was for one send
        return
    allowed = Outgoing(sender.name, endpoints_of(asked.arguments), call.messages)
    if allowed.digest(passage) != asked.digest:
        raise HeldRunLost(f"{sender.address} would send something else than was approved", cure="Ask again.")
    run.consents.give(allowed, passage)
    waited_for = tuple(f"{_unasked(sender, name)}: approval: " for name in run.deployment.endpoints)
    run.notes = [note for note in run.notes if not note.startswith(waited_for)]  # that is so no longer


def _held(run: Run, passage: Passage, what: Outgoing) -> Held:
    """That a person must allow it first; and where it is not for the first time, why."""
    held = Held(SEND, "external", what.shown(passage))
    if run.going_on is not None and run.going_on.sent:
        held.why = MAYBE_SENT
    elif run.consents.holds(what.agent):
        held.why = OTHERWISE
    return held


async def _ruling(
    run: Run, sender: _Sender, passage: Passage, endpoint: str, call: ChatCall
) -> tuple[Ruling, ModelError | NoModel | None]:
    known = run.deployment.endpoints.get(endpoint)
    zone = known.target.zone if known is not None else "cloud"
    unfit, fit = _fit(passage, call, sender.name)
    budget = passage.estimate(fit, endpoint)
    poor = await _too_poor(passage, sender.name, endpoint, fit) if not run.restricted and not sender.offline else None
    ruling = rule(
        Departure(
            endpoint,
            zone,
            offline=sender.offline,
            restricted=run.restricted,
            budget=f"{budget} at most" if passage.rules.account.limited(sender.name) else "",
            over_budget=poor.message if poor else "",
            redacts=passage.names is not None,
            unredactable=unfit.message if unfit else "",
            consent=_consent(run, sender, passage, endpoint),
        )
    )
    return ruling, _error(ruling, sender, poor, unfit)


def _consent(run: Run, sender: _Sender, passage: Passage, endpoint: str) -> Consent:
    if not passage.rules.asks:
        return "not needed"
    return "given" if run.consents.covers(sender.name, endpoint) else "missing"


def _error(
    ruling: Ruling, sender: _Sender, poor: Withheld | None, unfit: Withheld | None
) -> ModelError | NoModel | None:
    """What a refusal is raised as."""
    match ruling.refused:
        case "":
            return None
        case "budget" if poor is not None:
            poor.message = f"{sender.address}: {poor.message}"
            return poor
        case "redaction" if unfit is not None:
            return Withheld(f"{sender.address}: {unfit.message}", cure=unfit.cure)
        case "approval":
            return Withheld(
                f"{sender.address} needs a person's leave to ask {ruling.endpoint}, and nobody can be asked here",
                cure=NOBODY,
            )
    cure = "Give it a model of this device or the local network."
    return KeptNear(f"{sender.address} may not ask {ruling.endpoint}, which is in the cloud: {ruling.why}", cure=cure)


def _fit(passage: Passage, call: ChatCall, agent: str) -> tuple[Withheld | None, ChatCall]:
    """The call as it would be sent; or why it may not be, with the call as it is."""
    try:
        return None, passage.fit_to_send(call, agent)
    except Withheld as error:
        return error, call


async def _too_poor(passage: Passage, agent: str, endpoint: str, call: ChatCall) -> Withheld | None:
    """Why it may not be paid. What is set aside for it is known only when it is made: another call may be first."""
    if passage.unpriced(agent, endpoint):
        return Withheld(NO_PRICE.format(endpoint), cure=WRITE_PRICE.format(endpoint))
    account = passage.rules.account
    if not account.limited(agent):
        return None
    try:
        await passage.ledger.open(account.deployment)
    except Withheld as error:
        return error
    return passage.ledger.exceeded(account, passage.purse, agent, passage.estimate(call, endpoint))


def _unasked(sender: _Sender, endpoint: str) -> str:
    return f"{sender.address} did not ask {endpoint}"


def _keep(run: Run, sender: _Sender, ruling: Ruling) -> None:
    """Once for each endpoint that an agent may ask; every refusal."""
    choice = None if ruling.refused else ruling.endpoint
    if choice is None:
        gate, reason = ruling.reasons[-1]
        run.remark(sender.address, ruling.endpoint, f"{_unasked(sender, ruling.endpoint)}: {gate}: {reason}")
    known = {(each.router, each.choice) for each in run.decisions if each.strategy == POLICY}
    if choice is None or (sender.name, choice) not in known:
        why = ruling.why if choice else f"{ruling.endpoint}: {ruling.why}"
        run.add_decision(Decision(POLICY, choice, why=why, router=sender.name), sender.name)


def tell_out(run: Run, part: Agent | Router, customs: Customs | None, trace: CallTrace) -> None:
    """Tell what a call has cost in the cloud, and what the model there did not see: placeholders may show in its words."""
    if customs is None or customs.priced is None:
        return
    trace.paid = customs.spent.micros / MILLION if customs.priced else None
    if not customs.spent.calls:
        return
    trace.spent = str(customs.spent)
    _tell_left(run, part, customs.passage)
    counts = customs.passage.names.counts if customs.passage.names is not None else {}
    if counts:
        told = ", ".join(f"{count} of {kind}" for kind, count in counts.items())
        run.remark(part.address, "", f"{part.address} sent placeholders to the cloud in the place of values: {told}")


def _tell_left(run: Run, part: Agent | Router, passage: Passage) -> None:
    """Placeholders that stand in the answer because it is not sure that they are meant."""
    left = passage.names.left if passage.names is not None else {}
    if left:
        named = ", ".join(each.strip("[]") for each in left)
        told = "otherwise than it was sent, so that no value was put back there"
        run.remark(part.address, "", f"the cloud wrote {named} to {part.address} {told}")
        left.clear()
