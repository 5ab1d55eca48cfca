"""How far away a host is; what only looks near counts as far."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.hosts import distance_of_host, distance_of_url, fault_of_url

HOSTS = {
    "node": ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9.", "::1", "::ffff:127.0.0.1"],
    "lan": ["gpu-box", "gpu-box.", "gpu.local.", "x.internal", "10.0.0.1", "169.254.1.1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"],
    "cloud": ["", ".", "8.8.8.8", "134744072", "0x7f.1", "0x7f000001", "127.1", "010.0.0.1", "2130706433.", "::ffff:8.8.8.8",
              "2001:0:808:808::1", "198.18.0.1", "198.19.255.255", "169.254.169.254",
              "::ffff:169.254.169.254", "192.0.2.1", str(IPv4Address(0)), str(IPv6Address(0)),
              "fd00:ec2::254", "240.0.0.1", "100.64.0.1",
              "127.0.0.1.example.com", "localhost.example.com", "api\u3002example\u3002com",
              "api\uff0eexample\uff0ecom", "\uff11\uff13\uff14\uff17\uff14\uff14\uff10\uff17\uff12"],
}  # fmt: skip


@pytest.mark.parametrize(("distance", "host"), [(distance, host) for distance in HOSTS for host in HOSTS[distance]])
def test_a_host_is_as_far_as_it_can_be(distance: str, host: str) -> None:
    assert distance_of_host(host) == distance


@given(st.integers(0, 2**32 - 1).map(IPv4Address), st.text(".", max_size=2))
def test_each_way_to_write_an_address_is_no_nearer_than_the_address(address: IPv4Address, dots: str) -> None:
    """Mapped into IPv6 it is as far; as one number it is far."""
    plain = distance_of_host(str(address))
    assert distance_of_host(f"{address}{dots}") == plain
    assert distance_of_host(f"::ffff:{address}") == plain
    assert distance_of_host(str(int(address))) == distance_of_host(hex(int(address))) == "cloud"


@given(st.text())
def test_any_text_has_a_distance(text: str) -> None:
    assert distance_of_host(text) in HOSTS
    assert distance_of_url(f"http://{text}") in HOSTS


def test_an_address_that_cannot_be_read_is_far() -> None:
    assert distance_of_url("http://[::1") == "cloud"
    assert distance_of_url("http://:8080") == "cloud"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://127.0.0.1:8080/v1", ""),
        ("https://models.example.org", ""),
        ("http://[::1]:8080", ""),
        ("http://\uff48ost.lan:65535", ""),
        ("http://127.0.0.1:65536", "its port is no number from 1 to 65535"),
        ("http://127.0.0.1:0", "its port is no number from 1 to 65535"),
        ("http://127.0.0.1:-1", "its port is no number from 1 to 65535"),
        ("http://host:abc", "its port is no number from 1 to 65535"),
        ("http://[::1", "its brackets are not those of a number of IPv6"),
        ("http://:8080", "it names no host"),
        ("http://a..b", "its host is no name that a network can know"),
        (f"http://{'a' * 64}.org", "its host is no name that a network can know"),
    ],
)
def test_why_nobody_can_be_called_at_an_address(url: str, fault: str) -> None:
    assert fault_of_url(url) == fault


@given(st.text())
def test_any_text_either_can_be_called_or_says_why(text: str) -> None:
    """What has no fault is taken by whoever splits it, and by a resolver."""
    url = f"http://{text}"
    if not fault_of_url(url):
        assert urlsplit(url).port is None or 0 < (urlsplit(url).port or 0) < 65536
        (urlsplit(url).hostname or "").encode("idna")
