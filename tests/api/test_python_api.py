"""The public Python API: a deployment in this process, and one that the background runtime serves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

import orchestrator
from orchestrator.core.errors import UsageError

KIOSK = Path(__file__).parents[2] / "examples" / "retail-kiosk" / "kiosk.yaml"
QUESTION = "Which aisle is the garden hose in?"
PROGRAM = Path(sys.executable).with_name("orchestrator")

pytestmark = pytest.mark.anyio


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    return tmp_path


@pytest.fixture
def applied(home: Path) -> Iterator[str]:
    subprocess.run([PROGRAM, "apply", str(KIOSK)], check=True, capture_output=True, env=os.environ)
    yield "retail-kiosk"
    subprocess.run([PROGRAM, "runtime", "stop"], check=True, capture_output=True, env=os.environ)


async def test_open_serves_a_manifest_in_this_process(home: Path) -> None:
    """The result tells the answer, who gave it, the way and the why."""
    async with orchestrator.open(KIOSK) as deployment:
        result = await deployment.run(QUESTION)
    assert "H1" in result.text
    assert (result.status, result.agent, result.path) == ("completed", "inventory", ("router.front", "agent.inventory"))
    assert result.why.startswith("front: rules:")


async def test_what_is_no_request_is_told(home: Path) -> None:
    """Before anything runs."""
    async with orchestrator.open(KIOSK) as deployment:
        for request in ("half \ud83d", orchestrator.Request("hi", session="\udce9")):
            with pytest.raises(orchestrator.OrchestratorError, match="holds half a character"):
                await deployment.run(request)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priority": "foo"}, "priority cannot be 'foo'"),
        ({"complexity": "bar"}, "complexity cannot be 'bar'"),
        ({"data_class": "restrictd"}, "data_class cannot be 'restrictd'"),
        ({"timeout": "30s"}, "timeout is seconds, more than 0, not '30s'"),
        ({"timeout": -1}, "timeout is seconds, more than 0, not -1"),
        ({"timeout": 0}, "timeout is seconds, more than 0, not 0"),
        ({"history": [{"role": "user"}]}, r"history\[0\] is no Message"),
        ({"history": [orchestrator.Message("usr", "x")]}, "has the role 'usr'"),  # type: ignore[arg-type] # what a caller may get wrong
        ({"history": [orchestrator.Message("user", 3)]}, "is no text: 3"),  # type: ignore[arg-type] # what a caller may get wrong
        ({"history": [orchestrator.Message("tool", "x")]}, r"history\[0\] has the role 'tool' and answers no call"),
        ({"session": "s" * 201}, "session is too long: 201 characters"),
        ({"priority": []}, r"priority cannot be \[\]"),
        ({"history": {"user": "x"}}, "history is no list of messages"),
        ({"history": 5}, "history is no list of messages"),
        ({"options": {"temperature": "hot"}}, "the option temperature cannot be 'hot'"),
        ({"options": {"max_tokens": 0}}, "the option max_tokens cannot be 0"),
        ({"text": "again"}, "given twice"),
        ({"listen": 3}, "listen cannot be called"),
        ({"history": "hello"}, "history is no list of messages"),
        ({"options": 3}, "options is no mapping"),
        ({"session": None}, "session may not be None"),
        ({"agent": None}, "agent may not be None"),
        ({"agent": 7}, "agent is no text: 7"),
        ({"escalate": "yes"}, "escalate is yes or no"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_an_option_that_does_not_fit_is_told(home: Path, options: dict[str, Any], message: str) -> None:
    """With its name, and what it may be; nothing runs."""
    async with orchestrator.open(KIOSK) as deployment:
        with pytest.raises(UsageError, match=message) as caught:
            await deployment.run(QUESTION, **options)
        assert caught.value.cure
        with pytest.raises(UsageError, match="no text"):
            await deployment.run("  ")


@pytest.mark.parametrize(
    ("options", "message", "cure"),
    [
        ({"temprature": 1}, 'a request has no "temprature"', "options={'temperature': …}"),
        ({"stop": "END"}, 'a request has no "stop"', "options={'stop': …}"),
        ({"sesion": "a"}, 'a request has no "sesion"', 'did you mean "session"?'),
        ({"dataclass": "public"}, 'a request has no "dataclass"', 'did you mean "data_class"?'),
        ({"wibble": 1}, 'a request has no "wibble"', "there are: text, history, session,"),
        ({"options": {"temprature": 1}}, 'options has no "temprature"', 'did you mean "temperature"?'),
        ({"options": {"wibble": 1}}, 'options has no "wibble"', "there are: temperature, max_tokens,"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_misspelt_option_is_told_with_the_near_name(
    home: Path, options: dict[str, Any], message: str, cure: str
) -> None:
    """Of `run` and of `stream`; as a typed error, not Python's."""
    async with orchestrator.open(KIOSK) as deployment:
        with pytest.raises(UsageError, match=message) as caught:
            await deployment.run(QUESTION, **options)
        assert cure in caught.value.cure
        with pytest.raises(UsageError, match=message):
            await anext(deployment.stream(QUESTION, **options))


async def test_what_is_no_text_is_told(home: Path) -> None:
    """Nor may options stand beside a whole request."""
    request: Any
    async with orchestrator.open(KIOSK) as deployment:
        for request in (7, None, b"bytes", ["a", "list"]):
            with pytest.raises(UsageError, match="a request is a text or a Request, not") as caught:
                await deployment.run(request)
            assert "give the user's words" in caught.value.cure
        with pytest.raises(UsageError, match="has options beside it") as caught:
            await deployment.run(orchestrator.Request("hi"), session="a")
        assert "Request(…, session=…)" in caught.value.cure


@pytest.mark.parametrize(
    ("manifests", "options", "message"),
    [
        ((), {}, "no manifest is named"),
        ((7,), {}, "a manifest is no path: 7"),
        ((KIOSK,), {"state": 7}, "state is no path: 7"),
        ((KIOSK,), {"environment": ["A=b"]}, "environment is no mapping"),
    ],
)
async def test_what_cannot_be_opened_so_is_told(
    home: Path, manifests: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    """With what to write."""
    with pytest.raises(UsageError, match=message) as caught:
        async with orchestrator.open(*manifests, **options):
            pytest.fail("it was opened")
    assert caught.value.cure


async def test_a_name_that_is_no_text_is_told(home: Path) -> None:
    """And a misspelt keyword of a call stays Python's own error."""
    name: Any = 7
    with pytest.raises(UsageError, match="the name of a deployment is no text: 7"):
        async with orchestrator.connect(name):
            pytest.fail("connected to nothing")
    wrong: Any = {"foo": 1}
    with pytest.raises(TypeError, match="foo"):
        orchestrator.open(KIOSK, **wrong)
    with pytest.raises(TypeError, match="foo"):
        orchestrator.connect("name", **wrong)


async def test_a_deployment_whose_block_has_ended_says_so(home: Path) -> None:
    """Both ways to ask."""
    async with orchestrator.open(KIOSK) as deployment:
        pass
    with pytest.raises(UsageError, match="its block has ended"):
        await deployment.run(QUESTION)
    with pytest.raises(UsageError, match="its block has ended"):
        await anext(deployment.stream(QUESTION))


def test_another_event_loop_is_refused_with_the_line_to_write(home: Path) -> None:
    """The model servers are called on asyncio's."""

    async def main() -> None:
        async with orchestrator.open(KIOSK):
            pass

    with pytest.raises(UsageError, match="asyncio's event loop") as caught:
        trio.run(main)
    assert "asyncio.run" in caught.value.cure


async def test_stream_ends_with_the_result(home: Path) -> None:
    """Events come in order, the answer's pieces make up its text."""
    async with orchestrator.open(KIOSK) as deployment:
        events = [event async for event in deployment.stream(QUESTION)]
    assert [events[0].kind, events[-1].kind] == ["run.started", "run.finished"]
    pieces = "".join(event.fields["text"] for event in events if event.kind == "run.delta")
    assert pieces == events[-1].fields["result"].text


async def test_open_raises_every_fault_of_a_manifest(home: Path, tmp_path: Path) -> None:
    """As one ManifestError, not in an exception group."""
    file = tmp_path / "bad.yaml"
    file.write_text("deployment: {type: single-device, agents: [{name: a, modell: x}], nodez: 1}\n")
    with pytest.raises(orchestrator.ManifestError) as caught:
        async with orchestrator.open(file):
            pytest.fail("a manifest with faults was opened")
    assert len(caught.value.diagnostics) == 2


async def test_connect_talks_to_the_runtime(applied: str) -> None:
    """The same deployment, served in the background."""
    async with orchestrator.connect(applied) as deployment:
        result = await deployment.run(QUESTION, session="s1")
        events = [event.kind async for event in deployment.stream(QUESTION)]
    assert "H1" in result.text
    assert result.session == "s1"
    assert events[-1] == "run.finished"


async def test_connect_names_what_is_applied(applied: str) -> None:
    """A wrong name is told with the near one."""
    with pytest.raises(orchestrator.OrchestratorError, match="no deployment") as caught:
        async with orchestrator.connect("retail-kios"):
            pytest.fail("connected to nothing")
    assert "retail-kiosk" in caught.value.cure


async def test_connect_without_a_runtime_says_so(home: Path) -> None:
    """And what starts one."""
    with pytest.raises(orchestrator.OrchestratorError, match="no runtime runs"):
        async with orchestrator.connect("retail-kiosk"):
            pytest.fail("connected to nothing")


async def test_a_stream_that_its_runtime_leaves_raises_where_it_is_read(applied: str) -> None:
    """It does not end as if it were whole, and the other runs of the block go on."""
    async with orchestrator.connect(applied) as deployment:
        await anyio.run_process([PROGRAM, "runtime", "stop"])
        with pytest.raises(orchestrator.OrchestratorError, match="no runtime runs any more"):
            await anext(deployment.stream(QUESTION))
        await anyio.run_process([PROGRAM, "runtime", "start"])
        events = [event.kind async for event in deployment.stream(QUESTION)]
    assert events[-1] == "run.finished"


async def test_a_run_that_waits_for_a_person_is_waited_for(home: Path) -> None:
    """Over the runtime; a deployment of one process has nobody to ask."""
    desk = KIOSK.parents[1] / "customer-service" / "help-desk.yaml"
    await anyio.run_process([PROGRAM, "apply", str(desk)])
    async with orchestrator.connect("help-desk") as deployment:
        waiting = await deployment.run("I want to speak to a human")
        assert (waiting.status, waiting.approval[:4]) == ("waiting", "apv_")
        async with anyio.create_task_group() as tasks:
            answer = [str(PROGRAM), "approvals", "answer", waiting.approval, "at three"]
            tasks.start_soon(anyio.run_process, answer)
            ended = await deployment.wait(waiting)
        assert (ended.id, ended.status, ended.text) == (waiting.id, "completed", "at three")
        with pytest.raises(orchestrator.OrchestratorError, match="no run is called"):
            await deployment.wait("run_nobody")
    await anyio.run_process([PROGRAM, "runtime", "stop"])
    async with orchestrator.open(KIOSK) as alone:
        with pytest.raises(UsageError, match="has no people to ask"):
            await alone.wait("run_1")
