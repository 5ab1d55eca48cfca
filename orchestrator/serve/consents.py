"""What a person has let the agents of a run send to the cloud: to which endpoints, and which words. Kept with a run that waits, so
that what goes on with it later, under another revision, sends that or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.approval import SEND, digest_of_call
from orchestrator.core.errors import Withheld
from orchestrator.core.message import Message
from orchestrator.serve.outbound import Passage

_KEPT: Final = {"endpoints", "count", "digest"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What an agent would send: the ``endpoints`` in the cloud that may get it, and its messages as the agent has them."""

    agent: str
    endpoints: tuple[str, ...]
    messages: tuple[Message, ...]

    def shown(self, passage: Passage) -> dict[str, Any]:
        """What a person allows: where it goes (``others``: where it may go in place of the first), and each message as it is sent.
        Raises ``Withheld``."""
        first, *others = self.endpoints
        messages = [message.as_json() for message in passage.as_sent(self.messages)]
        return {"endpoint": first, **({"others": others} if others else {}), "messages": messages}

    def digest(self, passage: Passage) -> str:
        """Of what is shown. Raises ``Withheld``."""
        return digest_of_call(passage.rules.account.deployment, self.agent, SEND, self.shown(passage))


def endpoints_of(shown: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that a person saw."""
    return (str(shown.get("endpoint", "")), *map(str, shown.get("others", ())))


@dataclass(frozen=True, slots=True)
class _Consent:
    """Of one agent: the endpoints, how many messages there were, and the digest of both. ``words`` are those messages, once the
    agent was seen with them since the run went on: what it sends after them goes with the leave."""

    endpoints: tuple[str, ...]
    count: int
    digest: str
    words: tuple[Message, ...] | None = None


class Consents:
    """Those of a run, by agent."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, _Consent] = {}

    def give(self, what: Outgoing, passage: Passage) -> None:
        """A person has allowed this."""
        self._known[what.agent] = _Consent(what.endpoints, len(what.messages), what.digest(passage), what.messages)

    def holds(self, agent: str) -> bool:
        """Whether a person has allowed this agent anything, be it for other words than it has now."""
        return agent in self._known

    def recognise(self, agent: str, messages: tuple[Message, ...], passage: Passage) -> None:
        """The agent goes on with these messages: its leave holds where the first of them are what was allowed, as they would be
        sent now."""
        kept = self._known.get(agent)
        if kept is None or kept.words is not None or len(messages) < kept.count:
            return
        words = messages[: kept.count]
        if _digest(Outgoing(agent, kept.endpoints, words), passage) == kept.digest:
            self._known[agent] = _Consent(kept.endpoints, kept.count, kept.digest, words)

    def covers(self, agent: str, endpoint: str) -> bool:
        """Whether the agent may send there what it has now."""
        known = self._known.get(agent)
        return known is not None and known.words is not None and endpoint in known.endpoints

    def as_json(self, passage: Passage | None) -> dict[str, Any]:
        """For a run that begins to wait. What it has learned to hide since is hidden when it goes on, so that the digest is of the
        words as they would be sent now."""
        found: dict[str, Any] = {}
        for agent, each in self._known.items():
            digest = each.digest
            if each.words is not None and passage is not None:
                digest = _digest(Outgoing(agent, each.endpoints, each.words), passage)
            if digest:
                found[agent] = {"endpoints": list(each.endpoints), "count": each.count, "digest": digest}
        return found

    def goes_on(self, kept: object) -> None:
        """With what ``as_json`` gave. An older version kept only the names of agents: a person is asked anew then."""
        for agent, each in kept.items() if isinstance(kept, Mapping) else ():
            if isinstance(each, Mapping) and each.keys() >= _KEPT and isinstance(each["endpoints"], Sequence):
                self._known[str(agent)] = _Consent(tuple(each["endpoints"]), int(each["count"]), str(each["digest"]))


def _digest(what: Outgoing, passage: Passage) -> str:
    """Empty where it cannot be sent at all."""
    try:
        return what.digest(passage)
    except Withheld:
        return ""
