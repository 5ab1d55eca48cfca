"""What the board holds: the manifest that is wanted, who is to hold what, and what each node has seen of itself. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from orchestrator.core.errors import NotUnderstood
from orchestrator.plan.placement import Assignment

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
    anew when the store is deleted. ``signature`` is that of who may apply."""

    generation: int
    blueprint: Mapping[str, Any]
    signature: str = ""

    def written(self) -> bytes:
        """As it is on the board."""
        return _packed({"generation": self.generation, "blueprint": self.blueprint, "signature": self.signature})

    @classmethod
    def read(cls, value: bytes) -> Desired:
        """From the board. Raises ``NotUnderstood``."""
        return _read(
            value, "the manifest", lambda v: cls(int(v["generation"]), dict(v["blueprint"]), str(v["signature"]))
        )


@dataclass(frozen=True, slots=True)
class Assigned:
    """Who is to hold what, for which generation, decided by the leader of which epoch."""

    generation: int
    epoch: int
    assignment: Assignment

    def written(self) -> bytes:
        """As it is on the board."""
        return _packed({"generation": self.generation, "epoch": self.epoch, **self.assignment.as_json()})

    @classmethod
    def read(cls, value: bytes) -> Assigned:
        """From the board. Raises ``NotUnderstood``."""
        return _read(
            value, "the assignment", lambda v: cls(int(v["generation"]), int(v["epoch"]), Assignment.from_json(v))
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """What a node says of itself: its incarnation, the generation that it serves, the agents that it answers for, and the
    aliases whose models it has (``None``: it does not know)."""

    node: str
    epoch: int
    generation: int
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)

    def written(self) -> bytes:
        """As it is on the board."""
        models = None if self.models is None else list(self.models)
        plain = {"node": self.node, "epoch": self.epoch, "generation": self.generation, "agents": list(self.agents)}
        return _packed({**plain, "models": models, "conditions": dict(self.conditions)})

    @classmethod
    def read(cls, value: bytes) -> Observed:
        """From the board. Raises ``NotUnderstood``."""
        return _read(value, "what a node has seen", cls._of)

    @classmethod
    def _of(cls, v: Mapping[str, Any]) -> Observed:
        models = None if v["models"] is None else tuple(map(str, v["models"]))
        agents = tuple(map(str, v["agents"]))
        return cls(str(v["node"]), int(v["epoch"]), int(v["generation"]), agents, models, dict(v["conditions"]))


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
