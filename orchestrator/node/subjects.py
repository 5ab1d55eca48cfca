"""The subjects that letters of a deployment's nodes go to. Pure.

All begin with ``orc.v1.<deployment>``. Names of the manifest may hold dots, which separate words of a subject: a dot is written
``=``, which no name holds, so that every name is one word and two names never become one.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.ports.bus import ANYTHING


def word(name: str) -> str:
    """A name of the manifest as one word of a subject or a key."""
    return name.replace(".", "=")


def name_of(written: str) -> str:
    """The name that a word stands for."""
    return written.replace("=", ".")


def may_hear(node: str, subject: str) -> bool:
    """Whether a subject is an inbox of that node, which the bus lets no other node listen to. So what goes there is told to that
    node, whoever sent the letter that names it."""
    return subject.startswith(f"_INBOX.{word(node)}.")


@dataclass(frozen=True, slots=True)
class Subjects:
    """Those of one deployment."""

    deployment: str

    @property
    def root(self) -> str:
        """What all begin with."""
        return f"orc.v1.{word(self.deployment)}"

    def heartbeat(self, node: str) -> str:
        """Where a node says that it lives; ``*``: where all do."""
        return f"{self.root}.hb.{word(node)}"

    def call(self, node: str, agent: str) -> str:
        """Where a node takes requests for an agent."""
        return f"{self.root}.call.{word(node)}.{word(agent)}"

    def calls(self, node: str) -> str:
        """The pattern of all requests to a node."""
        return f"{self.root}.call.{word(node)}.{ANYTHING}"

    def cancel(self, node: str, request: str) -> str:
        """Where a node hears that nobody waits for a request any more."""
        return f"{self.root}.cancel.{word(node)}.{word(request)}"

    def cancels(self, node: str) -> str:
        """The pattern of all that."""
        return f"{self.root}.cancel.{word(node)}.{ANYTHING}"

    def control(self, node: str) -> str:
        """Where a node takes orders of who leads."""
        return f"{self.root}.ctl.{word(node)}"

    def questions(self, node: str) -> str:
        """Where a node asks all others for their events; ``*``: where all do."""
        return f"{self.root}.evt.{word(node)}.ask"

    def ended(self, node: str) -> str:
        """Where a node says that a run has ended for which another one waits; ``*``: where all do."""
        return f"{self.root}.evt.{word(node)}.ended"

    def wish(self, node: str) -> str:
        """Where a node says what the operator has signed on it, for a hub's node to write."""
        return f"{self.root}.evt.{word(node)}.want"

    @staticmethod
    def wishes() -> str:
        """The pattern of all those, of all deployments."""
        return "orc.v1.*.evt.*.want"

    @property
    def manifest(self) -> str:
        """The key of what is wanted."""
        return f"{word(self.deployment)}.manifest"

    @property
    def assignment(self) -> str:
        """The key of who holds what."""
        return f"{word(self.deployment)}.assign"

    @property
    def prefix(self) -> str:
        """What all keys of the deployment begin with."""
        return f"{word(self.deployment)}."

    def observed(self, node: str) -> str:
        """The key of what a node has seen of itself."""
        return f"{self.prefix}{word(node)}"

    @property
    def leader(self) -> str:
        """The key of the lease to lead."""
        return f"{self.prefix}controller"

    def exclusive(self, agent: str) -> str:
        """The key of the lease of an agent that may be on one node only."""
        return f"{self.prefix}x.{word(agent)}"
