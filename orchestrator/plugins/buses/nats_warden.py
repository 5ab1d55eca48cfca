"""Ending connections that a hub would keep: a key that is taken out of its configuration is refused from then on, but a leaf that
is connected with it stays connected (nats-server 2.15.1; ordinary clients are ended).

Which key a leaf came with the server does not tell, and a leaf may give itself any name. So all of them are ended; those that may
come back do so within a second.
"""

from __future__ import annotations

import json
from typing import Any

from nats.aio.client import Client

from orchestrator.plugins.buses.nats_connection import NatsOptions
from orchestrator.plugins.buses.nats_faults import translated
from orchestrator.plugins.buses.nkey import NKey


async def end_leaves(url: str, warden: NKey) -> int:
    """End every leaf's connection to the hub at this address of loopback; gives how many there were. Raises ``BusDown``."""
    client, options = Client(), NatsOptions("warden", (url,), warden)
    client._public_nkey = warden.public
    with translated("end the connections of leaves"):
        await client.connect(
            url,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            connect_timeout=round(options.patience),
            signature_cb=warden.sign,
        )
        try:
            found = await _asked(client, "$SYS.REQ.SERVER.PING.LEAFZ", {}, options.patience)
            leaves = [each["id"] for each in found["data"].get("leafs") or ()]
            for leaf in leaves:
                await _asked(client, f"$SYS.REQ.SERVER.{found['server']['id']}.KICK", {"cid": leaf}, options.patience)
        finally:
            await client.close()
    return len(leaves)


async def _asked(client: Client, subject: str, question: dict[str, Any], patience: float) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await client.request(subject, json.dumps(question).encode(), patience)).data)
    return answer
