"""How far away a host is. The one place that says where data goes: what checks a manifest and what runs it must agree. Pure."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal
from urllib.parse import urlsplit

Distance = Literal["node", "lan", "cloud"]
_LAN_ENDS: Final = (".local", ".lan", ".home.arpa", ".internal")
_LAN: Final = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"))
)
"""RFC 1918, 3927, 4193 and 4291. What else is not routed (for tests of throughput, for documents, no address at all) is nobody's
network: proxies answer there."""
_METADATA: Final = frozenset(map(ip_address, ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254")))
"""Where a machine in a data centre asks its owner's cloud about itself."""
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)


def distance_of_url(url: str) -> Distance:
    """How far away the host of an address is; ``cloud`` where it has none that can be read."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "cloud"
    return distance_of_host(host)


def distance_of_host(host: str) -> Distance:
    """This device, the local network, or the internet; what cannot be told for sure counts as the internet."""
    name = _as_resolved(host)
    try:
        return _distance_of_address(name)
    except ValueError:
        return _distance_of_name(name)


def fault_of_url(url: str) -> str:
    """Why nobody can be called at an address of the form ``http://host:port/path``; empty where somebody can."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "its brackets are not those of a number of IPv6"
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "its port is no number from 1 to 65535"
    if not parts.hostname:
        return "it names no host"
    try:
        # What resolvers are given: a part that is empty or longer than 63 letters has no such form (RFC 1035, 2.3.4).
        parts.hostname.encode("idna")
    except UnicodeError:
        return "its host is no name that a network can know"
    return ""


def in_url(host: str) -> str:
    """As it stands in an address: a number of IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def is_named(url: str) -> bool:
    """Whether the host of an address is a name, whose meaning the network decides, and no number."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    name = _as_resolved(host)
    try:
        ip_address(name)
    except ValueError:
        return bool(name) and not _NUMBER.fullmatch(name.rpartition(".")[2])
    return False


def _as_resolved(host: str) -> str:
    """As a resolver reads it: wide letters are plain ones, and the ideographic full stop is a dot (RFC 3490, 3.1)."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".").casefold()


def _distance_of_name(name: str) -> Distance:
    if name == "localhost" or name.endswith(".localhost"):
        return "node"
    # A resolver takes ``134744072`` and ``0x7f.1`` for addresses: which one is not worth a guess.
    if not name or _NUMBER.fullmatch(name.rpartition(".")[2]):
        return "cloud"
    return "lan" if "." not in name or name.endswith(_LAN_ENDS) else "cloud"


def _distance_of_address(text: str) -> Distance:
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return "node"
    near = any(address.version == net.version and address in net for net in _LAN) and address not in _METADATA
    return "lan" if near else "cloud"
