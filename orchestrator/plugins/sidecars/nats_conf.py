"""The configuration of the two NATS servers of a fleet, as text: a leaf on every device, a hub on one or three.

No secret stands in it: what is secret is a reference to a variable of the server's environment. ``local.>`` never leaves a device.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.plugins.sidecars.nats_rights import Rights

ACCOUNT: Final = "FLEET"
DOMAIN: Final = "hub"
"""The name of the hub's JetStream. Clients name it in what they ask: that a leaf maps the usual subjects to it
(``default_js_domain``) is to be removed from the server."""
LEAF_SEED: Final = "FLEET_LEAF_SEED"
STORE_KEY: Final = "FLEET_STORE_KEY"
"""Variables of the servers' environment that hold secrets."""
PING_SECONDS, PINGS, WRITE_SECONDS, RECONNECT_MS = 1, 2, 2, 500
"""A server that hangs is left within three seconds; with the usual two minutes it got half of the traffic as long as it hung."""
LARGEST: Final = "1MB"
STORE_LIMIT: Final = "512MB"
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a node: its certificate, the key to it, and the authority that all certificates of the fleet come from."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class Leaf:
    """The leaf of a device: the ``port`` on loopback for the ``engine`` (a public NKey), and the ``hubs`` that it goes to
    (host:port). Without ``tls`` the link is plain, for loopback only."""

    node: str
    port: int
    engine: str
    hubs: tuple[str, ...]
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub: ``listen`` is where leaves come to (host:port), ``port`` is for its own device, with the keys of its ``keeper``, who
    may do everything in the fleet, and of its ``warden``, who may end connections. ``members`` are the nodes that may come, each
    with what it may do."""

    node: str
    listen: str
    port: int
    keeper: str
    warden: str
    store: Path
    members: tuple[Rights, ...] = ()
    tls: Tls | None = None
    monitor: int = 0


def leaf_text(leaf: Leaf) -> str:
    """What stands in the configuration of a leaf. Raises ``ValueError`` for a plain link to another device."""
    scheme = "tls" if leaf.tls else "nats-leaf"
    if leaf.tls is None:
        for hub in leaf.hubs:
            _check_loopback(hub)
    urls = [f"{scheme}://{hub}" for hub in leaf.hubs]
    remote = [
        f"urls: {json.dumps(urls)}",
        f"account: {ACCOUNT}",
        f"nkey: ${LEAF_SEED}",
        *([f"tls {_tls(leaf.tls)}"] if leaf.tls else []),
        'deny_exports: ["local.>"]',
        'deny_imports: ["local.>"]',
    ]
    return _lines(
        *_head(leaf.node, leaf.port),
        f"accounts {{ {ACCOUNT} {{ users: [ {{ nkey: {leaf.engine} }} ] }} }}",
        f'leafnodes {{ reconnect: "{RECONNECT_MS}ms", remotes: [ {{',
        *(f"  {line}" for line in remote),
        "} ] }",
    )


def hub_text(hub: Hub) -> str:
    """What stands in the configuration of a hub. Raises ``ValueError`` for a plain link on an address that others reach."""
    if hub.tls is None:
        _check_loopback(hub.listen)
    users = [f"{{ nkey: {hub.keeper} }}", *(_user(each) for each in hub.members)]
    return _lines(
        *_head(f"{hub.node}-hub", hub.port),
        *([f"http: 127.0.0.1:{hub.monitor}"] if hub.monitor else []),
        f"jetstream {{ store_dir: {json.dumps(str(hub.store))}, domain: {DOMAIN}, sync_interval: always",
        f"  max_mem: 32MB, max_file: {STORE_LIMIT}, cipher: aes, key: ${STORE_KEY} }}",
        f"leafnodes {{ listen: {json.dumps(hub.listen)}",
        *([f"  tls {_tls(hub.tls, verify=True)}"] if hub.tls else []),
        "}",
        "system_account: SYS",
        f"accounts {{ SYS {{ users: [ {{ nkey: {hub.warden} }} ] }}, {ACCOUNT} {{ jetstream: enabled, users: [",
        *(f"  {user}" for user in users),
        "] } }",
    )


def is_loopback(address: str) -> bool:
    """Whether only this device reaches it (``host:port``)."""
    return address.rpartition(":")[0].strip("[]") in _LOOPBACK


def _check_loopback(address: str) -> None:
    if not is_loopback(address):
        raise ValueError(f"a link without certificates is for this device only, and {address} is not on it")


def _head(name: str, port: int) -> tuple[str, ...]:
    return (
        f"server_name: {json.dumps(name)}",
        f"listen: 127.0.0.1:{port}",
        f'ping_interval: "{PING_SECONDS}s"',
        f"ping_max: {PINGS}",
        f'write_deadline: "{WRITE_SECONDS}s"',
        f"max_payload: {LARGEST}",
        "max_pending: 8MB",
    )


def _tls(tls: Tls, *, verify: bool = False) -> str:
    files = {"cert_file": tls.certificate, "key_file": tls.key, "ca_file": tls.authority}
    parts = [f"{name}: {json.dumps(str(path))}" for name, path in files.items()]
    return f"{{ {', '.join([*parts, *(['verify: true'] if verify else []), _TLS13])} }}"


_TLS13: Final = 'min_version: "1.3"'


def _user(rights: Rights) -> str:
    permissions = f"publish: {_allow(rights.publish)}, subscribe: {_allow(rights.subscribe)}"
    return f"{{ nkey: {rights.key}, permissions {{ {permissions} }} }}"


def _allow(subjects: Iterable[str]) -> str:
    return f"{{ allow: {json.dumps(list(subjects))} }}"


def _lines(*lines: str) -> str:
    return "\n".join([*lines, ""])
