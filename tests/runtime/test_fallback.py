"""A real runtime that is killed after an apply that failed: what served before serves again, and says what is wanted."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.core.errors import DeployError, RuntimeUnavailable
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from tests.runtime.living import Home

FIRST = "deployment: {type: single-device, agents: [{name: a, reflex: [{say: first}]}]}"
SECOND = """\
deployment:
  type: single-device
  tools: [{name: mine, python: 'broken:f'}]
  agents: [{name: a, tools: [mine], reflex: [{say: second}]}]
"""
BROKEN = "import nothing_there\n\n\ndef f() -> int:\n    return 1\n"


def wanted(folder: Path, text: str) -> Wanted:
    """As it is applied from a file."""
    file = folder / "shop.yaml"
    file.write_text(text)
    return Wanted(compile_files([str(file)], environment={}).blueprint, origin=str(file))


def said(client: RuntimeClient) -> tuple[str, list[tuple[int, bool, bool]]]:
    """What is answered, and which revisions there are: number, serves, wanted."""
    history = [(each["number"], each["current"], each["wanted"]) for each in client.history("shop")]
    return client.run("shop", Request("hi")).text, history


def test_a_failed_apply_takes_nothing_away_not_even_after_a_kill(home: Home, tmp_path: Path) -> None:
    """Until it can be, or somebody goes back."""
    (tmp_path / "broken.py").write_text(BROKEN)
    client = home.start()
    client.apply(wanted(tmp_path, FIRST))
    with pytest.raises(DeployError) as failed:
        client.apply(wanted(tmp_path, SECOND))
    assert (
        "revision 1 serves on; revision 2 is tried again by itself, and `orchestrator rollback shop`"
        in failed.value.cure
    )
    before = said(client)
    assert before == ("first", [(2, False, True), (1, True, False)])
    home.kill()
    client = home.start()
    assert said(client) == before
    assert client.rollback("shop")["revision"] == 3
    assert said(client) == ("first", [(3, True, True), (2, False, False), (1, False, False)])
    (tmp_path / "broken.py").write_text("def f() -> int:\n    return 1\n")
    client.apply(wanted(tmp_path, SECOND))
    assert said(client)[0] == "second"
    assert home.stop() == 0


@pytest.mark.parametrize("point", ["", "down.recorded"])
def test_what_was_taken_down_does_not_come_back_where_the_next_apply_fails(
    home: Home, tmp_path: Path, point: str
) -> None:
    """Not after a kill either, also where the first one came in the middle of taking it down."""
    (tmp_path / "broken.py").write_text(BROKEN)
    client = home.start(**({"ORCHESTRATOR_FAIL_AT": point} if point else {}))
    client.apply(wanted(tmp_path, FIRST))
    try:
        client.down("shop")
    except RuntimeUnavailable:
        assert point and home.processes[-1].wait(5) == -signal.SIGKILL
        client = home.start()
    with pytest.raises(DeployError):
        client.apply(wanted(tmp_path, SECOND))
    home.kill()
    client = home.start()
    with pytest.raises(DeployError, match='"shop" does not serve yet'):
        client.run("shop", Request("hi"))
    assert [(each["number"], each["current"], each["wanted"]) for each in client.history("shop")] == [
        (2, False, True),
        (1, False, False),
    ]
    assert home.stop() == 0
