"""What the vertices of a run give: an answer, a hand-over, a wait; and what each tells the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.approval import Approval
from orchestrator.core.delivery import Delivery
from orchestrator.core.record import record
from orchestrator.core.request import Status
from orchestrator.serve.steps.parted import Parted


@record
class Outcome:
    """What a vertex gave: an answer, or the name of the agent that goes on (``to``), or those of several (``parted``). ``agent``
    and ``node`` are who answered and where, if that is not this vertex here."""

    text: str = ""
    status: Status = "completed"
    served_by: str = ""
    value: Any = None
    finish_reason: str = "stop"
    why: str = ""
    to: str = ""
    approval: str = ""
    parted: Parted | None = None
    agent: str = ""
    node: str = ""


class Held(Exception):
    """A call that a person must allow first, by its ``name`` and ``effect``. Whoever is at work adds to ``at`` where it goes on
    then; ``source`` says who wrote the arguments, ``why`` what a person should know before. No fault: nobody escalates it."""

    def __init__(self, name: str, effect: str, arguments: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.name = name
        self.effect = effect
        self.arguments = arguments
        self.source = self.why = ""
        self.at: dict[str, Any] = {}


@record
class GoingOn:
    """What a run that waited goes on with: what it waited for (what a person decided, or its target), and the place ``at`` which
    its ``agent`` waited. ``sent``: an earlier life went on with it, sent something to the cloud, and ended before it knew what came
    of that."""

    waited: Approval | Delivery
    agent: str
    at: Mapping[str, Any]
    sent: bool = False
