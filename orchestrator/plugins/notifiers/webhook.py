"""A webhook: one POST with a small JSON body, signed where a secret is given."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.core.errors import DeployError
from orchestrator.core.hosts import distance_of_url
from orchestrator.ports.people import Notice, notice_words

SIGNATURE: Final = "x-orchestrator-signature"
PATIENCE: Final = 10.0
"""Seconds that the server may take in all."""
_REFERENCES: Final = ("env:", "file:", "keyring:")


def open_webhook(options: Mapping[str, Any], reveal: Callable[[str], str]) -> Webhook:
    """Open it. Raises ``DeployError`` where the address or the secret cannot be used."""
    url = str(options.get("url", ""))
    url = reveal(url) if url.startswith(_REFERENCES) else url
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise DeployError("the webhook has no http address", cure="mend people.notify.webhook.url")
    if scheme == "http" and distance_of_url(url) == "cloud":
        raise DeployError("the webhook is not in the local network and has no https", cure="use an https address")
    secret = options.get("secret")
    return Webhook(url, reveal(str(secret)).encode() if secret else b"")


class Webhook:
    """Fits the port ``Notifier``. Its errors never hold the address: of many services the address is the secret."""

    def __init__(self, url: str, secret: bytes) -> None:
        self._url = url
        self._secret = secret

    async def tell(self, notice: Notice) -> None:
        """Post it; any 2xx will do. Redirects are not followed."""
        from aiohttp import ClientError, ClientSession, ClientTimeout

        body = json.dumps(notice_words(notice.approval)).encode()
        headers = {"content-type": "application/json", "idempotency-key": notice.approval.id}
        if self._secret:
            headers[SIGNATURE] = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=PATIENCE)) as http,
                http.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
        except (ClientError, TimeoutError, ValueError) as error:
            # Not chained: the library's error names the address.
            raise DeployError(f"the webhook cannot be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise DeployError(f"the webhook answered {status}")
