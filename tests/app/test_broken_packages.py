"""Kinds of other packages that fail: an error names the kind, and who has no part in it feels nothing."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator.app import catalog
from orchestrator.app.compile import compile_files
from orchestrator.app.redact import Redactor
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import Plugins, Stores, make_workshop, run_planes
from orchestrator.core.errors import BrokenReply, DeployError, ModelError
from orchestrator.core.event import Event
from orchestrator.deploy.wanted import Wanted
from orchestrator.plugins.stores.memory import MemoryRevisions
from orchestrator.ports.lifecycle import Loader, Puller
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.ports.tool import ToolContext, ToolPlace
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.http_shell import serving
from tests.app.conftest import Install
from tests.app.test_other_packages import shop, written

pytestmark = pytest.mark.anyio
CLOUD = "https://acme.example/v1"
BROKEN = "tests.app.broken_kinds"
CALL = ChatCall(Target("plugin:acme", CLOUD, "m"), ())
READ = """
metadata: {name: read}
deployment:
  type: single-device
  agents: [{name: look, description: Lists., reflex: [{when: {keywords: [list]}, say: "one, two"}]}]
"""


@asynccontextmanager
async def listening() -> AsyncIterator[str]:
    """The address of something that accepts connections and closes them."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# -- providers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["NoLicence", "Exits", "Raises", "Odd", "Misplaced", "Unlisted", "Negative"])
async def test_a_broken_provider_stops_no_other_deployment(install: Install, tmp_path: Path, kind: str) -> None:
    """The one that names it is applied too, and says of its model why nothing serves it."""
    install("acme", f"provider.acme = {BROKEN}:{kind}", "tool.weather = tests.app.acme_kinds:open_weather")
    install("last", "strategy.last = tests.app.acme_kinds:fit_last")
    told: list[Event] = []
    async with listening() as place:
        mine = compile_files([shop(place)], environment={}).blueprint
        read = compile_files([written("read", READ)], environment={}).blueprint
        settings, plugins = Settings.read(os.environ), Plugins()
        workshop = make_workshop(plugins, settings, tmp_path, Redactor())
        async with run_planes(workshop, Stores(MemoryRevisions()), settings, told.append) as planes:
            await planes.reconciler.apply(Wanted(mine), lambda _: None)
            await planes.reconciler.apply(Wanted(read), lambda _: None)
            why = planes.engines.get("shop").deployment.bindings["mine"].missing
            await planes.reconciler.close(0)
    assert "plugin:acme" in why
    assert not [event for event in told if event.fields.get("state") == "failed"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "Gone",
            f"plugin:acme, from acme, failed to load as a provider: AttributeError: module {BROKEN!r} has no attribute 'Gone'",
        ),
        ("NoLicence", "plugin:acme failed to start: RuntimeError: no licence (broken_kinds.py, line"),
    ],
)
def test_a_provider_that_does_not_start_is_told(install: Install, kind: str, message: str) -> None:
    """With the place that raised it: who wrote the package reads this."""
    install("acme", f"provider.acme = {BROKEN}:{kind}")
    with pytest.raises(DeployError) as raised:
        Plugins().provider("plugin:acme")
    assert re.fullmatch(re.escape(message) + r"( \d+\))?", raised.value.message)


def test_a_package_that_python_cannot_read_is_told(install: Install, tmp_path: Path) -> None:
    """With its own line, and not ours that loads it."""
    install("acme", "provider.acme = unreadable_kinds:Acme")
    (tmp_path / "acme" / "unreadable_kinds.py").write_text("\ndef (\n")
    with pytest.raises(DeployError) as raised:
        Plugins().provider("plugin:acme")
    assert raised.value.message.endswith("SyntaxError: invalid syntax (unreadable_kinds.py, line 2)")


async def test_calls_of_a_provider_fail_like_those_of_ours(install: Install) -> None:
    """Whole and streamed. It counts as a failure of the server: one that always fails is left alone for a while."""
    install("acme", f"provider.acme = {BROKEN}:Mute")
    provider = Plugins().provider("plugin:acme")
    with pytest.raises(BrokenReply, match=r"plugin:acme failed to answer: AttributeError: choices \(broken_kinds.py"):
        await provider.chat(CALL)
    deltas = provider.stream(CALL)
    assert (await anext(deltas)).text == "well, "
    with pytest.raises(BrokenReply, match="plugin:acme failed to answer"):
        await anext(deltas)


async def test_what_a_provider_does_beside_answering_is_guarded_too(install: Install) -> None:
    """It fits the ports that it fits without the door, and no other."""
    install("acme", f"provider.acme = {BROKEN}:Embeds")
    provider: Any = Plugins().provider("plugin:acme")
    fits = [port for port in (Loader, Puller) if isinstance(provider, port)]
    assert fits == [Loader]
    assert provider.pull_goes_on is True
    assert await provider.load(CALL.target, "options", 1.0) == "options"
    with pytest.raises(ModelError, match="plugin:acme failed to embed: KeyError: 'a'"):
        await provider.embed(CALL.target, ("a",), 1.0)
    with pytest.raises(ModelError, match="plugin:acme failed to count: KeyError: 'two'"):
        assert [number async for number in provider.count()] == [1]


async def test_a_provider_that_is_built_on_ours_renames_nobody(install: Install) -> None:
    """It has the name of the table, whatever it says that it is called; ours keep theirs."""
    install("acme", f"provider.acme = {BROKEN}:Disguised")
    plugins = Plugins()
    async with serving(simulated(["m"]), "openai") as shell:
        (mine,) = await plugins.look([shell.url], {}, ["plugin:acme"])
        (ours,) = await plugins.look([shell.url], {})
    await plugins.aclose()
    assert [one.identity and one.identity.provider for one in (mine, ours)] == ["plugin:acme", "openai-compatible"]


async def test_every_provider_is_closed_also_where_one_does_not_close(install: Install) -> None:
    """Which one, and why, is told."""
    install("acme", f"provider.acme = {BROKEN}:Raises", "provider.other = tests.app.acme_kinds:Acme")
    told: dict[str, str] = {}
    closed: list[str] = []
    plugins = Plugins(told.__setitem__)
    plugins.provider("plugin:acme")
    other: Any = plugins.provider("plugin:other")

    async def close() -> None:
        closed.append("other")

    other.aclose = close
    await plugins.aclose()
    assert closed == ["other"]
    assert list(told) == ["plugin:acme"]
    assert told["plugin:acme"].startswith("plugin:acme failed to close: OSError: it is stuck")


# -- tools and strategies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("open", "plugin:weather failed to open sky: KeyError: 'city' (broken_kinds.py, line"),
        ("function", "plugin:weather gave str where its port wants ToolFunction"),
        ("name", 'plugin:weather gave a function "now"; the functions of sky are called "sky.NAME"'),
        ("effect", "plugin:weather gave sky.now the effect 'reads'; there are: read, write, external"),
    ],
)
def test_a_tool_that_cannot_be_used_is_told_when_it_is_opened(
    install: Install, tmp_path: Path, fault: str, message: str
) -> None:
    """Not when the first agent calls it."""
    install("acme", f"tool.weather = {BROKEN}:open_broken")
    with pytest.raises(DeployError) as raised:
        catalog.load("tool", "plugin:weather")("sky", {"fault": fault}, ToolPlace(tmp_path, tmp_path))
    assert raised.value.message.startswith(message)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("", "sky.now of plugin:broken failed to work: TimeoutError: the sensor did not answer (broken_kinds.py, line"),
        ("text", "sky.now of plugin:broken gave str where its port wants ToolOutcome"),
        ("cancels", "sky.now of plugin:broken failed to work: CancelledError: by itself (broken_kinds.py, line"),
        ("interrupts", "sky.now of plugin:broken failed to work: KeyboardInterrupt:  (broken_kinds.py, line"),
    ],
)
async def test_a_function_of_a_tool_fails_like_one_of_ours(
    install: Install, acme: Path, fault: str, message: str
) -> None:
    """Its own time-out is no time-out of ours."""
    install("broken", f"tool.broken = {BROKEN}:open_broken")
    changes = ("plugin:weather", "plugin:broken"), ("{city: Rome}", f"{{fault: '{fault}'}}")
    async with orchestrator.open(shop(CLOUD, *changes), state=acme / "tools") as deployment:
        error = (await deployment.run("how is it outside?")).error or {}
    assert error["kind"] == "ToolFailed"
    assert error["message"].startswith(message)


async def test_a_tool_that_does_not_close_is_told_with_its_name(install: Install, tmp_path: Path) -> None:
    """As one of ours would be."""
    install("acme", f"tool.weather = {BROKEN}:open_broken")
    tool = catalog.load("tool", "plugin:weather")("sky", {}, ToolPlace(tmp_path, tmp_path))
    assert [function.name for function in tool.functions] == ["sky.now"]
    with pytest.raises(orchestrator.RunError, match=r"sky\.now of plugin:weather"):
        await tool.functions[0].run({}, ToolContext())
    with pytest.raises(DeployError, match="plugin:weather failed to close: OSError: it is stuck"):
        await tool.aclose()


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ("raising", "plugin:broken failed to decide: ZeroDivisionError: no words (broken_kinds.py, line"),
        ("instant", "plugin:broken failed to decide: ZeroDivisionError: no words (broken_kinds.py, line"),
        ("astray", "plugin:broken gave 'vault' as its choice, which is none of: look, talk"),
        ("text", "plugin:broken gave str where its port wants Decision"),
    ],
)
async def test_a_strategy_fails_like_one_of_ours(install: Install, acme: Path, fit: str, message: str) -> None:
    """It also sends no request to an agent that its router does not lead to."""
    install("broken", f"strategy.broken = {BROKEN}:fit_{fit}")
    changes = ("plugin:last", "plugin:broken")
    async with orchestrator.open(shop(CLOUD, changes), state=acme / "tools") as deployment:
        error = (await deployment.run("how is it outside?")).error or {}
    assert error["message"].startswith(message)


async def test_a_strategy_that_cannot_learn_stops_its_deployment_alone(install: Install, acme: Path) -> None:
    """Its apply says which and why."""
    install("broken", f"strategy.broken = {BROKEN}:fit_unable")
    with pytest.raises(DeployError) as raised:
        async with orchestrator.open(shop(CLOUD, ("plugin:last", "plugin:broken")), state=acme / "tools"):
            pass
    assert raised.value.message.startswith("plugin:broken failed to learn: IndexError: no candidates")
