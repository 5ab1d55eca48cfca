"""What this machine is in a fleet: a small folder of private files in the state folder."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.app.fleet.address import check_address, check_ports
from orchestrator.app.fleet.certificates import Authority, new_request
from orchestrator.app.fleet.keys import OperatorKey, new_seed, write_private
from orchestrator.app.fleet.ledger import Ledger, Member
from orchestrator.core.errors import StateUnusable, UsageError
from orchestrator.core.fleet_errors import FleetError
from orchestrator.deploy.free_port import free_ports
from orchestrator.node.worker import Work
from orchestrator.plugins.sidecars.nats_conf import Tls, is_loopback

LINK_PORT: Final = 7422
ENROL_PORT: Final = 7423
LOCALHOST: Final = "127.0.0.1"
_NODE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED: Final = ("hub", "keeper", "warden", "canary")


@dataclass(frozen=True, slots=True)
class Membership:
    """Of which ``fleet`` this machine is which ``node``. ``hubs`` are where leaves come to, ``enrol`` where new nodes and those
    that leave ask (host:port). Ports are on loopback. ``insecure``: plain links, on this machine only. ``operator``: the public key
    that manifests must be signed with. ``work``: what it shall take of the fleet's."""

    fleet: str
    node: str
    hub: bool
    hubs: tuple[str, ...]
    enrol: tuple[str, ...]
    operator: str
    leaf_port: int
    hub_port: int = 0
    insecure: bool = False
    work: Work = "shared"
    since: float = 0.0


_BRING: Final = "on the first node `orchestrator node operator` says where the key is"


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """The files. All are for this user alone."""

    path: Path

    @property
    def tls(self) -> Tls:
        """The certificate of this node, its key, and the fleet's authority."""
        return Tls(self.path / "node.pem", self.path / "node.key", self.path / "ca.pem")

    @property
    def fresh_key(self) -> Path:
        """A key that is being put in place of the node's."""
        return self.path / "node.key.fresh"

    @property
    def authority_key(self) -> Path:
        """The key of the authority; on the first node only."""
        return self.path / "ca.key"

    @property
    def operator_key(self) -> Path:
        """The key that manifests are signed with; on the first node, and where the operator brings it."""
        return self.path / "operator.key"

    def seed(self, name: str) -> Path:
        """The seed of an NKey: ``link`` (to the hub), ``engine`` (to the own leaf), and on a hub ``keeper`` and ``warden``."""
        return self.path / f"{name}.seed"

    @property
    def store_key(self) -> Path:
        """What a hub's store is encrypted with."""
        return self.path / "store.key"

    @property
    def servers(self) -> Path:
        """Configuration, logs and records of the servers."""
        return self.path / "servers"

    @property
    def store(self) -> Path:
        """What a hub keeps."""
        return self.path / "store"

    @property
    def ledger(self) -> Ledger:
        """A hub's list of nodes and tokens."""
        return Ledger(self.path / "ledger.json")

    def read(self) -> Membership | None:
        """What this machine is; ``None`` where it belongs to no fleet. Raises ``StateUnusable`` for a file that cannot be read."""
        file = self.path / "fleet.json"
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
            return Membership(**value | {"hubs": tuple(value["hubs"]), "enrol": tuple(value["enrol"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StateUnusable(f"{file} cannot be read: {error}", cure="orchestrator node leave --force") from error

    def member(self) -> Membership:
        """What this machine is. Raises ``FleetError`` where it belongs to no fleet."""
        found = self.read()
        if found is None:
            raise FleetError(
                "this machine belongs to no fleet", cure="orchestrator node init, or orchestrator node join TOKEN"
            )
        return found

    def write(self, membership: Membership) -> None:
        """From here on this machine is that."""
        write_private(self.path / "fleet.json", json.dumps(asdict(membership), indent=1))

    def forget(self) -> None:
        """It belongs to no fleet any more; keys go with it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def check_free(self) -> None:
        """Raises ``FleetError`` where this machine belongs to a fleet already."""
        found = self.read()
        if found is not None:
            raise FleetError(
                f"this machine is node {found.node} of fleet {found.fleet} already",
                cure="orchestrator node leave, if it shall belong to another one",
            )


@dataclass(frozen=True, slots=True)
class FirstNode:
    """How a fleet begins: the name of its first node, the ``address`` by which others reach it, and its two ports."""

    node: str
    address: str = LOCALHOST
    link_port: int = LINK_PORT
    enrol_port: int = ENROL_PORT
    insecure: bool = False


def begin_fleet(folder: FleetFolder, first: FirstNode) -> Membership:
    """Make this machine the first node and the hub of a new fleet: authority, keys, certificate, ledger. Raises ``FleetError``."""
    folder.check_free()
    check_node(first.node)
    check_address(first.address)
    check_ports({"--port": (first.link_port, LINK_PORT), "--enrol-port": (first.enrol_port, ENROL_PORT)})
    if first.insecure and not is_loopback(f"{first.address}:0"):
        raise FleetError(
            f"--insecure-local is for this machine alone, and others reach {first.address}",
            cure="leave --insecure-local out: certificates are made by themselves; or leave --address out",
        )
    fleet, operator = secrets.token_hex(4), OperatorKey.new()
    authority = Authority.new(fleet)
    authority.write(folder.tls.authority, folder.authority_key)
    operator.write(folder.operator_key)
    names = _names(first.address)
    write_private(folder.tls.certificate, authority.sign(new_request(folder.tls.key, first.node), first.node, names))
    for name in ("engine", "keeper", "warden"):
        new_seed(folder.seed(name))
    write_private(folder.store_key, f"k{secrets.token_hex(32)}")
    member = Member(new_seed(folder.seed("link")).public, time.time(), leads=True)
    folder.ledger.begin(first.node, member)
    leaf_port, hub_port = free_ports(LOCALHOST, 2, but=(first.link_port, first.enrol_port))
    membership = Membership(
        fleet=fleet,
        node=first.node,
        hub=True,
        hubs=(_joined(first.address, first.link_port),),
        enrol=(_joined(first.address, first.enrol_port),),
        operator=operator.public,
        leaf_port=leaf_port,
        hub_port=hub_port,
        insecure=first.insecure,
        since=time.time(),
    )
    folder.write(membership)
    return membership


def names_of_hub(membership: Membership) -> tuple[str, ...]:
    """The addresses that a hub's certificate is for."""
    return _names(membership.hubs[0].rpartition(":")[0].strip("[]"))


def check_node(name: str) -> None:
    """Raises ``UsageError`` for what cannot be a node's name."""
    if not _NODE.fullmatch(name) or name in _RESERVED:
        raise UsageError(
            f"{name!r} cannot be the name of a node",
            cure="write up to 63 letters a-z, digits and -, as in the manifest; for example --name edge-1",
        )


def node_name(hostname: str) -> str:
    """A node's name from that of a machine: its first word, what does not fit left out."""
    word = re.sub(r"[^a-z0-9-]+", "-", hostname.lower().partition(".")[0]).strip("-")[:63].strip("-")
    return word if word and word not in _RESERVED else "node-1"


def as_shown(membership: Membership) -> dict[str, Any]:
    """What may be printed of it: there is no secret in it."""
    return asdict(membership)


def _names(address: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((address, LOCALHOST, "localhost")))


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def take_operator_key(folder: FleetFolder, text: str) -> Membership:
    """Put the operator's key, as it stands in its file, where this node signs with it. Raises ``FleetError`` for another key, or on
    a machine that belongs to no fleet."""
    membership = folder.member()
    try:
        key = OperatorKey.of(text.strip())
    except ValueError:
        raise FleetError("this is no operator's key: one is 64 hexadecimal digits", cure=_BRING) from None
    if key.public != membership.operator:
        raise FleetError(f"this is the key of another operator than that of fleet {membership.fleet}", cure=_BRING)
    key.write(folder.operator_key)
    return membership
