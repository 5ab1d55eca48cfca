"""Ports of deployments: the address that is printed is one that answers, and who has a port is named."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.commands import apart
from tests.runtime.living import free_port

SHOP = "deployment: {{type: single-device, serve: {{{serve}}}, agents: [{{name: a, reflex: [{{say: hello}}]}}]}}\n"


@pytest.fixture(autouse=True)
def stopped(home: Path) -> Iterator[None]:
    """No runtime stays."""
    del home
    yield
    assert apart("runtime", "stop").code == 0


def shop(folder: Path, name: str, serve: str) -> str:
    """A manifest that is served so."""
    file = folder / f"{name}.yaml"
    file.write_text(SHOP.format(serve=serve))
    return str(file)


def test_an_address_of_ipv6_is_one_that_answers(tmp_path: Path) -> None:
    """With the brackets that an address needs."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    port = free_port()
    applied = apart("apply", shop(tmp_path, "six", f"host: '::1', port: {port}"))
    assert applied.code == 0, applied.err
    assert f"listen on [::1]:{port}" in applied.err
    url = next(word for word in applied.out.split() if word.startswith("http://"))
    with urlopen(f"{url}/models") as answer:  # noqa: S310 - the address that was printed
        assert answer.status == 200
