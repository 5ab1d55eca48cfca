"""What a probe of a model server gives, and the narrow port of providers whose servers can be probed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from orchestrator.ports.provider import Capability, ChatCall, Identity, ServedModel, Support, Target


@dataclass(frozen=True, slots=True)
class Heard:
    """What a server answered to one request, unread. ``status`` 0: it gave no answer, and ``text`` says why."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What was shown of one capability, and how. ``value``: tokens of a context, or calls that are answered at once."""

    support: Support
    evidence: str
    value: int | None = None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {"support": self.support.value, "evidence": self.evidence, "value": self.value}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Finding:
        """From the plain form. Raises ``KeyError``, ``TypeError`` or ``ValueError``."""
        value = told["value"]
        return cls(Support(told["support"]), str(told["evidence"]), None if value is None else int(value))


Findings = Mapping[Capability, Finding]


@runtime_checkable
class Prober(Protocol):
    """A provider that can be asked for what a server really does."""

    async def hear(self, call: ChatCall, stream: bool) -> Heard:
        """Send one call as it is and give what comes, whatever it is; never raises a ``ModelError``."""
        ...

    async def hear_embedding(self, target: Target, text: str, timeout: float) -> Heard:
        """The same for an embedding of one text."""
        ...

    def grammar(self, rules: str) -> Mapping[str, Any]:
        """The fields that ask this make for a grammar (GBNF)."""
        ...


@dataclass(frozen=True, slots=True)
class Probed:
    """One model on one server, with what was found. The same server in another version, or with another build under the
    model's name (``digest``, where the server tells it), is another."""

    identity: Identity
    model: ServedModel
    findings: Findings
