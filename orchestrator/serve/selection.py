"""Which of an agent's models a request is sent to, and why. Pure.

In order: what claims the request (its complexity before its priority, which every request has) before what does not; what has
room in memory before what has none; the smallest, where something claims the request or the device is to be spared; else as
the manifest lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from math import inf
from typing import Final

from orchestrator.core.record import record
from orchestrator.deploy.deployment import ModelChoice


@record
class Selection:
    """Endpoint ids, best first, of which the first ``equals`` are of equal rank; ``why`` this order, and why the agent has the
    first model, empty where there was nothing to choose."""

    endpoints: tuple[str, ...]
    equals: int = 1
    why: str = ""

    def only(self, able: Sequence[str]) -> Selection:
        """The same with those that are ``able``."""
        if len(able) == len(self.endpoints):
            return self
        same = {*self.endpoints[: self.equals]} & {*able}
        left = tuple(endpoint for endpoint in self.endpoints if endpoint in able)
        return Selection(left, max(1, len(same)), self.why)


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
    if len(served) < 2:
        return Selection(served[0].endpoints, served[0].equals, served[0].given) if served else NO_CHOICE
    if not (asked.saving or asked.starved or any(_claims(choice, asked) for choice in served)):
        return Selection(_endpoints(served), served[0].equals, served[0].given)  # the common case, in half the time
    ranked = sorted(served, key=lambda choice: _rank(choice, asked))
    return Selection(_endpoints(ranked), ranked[0].equals, _why(ranked, served, asked))


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


def _why(ranked: Sequence[ModelChoice], served: Sequence[ModelChoice], asked: Asked) -> str:
    """In a sentence; empty where the order is the manifest's, nothing claims the request, and the agent names its model."""
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
    if first.given:
        return ", ".join([first.given, *reasons])
    return f"{first.alias}: {', '.join(reasons)}" if reasons else ""
