"""NKeys: how a client or a server proves to a NATS server who it is, by an ed25519 signature of the server's nonce.

The text forms are those of NATS (its architecture decision 14): base32 of a prefix, the 32 bytes of the key, and a CRC-16. Written
here over ``cryptography``: the library ``nkeys`` is a source archive that every installation would build, and brings libsodium.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_SEED: Final = 18 << 3
_USER: Final = 20 << 3


@dataclass(frozen=True, slots=True)
class NKey:
    """The key of a user. ``seed`` is secret: it is never printed."""

    public: str
    seed: str = field(repr=False)

    @classmethod
    def new(cls) -> NKey:
        """A fresh one."""
        return cls.from_seed(_written_seed(Ed25519PrivateKey.generate().private_bytes_raw()))

    @classmethod
    def from_seed(cls, seed: str) -> NKey:
        """The key that a seed begins. Raises ``ValueError``, which does not tell the text."""
        public = Ed25519PrivateKey.from_private_bytes(_raw_seed(seed)).public_key().public_bytes_raw()
        return cls(_written(bytes([_USER]) + public), seed)

    def sign(self, nonce: str) -> bytes:
        """What a client answers to a nonce: the signature in base64, as ``nats-py`` wants it."""
        key = Ed25519PrivateKey.from_private_bytes(_raw_seed(self.seed))
        return base64.b64encode(key.sign(nonce.encode()))


def verifies(public: str, signature: bytes, signed: bytes) -> bool:
    """Whether the holder of this public key has signed that (``signature`` in base64)."""
    try:
        key = Ed25519PublicKey.from_public_bytes(_raw_public(public))
        key.verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_public(text: str) -> bool:
    """Whether it is the public key of a user, written without a slip."""
    try:
        _raw_public(text)
    except ValueError:
        return False
    return True


def _written_seed(raw: bytes) -> str:
    return _written(bytes([_SEED | _USER >> 5, (_USER & 31) << 3]) + raw)


def _written(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _read(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raise ValueError("this is no NKey: it is not base32") from None  # the text may be the secret
    if len(raw) < 3 or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise ValueError("this is no NKey, or one with a slip: its checksum does not fit")
    return raw[:-2]


def _raw_seed(seed: str) -> bytes:
    raw = _read(seed)
    if len(raw) != 34 or raw[0] & 0xF8 != _SEED or (raw[0] & 7) << 5 | raw[1] >> 3 != _USER:
        raise ValueError("this is no seed of a user's NKey")
    return raw[2:]


def _raw_public(text: str) -> bytes:
    raw = _read(text)
    if len(raw) != 33 or raw[0] != _USER:
        raise ValueError("this is no public NKey of a user")
    return raw[1:]
