"""Two applies at once: the slower one plans again by itself, and never removes or undoes what nobody agreed to in silence."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.app.sources import pack_sources
from orchestrator.cli.main import execute
from orchestrator.cli.verbs.apply import MOST_PLANS
from orchestrator.cli.view.terminal import Terminal
from orchestrator.deploy.wanted import Wanted
from tests.cli.commands import Ran, Screen, command
from tests.runtime.living import Home

ONE = "metadata: {name: shop}\ndeployment:\n  type: single-device\n  agents:\n    - {name: a, reflex: [{say: hello}]}\n"
TWO = ONE + "    - {name: b, keywords: [bye], reflex: [{say: bye}]}\n"
AGAIN = "another apply changed shop meanwhile: planned again\n"


class Busy(Screen):
    """Standard error of an apply; whenever a plan stands on it and is not carried out yet, something else happens."""

    def __init__(self, happens: Callable[[], object], times: int = 1) -> None:
        super().__init__()
        self._happens = happens
        self._left = times

    def write(self, text: str) -> int:
        """As a stream does."""
        written = super().write(text)
        if text.startswith(("plan for", "shop runs as wanted")) and self._left:
            self._left -= 1
            self._happens()
        return written


def _apply(manifest: Path, err: Busy, *words: str) -> Ran:
    out = Screen()
    code = execute(["apply", str(manifest), *words], Terminal((Screen(), out, err), {}))
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The file that is applied."""
    path = tmp_path / "shop.yaml"
    path.write_text(ONE)
    return path


def _other(client: RuntimeClient, manifest: Path, text: str) -> Callable[[], object]:
    """An apply by somebody else, of the same file as it was or will be."""
    kept = manifest.with_name("kept.yaml")

    def apply() -> object:
        kept.write_text(text)
        made = compile_files([str(kept)], environment={})
        return client.apply(Wanted(made.blueprint, pack_sources(made.loaded), str(manifest)))

    return apply


def test_the_slower_of_two_equal_applies_finds_it_done(home: Home, manifest: Path) -> None:
    """It says that it planned again, and ends well."""
    other = _other(home.start(), manifest, ONE)
    ran = _apply(manifest, Busy(other))
    assert ran.code == 0, ran.err
    assert AGAIN in ran.err and ran.err.index("plan for shop: ") < ran.err.index(AGAIN)
    assert "shop runs" in ran.out


def test_the_slower_of_two_different_applies_comes_after_the_faster_one(home: Home, manifest: Path) -> None:
    """As if it had been typed a second later: the last one is what runs."""
    client = home.start()
    manifest.write_text(TWO)
    ran = _apply(manifest, Busy(_other(client, manifest, ONE)))
    assert ran.code == 0 and AGAIN in ran.err
    [shop] = client.status()["deployments"]
    assert shop["revision"] == 2 and [each["agent"] for each in shop["agents"]] == [
        "router.router",
        "agent.a",
        "agent.b",
    ]


def test_what_a_new_plan_removes_needs_a_yes_of_its_own(home: Home, manifest: Path) -> None:
    """The first plan removed nothing: what the faster apply added is not taken away unasked. With --yes it is."""
    client = home.start()
    ran = _apply(manifest, Busy(_other(client, manifest, TWO)))
    assert ran.code == 3
    error = ran.err.partition("error[ORC401]: ")[2]
    assert error.startswith("another apply changed shop meanwhile; now the plan removes agent.b")
    assert "apply again, with --yes" in error
    assert client.status()["deployments"][0]["revision"] == 1
    client.down("shop")
    agreed = _apply(manifest, Busy(_other(client, manifest, TWO)), "--yes")
    assert agreed.code == 0 and AGAIN in agreed.err


def test_it_gives_up_where_others_are_faster_each_time(home: Home, manifest: Path) -> None:
    """With the reason and the cure."""
    client = home.start()
    number = iter(range(100))

    def other() -> object:
        return _other(client, manifest, ONE.replace("hello", f"hello {next(number)}"))()

    ran = _apply(manifest, Busy(other, times=100))
    assert ran.code == 3 and ran.err.count(AGAIN) == MOST_PLANS
    assert f"error[ORC401]: another apply changed shop meanwhile, and so it was {MOST_PLANS} times in a row" in ran.err
    assert "cure: apply again" in ran.err


def test_two_commands_at_once_both_end_well(home: Home, manifest: Path) -> None:
    """As two people or two jobs type them; the runtime starts once."""
    copies = [
        subprocess.Popen(
            command("apply", str(manifest)),
            env=home.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for each in copies:
        _, err = each.communicate(timeout=60)
        assert each.returncode == 0, err
    [shop] = home.client.status()["deployments"]
    assert shop["state"] == "running"
