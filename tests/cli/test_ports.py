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
    with urlopen(f"{url}/models") as answer:
        assert answer.status == 200


def test_a_port_of_another_deployment_is_said_to_be_its(tmp_path: Path) -> None:
    """Not a process to stop, which would be the runtime itself; it is free again once that deployment is down."""
    port = free_port()
    assert apart("apply", shop(tmp_path, "first", f"port: {port}")).code == 0
    if socket.has_ipv6:
        assert apart("apply", shop(tmp_path, "six", f"host: '::1', port: {port}")).code == 0
    second = shop(tmp_path, "second", f"port: {port}")
    why = f"port {port} is taken by the deployment first"
    assert f"note: {why}\n" in apart("plan", second).out
    failed = apart("apply", second)
    assert failed.code == 4
    assert f"error[ORC415]: {why}\n  cure: choose another port, or `orchestrator down first`; " in failed.err


def test_the_port_of_the_runtime_is_said_to_be_its(tmp_path: Path) -> None:
    """The front door of all deployments."""
    assert apart("runtime", "start").code == 0
    address = next(word for word in apart("runtime", "status").out.split() if word.startswith("http://"))
    port = address.removesuffix("/v1").rpartition(":")[2]
    failed = apart("apply", shop(tmp_path, "shop", f"port: {port}"))
    assert failed.code == 4
    assert f"port {port} is taken by the runtime itself" in failed.err
    assert "choose another port, or leave `serve.port` out" in failed.err
