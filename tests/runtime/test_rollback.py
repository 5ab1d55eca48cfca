"""A real runtime whose tool's code was broken by an edit: what serves is wanted again, with the code that it has in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.core.errors import DeployError
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from tests.runtime.living import Home

SHOP = """\
deployment:
  type: single-device
  tools: [{name: mine, python: 't:f'}]
  agents: [{name: a, tools: [mine], reflex: [{call: mine.f, say: '{{ result }}'}]}]
"""
GOOD = "def f() -> str:\n    return 'good'\n"


def apply(client: RuntimeClient, folder: Path, code: str) -> None:
    """The same manifest, with this code."""
    (folder / "t.py").write_text(code)
    file = folder / "shop.yaml"
    file.write_text(SHOP)
    client.apply(Wanted(compile_files([str(file)], environment={}).blueprint, origin=str(file)))


@pytest.mark.parametrize("to", [None, 1])
def test_an_edit_that_broke_the_code_can_be_given_up(home: Home, tmp_path: Path, to: int | None) -> None:
    """The broken code is not looked at; it is at the next apply."""
    client = home.start()
    apply(client, tmp_path, GOOD)
    with pytest.raises(DeployError):
        apply(client, tmp_path, "def f(")
    assert client.rollback("shop", to)["revision"] == 3
    assert client.run("shop", Request("hi")).text == "good"
    [told] = client.status()["deployments"]
    assert (told["state"], told["revision"], told["serving"], told["error"]) == ("running", 3, 3, None)
    with pytest.raises(DeployError):
        apply(client, tmp_path, "def f(:")
    apply(client, tmp_path, GOOD.replace("good", "better"))
    assert client.run("shop", Request("hi")).text == "better"
    assert home.stop() == 0
