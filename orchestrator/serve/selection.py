"""Which of an agent's models a request is sent to, and why. Pure.

In order: what claims the request (its complexity before its priority, which every request has) before what does not; what has
room in memory before what has none; the smallest, where something claims the request or the device is to be spared; else as
the manifest lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from math import inf
from typing import Any, Final

from orchestrator.core import errors
from orchestrator.core.record import record
from orchestrator.deploy.deployment import ModelChoice


@record
class Selection:
    """Endpoint ids, best first, of which the first ``equals`` are of equal rank; ``why`` this order, and why the agent has the
    first model, empty where there was nothing to choose."""

    endpoints: tuple[str, ...]
    equals: int = 1
    why: str = ""

    @property
    def told(self) -> str:
        """Why its first model, and that its servers share the work where several have it."""
        shared = f"the least busy of {self.equals} servers that have its model" if self.equals > 1 else ""
        return f"{self.why}, {shared}" if self.why and shared else self.why or shared

    def only(self, able: Sequence[str], lack: str = "") -> Selection:
        """The same with those that are ``able``; ``lack`` says what is the matter with the others, for where the first is one."""
        if len(able) == len(self.endpoints):
            return self
        same = {*self.endpoints[: self.equals]} & {*able}
        left = tuple(endpoint for endpoint in self.endpoints if endpoint in able)
        passed = lack and left and left[0] != self.endpoints[0]
        told = f"{self.endpoints[0]} {lack}, and {left[0]} comes next" if passed else ""
        return Selection(left, max(1, len(same)), "; ".join(filter(None, (self.why, told))))


NO_CHOICE: Final = Selection(())


@record
class Asked:
    """What a choice looks at beside the models: the request's ``complexity`` and priority class; ``saving``: why the device
    is to be spared, else empty; ``starved``: endpoints without room in memory, each with the reason."""

    complexity: str = ""
    priority: str = ""
    saving: str = ""
    starved: Mapping[str, str] = field(default_factory=dict)


def select(choices: Sequence[ModelChoice], asked: Asked) -> Selection:
    """The order for one request. ``choices`` are the agent's models as the manifest lists them, then their fallbacks."""
    served = [choice for choice in choices if choice.endpoints]
    if not served:
        return NO_CHOICE
    odd = asked.complexity or served[0] is not choices[0]
    if not (odd or asked.saving or asked.starved or any(_claims(choice, asked) for choice in served)):
        return Selection(_endpoints(served), served[0].equals, served[0].given)  # the common case, in half the time
    ranked = sorted(served, key=lambda choice: _rank(choice, asked))
    why = _why(ranked, served, asked, _lacking(ranked[0], choices, asked))
    return Selection(_endpoints(ranked), ranked[0].equals, why)


def _endpoints(choices: Sequence[ModelChoice]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(endpoint for choice in choices for endpoint in choice.endpoints))


def _rank(choice: ModelChoice, asked: Asked) -> tuple[int, bool, bool, float]:
    claims = _claims(choice, asked)
    not_spare = bool(asked.saving) and not choice.secondary
    size = inf if choice.memory is None else float(choice.memory)
    return (-_weight(choice, asked), _starves(choice, asked), not_spare, size if claims or asked.saving else 0.0)


def _claims(choice: ModelChoice, asked: Asked) -> list[str]:
    """What of the request the model is declared for."""
    complexity = [asked.complexity] if asked.complexity in choice.complexity else []
    return [*complexity, *([asked.priority] if asked.priority in choice.priorities else [])]


def _weight(choice: ModelChoice, asked: Asked) -> int:
    """How much the model claims of it: its complexity and its priority, only its complexity, only its priority, nothing."""
    return 2 * (asked.complexity in choice.complexity) + (asked.priority in choice.priorities)


def _starves(choice: ModelChoice, asked: Asked) -> bool:
    return choice.endpoints[0] in asked.starved


def _lacking(first: ModelChoice, choices: Sequence[ModelChoice], asked: Asked) -> list[str]:
    """Why it is not one that is meant for such a request, or that the manifest lists before it."""
    if asked.complexity not in first.complexity:
        meant = [each for each in choices if asked.complexity in each.complexity]
        if meant:
            return [f"{meant[0].alias}, which is for {asked.complexity} requests, is not served"]
        if asked.complexity and any(each.complexity for each in choices):
            return [f"none of the agent's models is for {asked.complexity} requests"]
    return [] if choices[0].endpoints or first is choices[0] else [f"{choices[0].alias} is not served"]


def _why(
    ranked: Sequence[ModelChoice], served: Sequence[ModelChoice], asked: Asked, lacking: Sequence[str] = ()
) -> str:
    """In a sentence; empty where the order is the manifest's, nothing claims the request, and there was no other."""
    first = ranked[0]
    claims = _claims(first, asked)
    equal = [each for each in served if _weight(each, asked) == _weight(first, asked)]
    smallest = claims and len({each.memory for each in equal}) > 1
    reasons = [f"it is for {' and '.join(claims)} requests"] if claims else []
    passed = next((each for each in equal if _starves(each, asked)), None)
    if passed is not None and not _starves(first, asked):
        reasons.append(asked.starved[passed.endpoints[0]])
    if first is not equal[0] or (claims and len(equal) > 1):
        reasons += [asked.saving] if asked.saving else []
        reasons += [f"it is the smallest of {len(equal)}"] if smallest and passed is None else []
    reasons += lacking
    if first.given:
        return ", ".join([first.given, *reasons])
    return f"{first.alias}: {', '.join(reasons)}" if reasons else ""


def choice_told(detail: Mapping[str, Any]) -> str:
    """Why this model; which one was asked in the place of those that rest, and which one after it had failed."""
    told, attempts = detail.get("chosen", ""), detail.get("attempts", ())
    failed = next((each for each in attempts if each["endpoint"] != detail["endpoint"]), None)
    fell = f"{failed['endpoint']} failed{_why_failed(failed)}, and {detail['endpoint']} was asked" if failed else ""
    passed = "; ".join(detail.get("passed", ()))
    instead = f"{passed}, and {detail['endpoint']} was asked" if passed and not fell else passed
    return "; ".join(filter(None, (told, instead, fell)))


def _why_failed(attempt: Mapping[str, Any]) -> str:
    """In the fault's own words, with its code; nothing where there are none, as of a call that was cancelled."""
    code = getattr(getattr(errors, attempt["outcome"], None), "code", "")
    words = " ".join(filter(None, (attempt.get("message", ""), f"({code})" if code else "")))
    return f": {words}" if words else f" ({attempt['outcome']})"
