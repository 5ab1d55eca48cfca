"""Exclusive agents move between three machines, and the one that holds them starts again at once: no request is lost, and at any
moment one machine at most answers for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Final

import pytest

from tests.apart.journal import Journals
from tests.apart.load import Asked, Flow, Load, ask
from tests.apart.machine import Machine, founded, machines
from tests.apart.trial import kill_runtime, lasts
from tests.cli.commands import command

NAMES: Final = ("edge-1", "edge-2", "edge-3")
MANIFEST: Final = Path(__file__).with_name("moves.yaml")
FLOWS: Final = tuple(Flow(name, "sole", 3.0) for name in NAMES)
MODELS: Final = {"quick": ("9100", "1s"), "slow": ("9101", "11s")}
"""Each with its port and the time that an answer takes: of the slow one, so that work is under way while they move."""
PATIENCE: Final = 60.0
AT_ONCE: Final = 2.0
"""Seconds in which an agent that its node took back or was given is answered again, beside the time of its model."""

Fleet = dict[str, Machine]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The machines, with two model servers each, joined and applied."""
    with machines(tmp_path_factory.mktemp("machines"), NAMES) as found, ExitStack() as stack:
        for machine in found.values():
            for model in MODELS:
                stack.enter_context(_model_server(machine, model))
        founded(found)
        found["edge-1"].does("apply", str(MANIFEST))
        yield found


@contextmanager
def _model_server(machine: Machine, model: str) -> Iterator[None]:
    port, takes = MODELS[model]
    options = ("--port", port, "--model", model, "--ttft", takes, "--slots", "16")
    argv = command("simulate-endpoint", *options, "--log", str(machine.home / f"{model}.log"))
    with (
        (machine.home / f"{model}.out").open("wb") as out,
        Popen(machine.net.inside(machine.name, argv), stdout=out) as it,
    ):
        try:
            yield
        finally:
            it.terminate()


@contextmanager
def nothing_is_lost(fleet: Fleet, *without: str) -> Iterator[Load]:
    """The quick agent is asked through all machines but some all the while; each request is answered, and the journals agree."""
    began, load = time.time(), Load(fleet, [flow for flow in FLOWS if flow.node not in without])
    with load.running():
        lasts(2.0)
        yield load
        lasts(2.0)
    assert len(load.asked) > 20 and [one.told for one in load.asked if not one.answered] == []
    assert Journals.read(fleet.values(), began).wrong(load.asked) == []


def holder_of(asked: Asked) -> str:
    assert asked.answered and asked.result is not None, asked.told
    return asked.result.node


def test_a_manifest_that_moves_them(fleet: Fleet, tmp_path: Path) -> None:
    """What was begun ends where it was begun; what comes meanwhile waits for the next holder, through each machine; and when the
    command has ended they answer at once."""
    moved = tmp_path / "moves.yaml"
    text = MANIFEST.read_text(encoding="utf-8")
    moved.write_text(text.replace("agents: [sole, long]", "agents: []").replace("[bench]", "[bench, sole, long]"))
    with nothing_is_lost(fleet), ThreadPoolExecutor(8) as pool:
        begun = [pool.submit(ask, fleet[name], "long", patience=PATIENCE) for name in NAMES]
        lasts(1.0)  # they are in work before the manifest changes
        applying = pool.submit(fleet["edge-1"].does, "apply", str(moved))
        while (settled := _gave_up(fleet["edge-2"])) is None and not applying.done():
            lasts(0.1)  # a real process
        later = [pool.submit(ask, fleet[name], "long", patience=PATIENCE) for name in NAMES]
        assert settled is not None and {holder_of(each.result()) for each in begun} == {"edge-2"}
        assert {holder_of(each.result()) for each in later} == {"edge-3"}
        applying.result()
        first = ask(fleet["edge-2"], "sole")
        assert holder_of(first) == "edge-3" and first.ended - first.at < 1.0 + AT_ONCE


def _gave_up(machine: Machine) -> float | None:
    """When a machine was last told to hold neither of them, where it was."""
    held = Journals.read([machine], 0.0).of("mesh.holds")
    return held[-1].at if held and not {"sole", "long"} & set(held[-1].fields["agents"]) else None


def test_a_drain_and_the_way_home(fleet: Fleet) -> None:
    """Others stand in for a machine that is taken out, and give its agents back."""
    with nothing_is_lost(fleet) as load:
        fleet["edge-3"].does("node", "drain")
        _until(fleet, "sole", away_from="edge-3")
        fleet["edge-3"].does("node", "uncordon")
        _until(fleet, "sole", at="edge-3")
    assert len({holder_of(one) for one in load.asked}) == 2


def _until(fleet: Fleet, agent: str, *, at: str = "", away_from: str = "") -> None:
    end = time.monotonic() + 60
    while (node := holder_of(ask(fleet["edge-1"], agent))) == away_from or (at and node != at):
        assert time.monotonic() < end, node


def test_who_is_killed_and_starts_at_once_has_them_at_once(fleet: Fleet) -> None:
    """Its former process is gone, as the lock of its folder says: nobody waits for its lease to run out."""
    with nothing_is_lost(fleet, "edge-3"):
        kill_runtime(fleet["edge-3"])
        fleet["edge-3"].does("runtime", "start")
        again = ask(fleet["edge-3"], "sole")
        assert holder_of(again) == "edge-3" and again.ended - again.at < 1.0 + AT_ONCE
