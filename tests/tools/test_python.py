"""Python functions as tools: schemas from hints, threads, what they may give, and where code may come from."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.core.schema_check import unsupported_keywords
from orchestrator.plugins.tools.python import open_python
from orchestrator.ports.tool import Tool, ToolContext, ToolPlace
from tests.tools.calling import call, function, outcome

pytestmark = pytest.mark.anyio


def write(place: ToolPlace, source: str, name: str = "tools.py") -> Path:
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(source))
    return path


def open_source(place: ToolPlace, source: str, *names: str) -> Tool:
    write(place, source)
    return open_python("shop", {"python": f"tools:{names[0]}", "functions": list(names[1:])}, place)


KINDS = '''
from __future__ import annotations
import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional
from orchestrator.ports.tool import ToolContext

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

@dataclass
class Line:
    sku: str
    quantity: int = 1
    tags: list[str] = field(default_factory=list)

def order(
    name: str,
    lines: list[Line],
    colour: Colour,
    context: ToolContext,
    speed: Literal["slow", "fast"] = "slow",
    weight: float = 1.0,
    note: Optional[str] = None,
    extra: dict[str, int] | None = None,
    gift: Annotated[bool, "wrapped or not"] = False,
    anything: Any = None,
    ref: str | int = 0,
):
    """Place an order.

    Args:
        name: who orders
        lines (list): what

    Returns a description.
    """
    return [type(x).__name__ for x in (name, lines[0], colour, weight, extra, context)] + [context.run, lines[0].tags]
'''


async def test_hints_become_a_schema_that_the_check_knows_whole(place: ToolPlace) -> None:
    order = function(open_source(place, KINDS, "order"), "order")
    assert order.description == "Place an order."
    assert order.parameters == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "who orders"},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "sku": {"type": "string"},
                        "quantity": {"type": "integer"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["sku"],
                    "additionalProperties": False,
                },
                "description": "what",
            },
            "colour": {"enum": ["red", "blue"]},
            "speed": {"enum": ["slow", "fast"]},
            "weight": {"type": "number"},
            "note": {"type": ["string", "null"]},
            "extra": {"type": ["object", "null"], "additionalProperties": {"type": "integer"}},
            "gift": {"type": "boolean", "description": "wrapped or not"},
            "anything": {},
            "ref": {"type": ["string", "integer"]},
        },
        "required": ["name", "lines", "colour"],
        "additionalProperties": False,
    }
    assert unsupported_keywords(order.parameters) == []


async def test_values_are_made_of_the_hinted_kinds_and_the_context_is_given(place: ToolPlace) -> None:
    tool = open_source(place, KINDS, "order")
    given = await call(tool, "order", name="Anna", lines=[{"sku": "A"}], colour="RED", weight=2, extra={"a": 1})
    assert given == ["str", "Line", "Colour", "float", "dict", "ToolContext", "run_1", []]
    with pytest.raises(ToolFailed, match=r'"lines\[0\]\.sku" is missing; "colour" must be one of "red", "blue"'):
        await call(tool, "order", name="Anna", lines=[{}], colour="green")


async def test_several_functions_of_one_module_and_both_sorts_of_function(place: ToolPlace) -> None:
    source = """
    import threading
    def where() -> int: return threading.get_ident()
    async def here() -> int: return threading.get_ident()
    """
    tool = open_source(place, source, "where", "here")
    assert [f.name for f in tool.functions] == ["shop.where", "shop.here"]
    assert await call(tool, "where") != threading.get_ident()
    assert await call(tool, "here") == threading.get_ident()
    assert function(tool, "where").description == "where"
    assert (function(tool, "where").effect, function(tool, "where").idempotent) == ("write", False)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("return 'text'", "text"),
        ("return None", None),
        ("return {1: (2, 3)}", {"1": [2, 3]}),
        ("return Point(1, Point(2, None))", {"x": 1, "y": {"x": 2, "y": None}}),
        ("return {3, 1, 2}", [1, 2, 3]),
        ("return ToolOutcome({'a': 1}, 'told')", {"a": 1}),
    ],
)
async def test_what_it_gives_becomes_plain_json(place: ToolPlace, body: str, value: Any) -> None:
    source = f"""
    from dataclasses import dataclass
    from typing import Any
    from orchestrator.ports.tool import ToolOutcome
    @dataclass
    class Point:
        x: int
        y: Any
    def f():
        {body}
    """
    assert await call(open_source(place, source, "f"), "f") == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return object()", "shop.f gave something that is no JSON value"),
        ("return float('nan')", "shop.f gave something that is no JSON value"),
        ("x = []; x.append(x); return x", "shop.f gave something that is no JSON value"),
        ("raise ValueError('no such sku')", "no such sku"),
        ("raise KeyError('/secret/path')", "shop.f failed (KeyError)"),
        ("raise SystemExit(3)", "shop.f failed (SystemExit)"),
        ("raise KeyboardInterrupt", "shop.f failed (KeyboardInterrupt)"),
        ("raise GeneratorExit", "shop.f failed (GeneratorExit)"),
        ("import asyncio; raise asyncio.CancelledError", "shop.f failed (CancelledError)"),
        ("raise type('Own', (BaseException,), {})", "shop.f failed (Own)"),
        ("from orchestrator.core.errors import ToolFailed; raise ToolFailed('told')", "told"),
    ],
)
@pytest.mark.parametrize("sort", ["def", "async def"])
async def test_what_goes_wrong_is_told_without_internals(place: ToolPlace, sort: str, body: str, said: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        await call(open_source(place, f"{sort} f():\n    {body}\n", "f"), "f")
    assert caught.value.message == said


async def test_a_function_that_cancels_itself_has_failed_and_cancels_nobody_else(place: ToolPlace) -> None:
    source = """
    import asyncio
    async def f():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
    """
    tool = open_source(place, source, "f")
    for _ in range(2):
        with pytest.raises(ToolFailed) as caught:
            await call(tool, "f")
        assert caught.value.message == "shop.f failed (CancelledError)"
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("after", ["raise", "raise ValueError('late')", "return 1"])
@pytest.mark.parametrize("natively", [False, True])
async def test_an_async_function_whose_run_is_cancelled_is_cancelled(
    place: ToolPlace, after: str, natively: bool
) -> None:
    """Whatever it makes of that: the run is not told a failure of the tool."""
    source = f"""
    import asyncio
    told = []
    async def f():
        told.append("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            {after}
    """
    tool = open_source(place, source, "f")
    run: Any = function(tool, "f").run
    told = run.__self__._function.__globals__["told"]
    if natively:
        task = asyncio.create_task(run({}, ToolContext()))
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:  # a failure would leave the group
        async with anyio.create_task_group() as group:
            group.start_soon(run, {}, ToolContext())
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert told == ["begun", "cancelled"]


async def test_a_cancelled_call_of_a_blocked_function_returns_at_once(place: ToolPlace) -> None:
    source = """
    import threading
    started, end = threading.Event(), threading.Event()
    def stuck():
        started.set()
        end.wait(30)
    """
    tool = open_source(place, source, "stuck")
    stuck: Any = function(tool, "stuck").run
    module = stuck.__self__._function.__globals__
    async with anyio.create_task_group() as group:
        group.start_soon(stuck, {}, ToolContext())
        assert await anyio.to_thread.run_sync(module["started"].wait, 10)
        group.cancel_scope.cancel()
    module["end"].set()


STUCK = """
import threading
started, end = threading.Semaphore(0), threading.Event()
inside, most = [], []
def stuck(wait: bool) -> str:
    inside.append(1)
    most.append(len(inside))
    started.release()
    if wait:
        end.wait(30)
    inside.pop()
    return "here"
"""


class Stuck:
    """A tool with one function, of which calls hang until the test says so."""

    def __init__(self, place: ToolPlace) -> None:
        run: Any = function(open_source(place, STUCK, "stuck"), "stuck").run
        self._run = run
        self.module = run.__self__._function.__globals__

    async def __call__(self, *, wait: bool = False) -> str:
        return str((await self._run({"wait": wait}, ToolContext())).value)

    async def begun(self, count: int) -> None:
        """So many more calls are in a thread."""
        for _ in range(count):
            assert await anyio.to_thread.run_sync(partial(self.module["started"].acquire, timeout=10))

    async def leave(self, count: int) -> None:
        """So many calls hang, and their callers have gone."""
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(partial(self, wait=True))
            await self.begun(count)
            group.cancel_scope.cancel()


@pytest.fixture
def stuck(place: ToolPlace) -> Iterator[Stuck]:
    made = Stuck(place)
    yield made
    made.module["end"].set()


async def test_a_thread_that_nobody_waits_for_counts_until_it_returns(stuck: Stuck) -> None:
    """Seven that were left and eight more are still eight threads."""
    await stuck.leave(7)
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(partial(stuck, wait=True))
        await stuck.begun(1)
        await anyio.wait_all_tasks_blocked()
        assert max(stuck.module["most"]) == 8
        stuck.module["end"].set()
    assert max(stuck.module["most"]) == 8


async def test_a_call_that_finds_no_thread_waits_for_one(stuck: Stuck) -> None:
    """Also where all are held by calls whose time is over: they are slow perhaps, and nothing needs to be started again."""
    await stuck.leave(8)
    async with anyio.create_task_group() as group:
        given: list[str] = []

        async def ask() -> None:
            with anyio.fail_after(10):
                given.append(await stuck())

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert given == []
        stuck.module["end"].set()
    assert given == ["here"]


async def test_a_call_whose_time_is_over_before_there_is_a_thread_says_who_holds_them(stuck: Stuck) -> None:
    """And is none of those that hold one; later calls run."""
    await stuck.leave(3)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(partial(stuck, wait=True))
        await stuck.begun(5)
        said = (
            r"shop had no thread .* within [0-9.]+ s: all its 8 threads are held, 3 of them by calls whose time is over"
        )
        with pytest.raises(ToolFailed, match=said) as failed, anyio.fail_after(0.05):
            await stuck()
        assert "timeout of the tool shop" in failed.value.cure and "never returns" in failed.value.cure
        stuck.module["end"].set()
    assert [await stuck() for _ in range(20)] == ["here"] * 20


async def test_calls_that_are_only_many_are_told_so_and_not_to_start_anything_again(stuck: Stuck) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(partial(stuck, wait=True))
        await stuck.begun(8)
        with (
            pytest.raises(ToolFailed, match="all its 8 threads are held, the longest") as failed,
            anyio.fail_after(0.05),
        ):
            await stuck()
        assert failed.value.cure == "Ask for less at once, or raise timeout of the tool shop."
        stuck.module["end"].set()


async def test_a_caller_that_goes_away_is_cancelled_while_it_waits_and_takes_no_place(stuck: Stuck) -> None:
    """It is not told about threads: its time was not over."""
    await stuck.leave(8)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(stuck)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    stuck.module["end"].set()
    assert [await stuck() for _ in range(20)] == ["here"] * 20


async def test_a_call_that_is_cancelled_before_its_thread_begins_gives_its_place_back(stuck: Stuck) -> None:
    """However often."""
    for _ in range(20):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stuck(wait=True)
        assert scope.cancelled_caught
    assert await stuck() == "here"


async def test_an_async_function_is_cancelled(place: ToolPlace) -> None:
    tool = open_source(place, "import anyio\nasync def f(): await anyio.sleep_forever()\n", "f")
    with anyio.move_on_after(0.01) as scope:
        await call(tool, "f")
    assert scope.cancelled_caught


# ---- loading ---------------------------------------------------------------------------------------------------------


async def test_two_folders_with_modules_of_one_name_do_not_mix_and_a_new_load_sees_new_code(
    place: ToolPlace, tmp_path: Path
) -> None:
    write(place, "VALUE = 1\n", "helper_of_tools.py")
    source = "import helper_of_tools\nimport json\ndef f(): return helper_of_tools.VALUE\n"
    first = open_source(place, source, "f")
    other = replace(place, folder=tmp_path / "other")
    other.folder.mkdir()
    write(other, "VALUE = 2\n", "helper_of_tools.py")
    second = open_source(other, source, "f")
    write(place, "VALUE = 3\n", "helper_of_tools.py")
    third = open_source(place, source, "f")
    assert [await call(tool, "f") for tool in (first, second, third)] == [1, 2, 3]
    assert not {"tools", "helper_of_tools"} & sys.modules.keys()
    assert str(place.folder) not in sys.path
    assert not list(place.folder.rglob("__pycache__"))


async def test_a_module_named_like_an_installed_one_is_the_operators_and_the_installed_one_stays(
    place: ToolPlace,
) -> None:
    write(place, "def f(): return 'mine'\n", "anyio.py")
    tool = open_python("shop", {"python": "anyio:f"}, place)
    assert await call(tool, "f") == "mine"
    assert sys.modules["anyio"] is anyio


async def test_a_package_with_relative_imports(place: ToolPlace) -> None:
    write(place, "", "pack/__init__.py")
    write(place, "RATE = 0.5\n", "pack/rates.py")
    write(place, "from .rates import RATE\ndef f(): return RATE\n", "pack/quotes.py")
    assert await call(open_python("shop", {"python": "pack.quotes:f"}, place), "f") == 0.5


async def test_a_module_of_another_root(place: ToolPlace, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "far.py").write_text("def f(): return 'far'\n")
    tool = open_python("shop", {"python": "far:f"}, replace(place, roots=(shared,)))
    assert await call(tool, "f") == "far"
    with pytest.raises(DeployError, match="there is no module far"):
        open_python("shop", {"python": "far:f"}, place)


@pytest.mark.parametrize("module", ["os", "json.decoder", "orchestrator.core.digest", "yaml", "nowhere"])
async def test_an_installed_module_is_outside_every_root(place: ToolPlace, module: str) -> None:
    write(place, "def system(): return 1\n", "os.py")
    with pytest.raises(DeployError, match=f"there is no module {module}|the module {module} has a name of"):
        open_python("shop", {"python": f"{module}:system"}, place)


async def test_a_link_out_of_the_roots_is_refused_and_its_code_does_not_run(place: ToolPlace, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')\n")
    (place.folder / "evil.py").symlink_to(tmp_path / "evil.py")
    with pytest.raises(DeployError, match="outside every folder"):
        open_python("shop", {"python": "evil:f"}, place)


@pytest.mark.parametrize(
    "text", ["../evil:f", "/etc/passwd:f", "tools.:f", "..tools:f", "tools", "tools:f()", ":f", "tools:f\n"]
)
async def test_what_is_no_module_and_function_is_refused(place: ToolPlace, text: str) -> None:
    write(place, "def f(): return 1\n")
    with pytest.raises(DeployError):
        open_python("shop", {"python": text}, place)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(: pass", "SyntaxError"),
        ("import not_installed_anywhere", "ModuleNotFoundError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def g(): pass", "has no function f"),
        ("f = 5", "has no function f"),
        ("def f(a): pass", "the parameter a has no type hint"),
        ("def f(*a: int): pass", "the parameter a cannot be given by name"),
        ("def f(a: int, /): pass", "the parameter a cannot be given by name"),
        ("def f(a: bytes): pass", "the parameter a: a schema cannot be made of bytes"),
        ("def f(a: dict[int, str]): pass", "keys of a dict can only be str"),
        ("def f(a: list[set]): pass", r"the parameter a\[\]: a schema cannot be made of set"),
        ("def f(a: 'Missing'): pass", "type hints cannot be read"),
    ],
)
async def test_code_that_cannot_be_a_tool_stops_the_opening(place: ToolPlace, source: str, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        open_source(place, source, "f")
    assert "tools" not in sys.modules
    await anyio.lowlevel.checkpoint()


async def test_the_text_for_a_model_is_the_json_once(place: ToolPlace) -> None:
    assert (await outcome(open_source(place, "def f(): return {'a': 'è'}", "f"), "f")).text == '{"a": "è"}'
