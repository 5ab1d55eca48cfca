"""What the board holds: the manifest that is wanted, who is to hold what, and what each node has seen of itself. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Final, TypeVar

from orchestrator.core.errors import NotUnderstood
from orchestrator.plan.placement import Assignment
from orchestrator.plan.plan import AgentServing
from orchestrator.plan.rolling import NO_TALLY, Rollout, Tally

Made = TypeVar("Made")
LARGE: Final = 16 * 1024
"""Bytes from which on an entry is compressed: agents of one template are much alike, and the board takes 768 KiB."""
MOST: Final = 64 * 1024 * 1024
"""Bytes that a compressed entry may have; one that claims more is broken, and nobody unpacks it."""
_COMPRESSED: Final = b"x"
"""What stands before a compressed entry, as text of its own: no JSON begins so."""


@dataclass(frozen=True, slots=True)
class Desired:
    """A manifest that is wanted. Its ``generation`` is counted by who applies it, and stands in it: the revisions of a store begin
    anew when the store is deleted. ``signature`` is that of who may apply.

    ``before`` is the last one that all nodes served, of generation ``after``: with it, the new one goes over the fleet one node at
    a time, and whoever has it knows what is good. Without it, all nodes take it over at once. ``undone`` is the generation that
    this one takes back, or 0, and ``why``."""

    generation: int
    blueprint: Mapping[str, Any]
    signature: str = ""
    before: Desired | None = None
    after: int = 0
    undone: int = 0
    why: str = ""

    @property
    def signed(self) -> dict[str, Any]:
        """What the signature is of."""
        plain = {"generation": self.generation, "blueprint": dict(self.blueprint)}
        back = {"undone": self.undone, "why": self.why} if self.undone else {}
        return {**plain, **back, **({"after": self.after} if self.after else {})}

    def last_good(self, rollout: Rollout | None) -> Desired | None:
        """The last one that all nodes served, as far as this one and its rollout tell; ``None`` where nothing did."""
        over = rollout is not None and rollout.generation == self.generation and rollout.state == "done"
        whole = self if over or self.before is None else self.before
        return replace(whole, before=None) if whole.blueprint.get("elements") else None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        plain = {"generation": self.generation, "blueprint": self.blueprint, "signature": self.signature}
        before = self.before.as_json() if self.before else None
        return {**plain, "before": before, "after": self.after, "undone": self.undone, "why": self.why}

    def written(self) -> bytes:
        """As it is on the board."""
        return _packed(self.as_json())

    @classmethod
    def read(cls, value: bytes) -> Desired:
        """From the board. Raises ``NotUnderstood``."""
        return _read(value, "the manifest", cls._of)

    @classmethod
    def _of(cls, v: Mapping[str, Any]) -> Desired:
        before = cls._of({**v["before"], "before": None}) if v.get("before") else None
        after, undone, why = int(v.get("after", 0)), int(v.get("undone", 0)), str(v.get("why", ""))
        if before is not None and before.generation != after:
            raise ValueError(f"generation {before.generation} stands where {after} should")
        return cls(int(v["generation"]), dict(v["blueprint"]), str(v["signature"]), before, after, undone, why)


@dataclass(frozen=True, slots=True)
class Assigned:
    """Who is to hold what, for which generation, decided by the leader of which epoch."""

    generation: int
    epoch: int
    assignment: Assignment
    rollout: Rollout = field(default_factory=Rollout)

    def written(self) -> bytes:
        """As it is on the board."""
        plain = {"generation": self.generation, "epoch": self.epoch, **self.assignment.as_json()}
        return _packed({**plain, "rollout": self.rollout.as_json()})

    @classmethod
    def read(cls, value: bytes) -> Assigned:
        """From the board. Raises ``NotUnderstood``."""
        return _read(value, "the assignment", cls._of)

    @classmethod
    def _of(cls, v: Mapping[str, Any]) -> Assigned:
        generation, rollout = int(v["generation"]), v.get("rollout")
        begun = Rollout.from_json(rollout) if rollout else Rollout(generation)
        return cls(generation, int(v["epoch"]), Assignment.from_json(v), begun)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a node says of itself: its incarnation, the generation that it serves, the agents that it answers for, and the
    aliases whose models it has (``None``: it does not know). ``fault``: why it does not serve generation ``refused``.
    ``before`` and ``since`` are the tallies of the generation before this one, and of this one. ``lacking``: who of it would gain
    from a model that is not served there."""

    node: str
    epoch: int
    generation: int
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    fault: str = ""
    refused: int = 0
    before: Tally = NO_TALLY
    since: Tally = NO_TALLY
    lacking: tuple[AgentServing, ...] = ()

    def written(self) -> bytes:
        """As it is on the board."""
        models = None if self.models is None else list(self.models)
        plain = {"node": self.node, "epoch": self.epoch, "generation": self.generation, "agents": list(self.agents)}
        tallies = {"before": list(astuple(self.before)), "since": list(astuple(self.since))}
        plain |= {"models": models, "fault": self.fault, "refused": self.refused, **tallies}
        return _packed({**plain, "lacking": [list(astuple(each)) for each in self.lacking]})

    @classmethod
    def read(cls, value: bytes) -> Observed:
        """From the board. Raises ``NotUnderstood``."""
        return _read(value, "what a node has seen", cls._of)

    @classmethod
    def _of(cls, v: Mapping[str, Any]) -> Observed:
        models = None if v["models"] is None else tuple(map(str, v["models"]))
        agents = tuple(map(str, v["agents"]))
        plain = str(v["node"]), int(v["epoch"]), int(v["generation"]), agents, models, str(v.get("fault", ""))
        lacking = tuple(AgentServing(*map(str, each)) for each in v.get("lacking", ()))
        return cls(*plain, int(v.get("refused", 0)), _tally(v.get("before")), _tally(v.get("since")), lacking)


def _tally(value: Any) -> Tally:
    if value is None:
        return NO_TALLY
    requests, errors, p95 = value
    return Tally(int(requests), int(errors), float(p95))


def _packed(value: Mapping[str, Any]) -> bytes:
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    if len(plain) < LARGE:
        return plain
    import lzma  # its window is a megabyte: zlib's holds two templates, and most manifests have more

    return _COMPRESSED + base64.b64encode(lzma.compress(plain, preset=1))


def _unpacked(value: bytes) -> bytes:
    """Raises ``ValueError``."""
    if not value.startswith(_COMPRESSED):
        return value
    import lzma

    try:
        unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST)
        plain = unpack.decompress(base64.b64decode(value[1:], validate=True), MOST)
    except lzma.LZMAError as error:
        raise ValueError(str(error)) from error
    if not unpack.eof:
        raise ValueError("it is cut off, or larger than it may be")
    return plain


def _read(value: bytes, what: str, make: Callable[[Mapping[str, Any]], Made]) -> Made:
    try:
        return make(json.loads(_unpacked(value)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotUnderstood(f"{what} on the board is broken: {type(error).__name__}", cure="apply again") from error
