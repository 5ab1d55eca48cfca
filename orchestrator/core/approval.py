"""What waits for a person: a question that a person answers, or a call of a tool that a person must allow. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from orchestrator.core.choices import DataClass

ApprovalKind = Literal["question", "call"]
ApprovalState = Literal["pending", "approved", "denied", "answered", "expired"]
Act = Literal["approve", "deny", "answer"]
STATE_OF: Final[Mapping[Act, ApprovalState]] = {"approve": "approved", "deny": "denied", "answer": "answered"}
SEND: Final = "cloud.send"
"""The function of a leave to send something to the cloud."""
SENDING: Final = "sending"
"""In what is held of a run: it went on, and sent something to the cloud under a leave."""
ACTS_OF: Final[Mapping[ApprovalKind, tuple[Act, ...]]] = {"question": ("answer", "deny"), "call": ("approve", "deny")}


def digest_of_call(deployment: str, agent: str, function: str, arguments: Mapping[str, Any]) -> str:
    """The SHA-256 of who calls what with which arguments, in canonical JSON: what a person agrees to, and nothing else."""
    plain = {"deployment": deployment, "agent": agent, "function": function, "arguments": dict(arguments)}
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits to be allowed. ``source`` says who wrote its arguments; ``digest`` is of :func:`digest_of_call`."""

    function: str
    arguments: Mapping[str, Any]
    effect: str
    source: str
    digest: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One thing that waits, or waited, for a person. Times are seconds since 1970.

    ``text`` is the request, ``why`` says how it came to a person, ``talk`` is the conversation before it. ``held`` is all
    that the run needs to go on. ``begun`` is when an approved call began, which it does once; ``outcome`` what it gave.
    A leave begins when something is sent under it.
    ``delivered`` is when the run that waited got its end. ``settles`` names the approval before it in the same run.
    """

    id: str
    deployment: str
    revision: int
    run: str
    agent: str
    queue: str
    kind: ApprovalKind
    text: str
    created: float
    expires: float
    session: str = ""
    why: str = ""
    talk: str = ""
    data_class: DataClass = "internal"
    call: Call | None = None
    state: ApprovalState = "pending"
    decided: float | None = None
    by: str = ""
    answer: str = ""
    begun: float | None = None
    outcome: Mapping[str, Any] | None = None
    delivered: float | None = None
    held: Mapping[str, Any] = field(default_factory=dict)
    settles: str = ""

    def as_json(self) -> dict[str, Any]:
        """What people see of it."""
        call = self.call
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "deployment": self.deployment,
            "revision": self.revision,
            "run": self.run,
            "session": self.session,
            "agent": self.agent,
            "queue": self.queue,
            "data_class": self.data_class,
            "request": self.text,
            "why": self.why,
            "conversation": self.talk,
            "function": call.function if call else "",
            "arguments": dict(call.arguments) if call else None,
            "effect": call.effect if call else "",
            "source": call.source if call else "",
            "digest": call.digest if call else "",
            "created": self.created,
            "expires": self.expires,
            "decided": self.decided,
            "by": self.by,
            "answer": self.answer,
            "begun": self.begun,
            "delivered": self.delivered,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says: ``text`` is the answer, or the reason of a refusal. ``digest`` is of the call that was seen."""

    act: Act
    by: str = ""
    text: str = ""
    digest: str = ""
