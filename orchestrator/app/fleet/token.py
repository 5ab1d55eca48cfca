"""The token of a join: one word that holds where the hub is, the fingerprint of the fleet's authority, and a secret.

``orc1-`` and base64 of: 32 bytes of the fingerprint, 16 of the secret, the addresses, and 4 bytes by which a slip is seen.
``orc0-`` is that of a fleet without certificates, on one machine.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.fleet_errors import TokenRefused
from orchestrator.plugins.sidecars.nats_conf import is_loopback

_SECURE, _PLAIN = "orc1-", "orc0-"
_FINGERPRINT, _SECRET, _CHECK = 32, 16, 4
_NOT_WHOLE: Final = "copy the whole line that `orchestrator node init` or `orchestrator node invite` printed"


@dataclass(frozen=True, slots=True)
class Token:
    """``enrol``: where to ask (host:port). ``fingerprint`` of the authority; none where links are plain."""

    enrol: tuple[str, ...]
    secret: bytes = field(repr=False)
    fingerprint: bytes = b""

    @property
    def insecure(self) -> bool:
        """Whether the fleet has plain links."""
        return not self.fingerprint

    def text(self) -> str:
        """As it is typed."""
        raw = (self.fingerprint or bytes(_FINGERPRINT)) + self.secret + ",".join(self.enrol).encode()
        word = base64.urlsafe_b64encode(raw + _check(raw)).decode().rstrip("=")
        return (_PLAIN if self.insecure else _SECURE) + word

    @classmethod
    def read(cls, text: str) -> Token:
        """From what was typed. Raises ``TokenRefused``, which does not tell it."""
        kind, word = text.strip()[:5], text.strip()[5:]
        if kind not in (_SECURE, _PLAIN):
            raise TokenRefused("this is no token of a fleet: those begin with orc1-", cure=_NOT_WHOLE)
        try:
            whole = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
            raw, check = whole[:-_CHECK], whole[-_CHECK:]
            enrol = tuple(raw[_FINGERPRINT + _SECRET :].decode("ascii").split(","))
        except ValueError:
            raise TokenRefused("the token is not whole", cure=_NOT_WHOLE) from None
        if check != _check(raw) or not all(":" in each for each in enrol):
            raise TokenRefused("the token is not whole, or has a slip", cure=_NOT_WHOLE)
        fingerprint = raw[:_FINGERPRINT] if kind == _SECURE else b""
        token = cls(enrol, raw[_FINGERPRINT : _FINGERPRINT + _SECRET], fingerprint)
        if token.insecure and not all(map(is_loopback, enrol)):
            raise TokenRefused(
                "this token is of a fleet without certificates, which is for one machine, and its hub is on another one",
                cure="begin the fleet without --insecure-local",
            )
        return token


def _check(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:_CHECK]
