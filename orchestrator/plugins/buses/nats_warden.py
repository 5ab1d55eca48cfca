"""Ending connections that a hub would keep: a key that is taken out of its configuration is refused from then on, but a leaf that
is connected with it stays connected (nats-server 2.15.1; ordinary clients are ended).

Which key a leaf came with the server does not tell, and a leaf may give itself any name. So all of them are ended; those that may
come back do so within a second.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import anyio
import nats.errors
from nats.aio.client import Client

from orchestrator.plugins.buses.nats_faults import translated
from orchestrator.plugins.buses.nkey import NKey
from orchestrator.ports.bus import BusDown

PATIENCE: Final = 10.0
"""Seconds for all of it: a server that reads its configuration anew may drop who just comes."""
_ANSWER: Final = 2.0


async def end_leaves(url: str, warden: NKey, loaded_after: float = 0.0) -> int:
    """End every leaf's connection to the hub at this address of loopback, once it goes by a configuration that it read after that
    time (seconds since 1970); gives how many there were. Raises ``BusDown``."""
    with anyio.move_on_after(PATIENCE):
        while True:
            with suppress(BusDown):  # it is tried again, until the time is over
                return await _ended(url, warden, loaded_after)
            await anyio.sleep(0.1)
    return await _ended(url, warden, loaded_after)


async def _ended(url: str, warden: NKey, loaded_after: float) -> int:
    client = Client()
    client._public_nkey = warden.public
    with translated("end the connections of leaves"):
        try:
            await client.connect(
                url,
                error_cb=_told,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                connect_timeout=round(_ANSWER),
                signature_cb=warden.sign,
            )
            server = await _asked(client, "$SYS.REQ.SERVER.PING.VARZ")
            loaded = datetime.fromisoformat(server["data"]["config_load_time"]).timestamp()
            if loaded < loaded_after:
                raise BusDown("the hub's server has not read its new configuration yet", cure="see its log")
            found = await _asked(client, "$SYS.REQ.SERVER.PING.LEAFZ")
            leaves = [each["id"] for each in found["data"].get("leafs") or ()]
            for leaf in leaves:
                await _asked(client, f"$SYS.REQ.SERVER.{found['server']['id']}.KICK", {"cid": leaf})
        finally:
            with suppress(nats.errors.Error, OSError):  # it is left all the same
                await client.close()
    return len(leaves)


async def _told(_error: Exception) -> None:
    """What goes wrong is raised as well; the library would print it."""


async def _asked(client: Client, subject: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
    body = json.dumps(question or {}).encode()
    answer: dict[str, Any] = json.loads((await client.request(subject, body, _ANSWER)).data)
    return answer
