"""Keys of a fleet, and what the operator's key signs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from orchestrator.core.errors import StateUnusable
from orchestrator.core.fleet_errors import FleetError, NotSigned
from orchestrator.plugins.buses.nkey import NKey
from orchestrator.plugins.secrets import read_private
from orchestrator.ports.durable import write_durably
from orchestrator.ports.host import make_private

PURPOSE: Final = b"orchestrator-manifest-v1\0"
"""Stands before all that is signed: a signature for this is none for anything else."""


def canonical(value: Any) -> bytes:
    """The one way to write a value as JSON: keys in order, no spaces, UTF-8. Raises ``ValueError`` for what JSON has not."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class OperatorKey:
    """The ed25519 key of whoever may say what a fleet runs."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def new(cls) -> OperatorKey:
        """A fresh one."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, file: Path) -> OperatorKey:
        """From its file. Raises ``DeployError``."""
        return cls.of(read_private("the operator's key", file))

    @classmethod
    def of(cls, text: str) -> OperatorKey:
        """From 64 hexadecimal digits. Raises ``ValueError``."""
        return cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text)))

    def write(self, file: Path) -> None:
        """Into a file of its own, for nobody else to read."""
        write_private(file, self._key.private_bytes_raw().hex())

    @property
    def public(self) -> str:
        """By what its signatures are checked: 64 hexadecimal digits."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, value: Any) -> str:
        """The signature of a value, in base64."""
        return base64.b64encode(self._key.sign(PURPOSE + canonical(value))).decode()


def check_signature(public: str, value: Any, signature: str) -> None:
    """Raises ``NotSigned`` unless the key ``public`` has signed exactly this value."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(base64.b64decode(signature, validate=True), PURPOSE + canonical(value))
    except (InvalidSignature, ValueError):
        raise NotSigned(
            "the manifest is not signed by the operator of this fleet, or was changed since",
            cure="apply it again where the operator's key is, on the first node of the fleet",
        ) from None


def write_private(file: Path, text: str) -> None:
    """In place of what was there, at once and durably, with mode 0600. Raises ``StateUnusable``."""
    try:
        make_private(file.parent)
        write_durably(file, text.encode())
    except OSError as error:
        raise StateUnusable(f"{file} cannot be written: {error.strerror}", cure="is the disk full?") from error


def new_seed(file: Path) -> NKey:
    """A fresh NKey whose seed is in that file."""
    key = NKey.new()
    write_private(file, key.seed)
    return key


def read_seed(file: Path) -> NKey:
    """The NKey of a file. Raises ``FleetError`` where it holds none."""
    try:
        return NKey.from_seed(read_private(f"the key {file.name}", file).strip())
    except ValueError as error:
        raise FleetError(f"{file}: {error}", cure="leave the fleet and join it again") from error
