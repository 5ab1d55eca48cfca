"""What each node of a fleet may say and hear, as the hub holds it.

A NATS wildcard stands for whole words only: ``_INBOX_*`` fits nothing, and replies would time out without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KEEPER: Final = "keeper"
"""The user of the hub's own device: it makes the buckets, and tries them. It comes from loopback only, and may do everything."""
_API: Final = "$JS.hub.API"


@dataclass(frozen=True, slots=True)
class Rights:
    """The public ``key`` of a node, and the subjects that it may ``publish`` and ``subscribe`` to."""

    key: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def rights_of(node: str, key: str, *, leads: bool = False) -> Rights:
    """Those of a node. One that ``leads`` (a hub's device) may also write what is wanted, and order others about."""
    publish = [
        f"orc.v1.*.hb.{node}",
        "orc.v1.*.call.*.>",
        "orc.v1.*.any.>",
        "orc.v1.*.cancel.*.>",
        "orc.v1.*.job.>",
        "orc.v1.*.res.*",
        f"orc.v1.*.esc.{node}",
        f"orc.v1.*.evt.{node}.>",
        "_INBOX.*.>",
        f"{_API}.$KV.OBSERVED.*.{node}",
        f"{_API}.$KV.LEASE.>",
        f"{_API}.STREAM.INFO.*",
        f"{_API}.DIRECT.GET.*",
        f"{_API}.DIRECT.GET.*.>",
    ]
    subscribe = [
        "orc.v1.*.hb.*",
        f"orc.v1.*.call.{node}.>",
        f"orc.v1.*.cancel.{node}.>",
        f"orc.v1.*.ctl.{node}",
        f"orc.v1.*.res.{node}",
        "orc.v1.*.any.>",
        "orc.v1.*.job.>",
        "orc.v1.*.esc.*",
        "orc.v1.*.evt.>",
        f"_INBOX.{node}.>",
        "orc.kv.>",
    ]
    if leads:
        publish += ["orc.v1.*.ctl.*", f"{_API}.$KV.DESIRED.>"]
    return Rights(key, tuple(publish), tuple(subscribe))
