"""What a node of a fleet writes down before others may rely on it: what its exclusive agents do, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.request import Result


@dataclass(frozen=True, slots=True)
class Effect:
    """That an agent is about to do something outside: ``call`` is the call's own id, ``epoch`` that of the lease that it is done
    under."""

    deployment: str
    agent: str
    function: str
    call: str
    epoch: int


class EffectStore(Protocol):
    """Durable when a call returns. Raises ``StateUnusable`` where it cannot be."""

    def act(self, effect: Effect) -> None:
        """Write it down, right before it is done. Raises ``LeaseLost`` where a higher epoch has acted for the agent."""
        ...

    def answered(self, key: str, asker: str) -> Result | None:
        """What was answered to the request of the node ``asker`` that has this key; ``None`` where nothing was."""
        ...

    def keep_answer(self, deployment: str, key: str, asker: str, result: Result) -> None:
        """This is the answer to it, also after a restart. The first one counts."""
        ...
