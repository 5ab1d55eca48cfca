"""A conversation whose agent was not good enough twice in a row stays with the one that took over, until its task ends.

Without it, each turn would ask the small model, doubt it, and ask the large one: slower than the large one alone, and two voices
in one conversation. One doubted answer is no reason yet; one that is kept starts the count anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

IN_A_ROW: Final = 2
"""Answers in a row that were not kept, after which the conversation stays."""
IDLE: Final = 1_800.0
"""Seconds without a request after which the task of a conversation has ended."""
MOST_SESSIONS: Final = 512

Key = tuple[str, str]


@dataclass(slots=True)
class Conversation:
    """Where one conversation stands: the agent that its ``task`` belongs to, how many answers in a row of each agent were not
    kept, when it was ``used`` last (``anyio.current_time``), and which runs of it are ``held`` for a person: its task cannot
    have ended then. Owned by the request that holds the session."""

    task: str = ""
    doubted: dict[str, int] = field(default_factory=dict)
    used: float = 0.0
    held: set[str] = field(default_factory=set)

    def begin(self, agent: str, now: float, *, chosen: bool) -> None:
        """A request begins with this agent. Where it was ``chosen`` for it and is another one, or came after a long rest, the last
        task has ended."""
        rested = self.task != "" and now - self.used > IDLE
        if not self.held and (rested or (chosen and self.task not in ("", agent))):
            self.doubted.clear()
        if chosen or not self.task:
            self.task = agent
        self.used = now

    def note(self, agent: str, *, kept: bool) -> None:
        """Whether an answer of the agent was kept. One that is kept late, of a run that had waited for a person, ends no task."""
        if kept and not self.is_latched(agent):
            self.doubted.pop(agent, None)
        elif not kept:
            self.doubted[agent] = self.doubted.get(agent, 0) + 1

    def hold(self, run: str, *, waits: bool) -> None:
        """Whether a run that has ended for now waits for a person."""
        (self.held.add if waits else self.held.discard)(run)

    def is_latched(self, agent: str) -> bool:
        """Whether the agent is passed over."""
        return self.doubted.get(agent, 0) >= IN_A_ROW


class Latches:
    """The conversations that were used last, for as long as the process runs."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._conversations: OrderedDict[Key, Conversation] = OrderedDict()

    def of(self, deployment: str, session: str) -> Conversation:
        """Of one conversation. Call it while holding the session's turn."""
        key = (deployment, session)
        conversation = self._conversations.setdefault(key, Conversation())
        self._conversations.move_to_end(key)
        while len(self._conversations) > self._most:
            self._conversations.popitem(last=False)
        return conversation
