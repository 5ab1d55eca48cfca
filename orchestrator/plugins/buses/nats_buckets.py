"""The buckets of shared state: what each is like, made idempotently and read back.

A bucket is a stream of JetStream in the layout of its key-value stores, so that the tools of NATS read it. Every write that was
accepted is published once more as a plain message (``republish``): who watches only listens to these. A watch by a consumer of
JetStream, as libraries do it, was silent for 16 s after a restart of the hub, and each reconnection may leave a consumer behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RePublish, StorageType, StreamConfig, StreamInfo
from nats.js.errors import NotFoundError

from orchestrator.plugins.buses.nats_faults import translated
from orchestrator.ports.bus import BusDown

NEWS: Final = "orc.kv"
"""Where accepted writes are published: ``orc.kv.OBSERVED.<key>``."""
LARGEST_VALUE: Final = 768 * 1024
"""Bytes of a value. A manifest has at most 512 KB."""


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """``history``: how many values of a key are kept; ``ttl``: seconds until an entry expires; ``marker``: seconds for which it is
    remembered that it did; ``limit``: bytes of the whole bucket."""

    history: int
    limit: int
    ttl: float = 0.0
    marker: float = 0.0


CANARY: Final = "canary"
"""A bucket of the hub's own, which it tries to write and to read."""
BUCKETS: Final[Mapping[str, BucketSpec]] = {
    "desired": BucketSpec(history=16, limit=256 * 1024 * 1024),
    "observed": BucketSpec(history=1, limit=64 * 1024 * 1024, ttl=600.0),
    # What is forgotten looks like a store that was deleted, and is taken over as carefully: an agent that nobody can hold for a
    # while, as its node is cut off, is not to look so.
    "lease": BucketSpec(history=1, limit=1024 * 1024, ttl=6.0, marker=86_400.0),
    CANARY: BucketSpec(history=1, limit=64 * 1024),
}


def stream_of(bucket: str) -> str:
    """The name of its stream."""
    return f"KV_{bucket.upper()}"


def news_of(bucket: str) -> str:
    """What the subjects of its news begin with."""
    return f"{NEWS}.{bucket.upper()}."


def config_of(bucket: str, replicas: int) -> StreamConfig:
    """Its stream, as it shall be."""
    spec, subjects = BUCKETS[bucket], f"$KV.{bucket.upper()}.>"
    return StreamConfig(
        name=stream_of(bucket),
        subjects=[subjects],
        max_msgs_per_subject=spec.history,
        max_age=spec.ttl or None,
        max_bytes=spec.limit,
        max_msg_size=LARGEST_VALUE,
        subject_delete_marker_ttl=spec.marker or None,
        allow_msg_ttl=True,
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        duplicate_window=min(120.0, spec.ttl or 120.0),
        republish=RePublish(src=subjects, dest=f"{news_of(bucket)}>"),
    )


async def prepare(jetstream: JetStreamContext, replicas: int) -> tuple[str, ...]:
    """Make those that are missing, and read all back; gives those that were made. Raises ``BusDown``, also for one that is not as
    it shall be: an acknowledged creation has come back without its settings after a crash."""
    return tuple([bucket for bucket in BUCKETS if await _made(jetstream, bucket, replicas)])


async def _made(jetstream: JetStreamContext, bucket: str, replicas: int) -> bool:
    wanted, made = config_of(bucket, replicas), False
    doing = f"make the bucket {bucket}"
    with translated(doing):
        try:
            found = await jetstream.stream_info(stream_of(bucket))
        except NotFoundError:
            await jetstream.add_stream(wanted)
            made = True
            found = await jetstream.stream_info(stream_of(bucket))
        if found.config.allow_msg_ttl and found.config.subject_delete_marker_ttl != wanted.subject_delete_marker_ttl:
            # Of another version, which remembered for another time.
            await jetstream.update_stream(
                found.config.evolve(subject_delete_marker_ttl=wanted.subject_delete_marker_ttl)
            )
            found = await jetstream.stream_info(stream_of(bucket))
    if wrong := differences(wanted, found):
        raise BusDown(
            f"{doing}: it is there, but not as it shall be ({wrong})",
            cure=f"remove its stream {stream_of(bucket)} on the hub; it is made anew, and filled from the nodes",
        )
    return made


def differences(wanted: StreamConfig, found: StreamInfo) -> str:
    """What of a stream is not as it shall be, in words; empty where all is."""
    pairs = {
        name: (getattr(wanted, name) or None, getattr(found.config, name) or None)
        for name in ("subjects", "max_msgs_per_subject", "max_age", "subject_delete_marker_ttl", "num_replicas")
    }
    told = [f"{name} {has}, not {shall}" for name, (shall, has) in pairs.items() if shall != has]
    if found.config.republish is None:
        told.append("accepted writes are not published")
    return ", ".join(told)
