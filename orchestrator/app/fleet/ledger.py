"""A hub's ledger: which nodes belong to the fleet, with which keys, and which tokens let others in.

Of a token only a digest is kept. Several processes may change the ledger (one that serves enrolment, a command): each change is a
transaction under a lock of the operating system.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from orchestrator.app.fleet.keys import write_private
from orchestrator.app.fleet.locked import locked
from orchestrator.core.errors import StateUnusable
from orchestrator.core.fleet_errors import FleetError, TokenRefused
from orchestrator.plugins.sidecars.nats_rights import Rights, rights_of

SECRET_BYTES: Final = 16
KEPT_SECONDS: Final = 30 * 86400.0
"""How long a token that is used or too old is remembered, so that it can be said what is wrong with it."""
_AGAIN: Final = "on the hub: orchestrator node invite"


@dataclass(frozen=True, slots=True)
class Member:
    """A node: its public NKey, when it joined and left (seconds since 1970), and whether it may say what is wanted."""

    key: str
    joined: float
    leads: bool = False
    left: float = 0.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is kept of a token: until when it is good, and who came with it."""

    until: float
    node: str = ""


@dataclass(slots=True)
class _Pages:
    members: dict[str, Member] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The file."""

    file: Path

    def begin(self, node: str, member: Member) -> None:
        """A fleet of one node."""
        with self._changed(_Pages()) as pages:
            pages.members[node] = member

    def members(self) -> dict[str, Member]:
        """Every node, also those that left. Raises ``StateUnusable``."""
        return self._read().members

    def rights(self) -> tuple[Rights, ...]:
        """What each node may do that belongs to the fleet."""
        there = {name: member for name, member in self.members().items() if not member.left}
        return tuple(rights_of(name, member.key, leads=member.leads) for name, member in sorted(there.items()))

    def invite(self, seconds: float) -> bytes:
        """A secret that lets one node in, for so long."""
        secret, now = secrets.token_bytes(SECRET_BYTES), time.time()
        with self._changed() as pages:
            pages.tickets = {key: each for key, each in pages.tickets.items() if each.until > now - KEPT_SECONDS}
            pages.tickets[_digest(secret)] = Ticket(now + seconds)
        return secret

    def admit(self, secret: bytes, node: str, key: str) -> None:
        """Let a node in, once. Raises ``TokenRefused``, and ``FleetError`` for a name or a key that is taken (the token stays
        good then)."""
        with self._changed() as pages:
            ticket = pages.tickets.get(_digest(secret))
            _check(ticket)
            if node in pages.members and not pages.members[node].left:
                raise FleetError(
                    f"the fleet has a node {node} already",
                    cure=f"choose another one with --name; or, on the hub: orchestrator node leave {node}",
                )
            if any(member.key == key for member in pages.members.values()):
                raise FleetError("the key was used before", cure="join again: a fresh one is made")
            pages.tickets[_digest(secret)] = replace(ticket or Ticket(0.0), node=node)
            pages.members[node] = Member(key, time.time())

    def leave(self, node: str) -> None:
        """Its key counts no more; twice is fine. Raises ``FleetError`` for one that never was there, and for the hub."""
        with self._changed() as pages:
            member = pages.members.get(node)
            if member is None:
                known = ", ".join(sorted(name for name, each in pages.members.items() if not each.left))
                raise FleetError(f"the fleet has no node {node}", cure=f"it has {known}")
            if member.leads:
                raise FleetError(
                    f"{node} is the hub: without it there is no fleet", cure="orchestrator node leave, on it"
                )
            if not member.left:
                pages.members[node] = replace(member, left=time.time())

    def _read(self) -> _Pages:
        try:
            value = json.loads(self.file.read_text(encoding="utf-8"))
            members = {name: Member(**each) for name, each in value["members"].items()}
            return _Pages(members, {name: Ticket(**each) for name, each in value["tickets"].items()})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StateUnusable(
                f"{self.file} cannot be read: {error}",
                cure="is this machine the hub of its fleet? orchestrator node status",
            ) from error

    @contextmanager
    def _changed(self, begun: _Pages | None = None) -> Iterator[_Pages]:
        with locked(self.file.with_suffix(".lock")):
            pages = self._read() if begun is None else begun
            yield pages
            value = {
                "members": {name: asdict(each) for name, each in pages.members.items()},
                "tickets": {name: asdict(each) for name, each in pages.tickets.items()},
            }
            write_private(self.file, json.dumps(value, indent=1))


def _check(ticket: Ticket | None) -> None:
    if ticket is None:
        raise TokenRefused(
            "the hub does not know this token", cure=f"is it whole, and of this fleet? A new one, {_AGAIN}"
        )
    if ticket.node:
        raise TokenRefused(
            f"this token was used by {ticket.node}: it lets in one node, once", cure=f"a new one, {_AGAIN}"
        )
    if ticket.until < time.time():
        raise TokenRefused("this token is too old", cure=f"a new one, {_AGAIN}")


def _digest(secret: bytes) -> str:
    """Of 128 random bits: nobody finds them by trying, so that a plain hash is enough."""
    return hashlib.sha256(secret).hexdigest()
