"""What a request through the engine costs: router, specialist, model calls; long histories; a thousand at once.

Method: CPU time (user and system) of this process per request, one request at a time; medians of interleaved rounds after
one to warm up; the garbage collector as it is. `instant` is a provider in this process that answers at once, so that what
is left is ours; the others talk over HTTP to a canned server in another process, whose CPU is not counted. The crowd runs
in a process of its own. Two bare calls of aiohttp stand beside what goes over HTTP: where the machine makes those slow
(system calls of a virtual machine), read the rows by their ratio.

Found while tuning: anyio.current_time takes 1.5 us, of which the clock is 0.1 (serve/clock.py); a session and a gate that
are not there must cost no frame (0.3 KB of each run in flight); a set of tools or a schema must be the same object in each
call, so that the provider encodes it once; records of the request path are frozen for the type checker only
(core/record.py), which took a quarter off. What is left is spread: cancel scopes (2 us each) are its largest part.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio

from benchmarks.canned import ANSWER, ROUTE, canned_server
from benchmarks.measure import Row, at_least, at_most, cpu_of_block, show
from benchmarks.two_hops import TEXT, engine_of
from orchestrator.core.event import Event
from orchestrator.core.message import Message, Usage
from orchestrator.core.request import Request
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel
from orchestrator.serve.engine import Engine
from orchestrator.serve.run import Emit

ROUNDS: Final = 9
REQUESTS: Final = 300
CROWD: Final = 1_000
LARGEST: Final = 5_000
Way = Callable[[], Awaitable[None]]


class Instant:
    """A provider that answers at once."""

    kind = "instant"
    _route = ChatReply(Message("assistant", ROUTE), "stop", Usage(400, 12, 1))
    _answer = ChatReply(Message("assistant", ANSWER), "stop", Usage(400, 12, 1))

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:  # noqa: ARG002 - the port's
        """It is always there."""
        return Identity(self.kind, url)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:  # noqa: ARG002 - as the port has them
        """Not asked for here."""
        return ()

    async def chat(self, call: ChatCall) -> ChatReply:
        """A route, or the answer."""
        return self._route if call.schema_name == "route" else self._answer

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """In one piece."""
        yield Delta(ANSWER, await self.chat(call))

    async def aclose(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def sinks() -> AsyncIterator[Emit]:
    """What the runtime does with events: a line in the deployment's log, the run in the database."""
    from orchestrator.app.journal import Journal
    from orchestrator.plugins.stores.keeper import RunKeeper
    from orchestrator.plugins.stores.sqlite import open_stores

    def fail(trouble: object) -> None:
        raise RuntimeError(f"a sink failed: {trouble}")

    with tempfile.TemporaryDirectory() as folder:
        stores = open_stores(Path(folder, "state.db"))
        journal, keeper = Journal(Path(folder, "logs"), str, fail), RunKeeper(stores.runs, report=fail)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.run)
            tasks.start_soon(keeper.run)

            def emit(event: Event) -> None:
                journal.take(event)
                keeper.take(event)

            yield emit
            await keeper.aclose()
            tasks.cancel_scope.cancel()
        stores.close()


def through(engine: Engine, history: tuple[Message, ...] = ()) -> Way:
    """One request through an engine."""

    async def go() -> None:
        result = await engine.run(Request(TEXT, history))
        assert result.text == ANSWER, result

    return go


def aiohttp_calls(session: Any, url: str, count: int) -> Way:
    """That many bare calls of aiohttp, which is what the providers use beyond the device."""
    body = json.dumps({"model": "canned", "messages": [{"role": "user", "content": TEXT}]}).encode()
    headers = {"Content-Type": "application/json"}

    async def go() -> None:
        for _ in range(count):
            async with session.post(f"{url}/chat/completions", data=body, headers=headers) as answer:
                assert (await answer.json())["choices"]

    return go


def openai_calls(client: Any, count: int) -> Way:
    """That many bare calls of the official client, as its documentation writes them."""

    async def go() -> None:
        for _ in range(count):
            reply = await client.chat.completions.create(
                model="canned",
                messages=[{"role": "system", "content": "You answer."}, {"role": "user", "content": TEXT}],
                max_tokens=160,
                temperature=0,
            )
            assert reply.choices[0].message.content == ANSWER

    return go


async def costs(ways: dict[str, Way], requests: int = REQUESTS, rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds of CPU per request of each, by name."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            gc.collect()
            with cpu_of_block(spent[name]):
                for _ in range(requests):
                    await way()
    return {name: statistics.median(values[1:]) / requests * 1e3 for name, values in spent.items()}


async def measure(url: str) -> dict[str, float]:
    """All ways that go one at a time, interleaved."""
    from aiohttp import ClientSession
    from openai import AsyncOpenAI

    from orchestrator.plugins.providers.compatible import open_openai_compatible

    history = tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n}: " + "words " * 10) for n in range(400))
    lean = open_openai_compatible()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        client = await enter(AsyncOpenAI(base_url=url, api_key="none"))
        instant = {name: await enter(engine_of(name, Instant())) for name in ("first", "lexical", "intent")}
        near = {name: await enter(engine_of(name, lean, url)) for name in ("first", "intent")}
        kept = await enter(engine_of("intent", Instant(), emit=await enter(sinks())))
        ways = {"kept": through(kept)}
        ways |= {f"instant {name}": through(engine) for name, engine in instant.items()}
        ways |= {f"near {name}": through(engine) for name, engine in near.items()}
        ways["near history"] = through(near["first"], history)
        ways["openai"] = openai_calls(client, 2)
        ways["aiohttp"] = aiohttp_calls(await enter(ClientSession()), url, 2)
        found = await costs(ways)
    await lean.aclose()
    return found


# -- a thousand at once ---------------------------------------------------------------------------------------------


async def crowd(url: str, strategy: str, count: int) -> dict[str, float]:
    """So many requests at once; in a process of its own, because memory is what is measured."""
    import psutil

    from orchestrator.plugins.providers.compatible import open_openai_compatible

    lean, process = open_openai_compatible(), psutil.Process()
    async with engine_of(strategy, lean, url, slots=count) as engine:
        await engine.run(Request(TEXT))
        gc.collect()
        before = process.memory_info().rss
        began, cpu = time.perf_counter(), time.process_time()
        runs = [asyncio.create_task(engine.run(Request(TEXT))) for _ in range(count)]
        await anyio.sleep(1.5)  # of the two seconds that the model takes
        assert engine.in_flight == count, "not all were waiting as the memory was read"
        waiting = process.memory_info().rss
        done = sum(result.text == ANSWER for result in await asyncio.gather(*runs))
        wall, spent = time.perf_counter() - began, time.process_time() - cpu
    await lean.aclose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    kb = (waiting - before) / count / 1024
    return {"done": done, "wall": wall, "cpu": spent / count * 1e3, "kb": kb, "peak": peak}


def measure_crowd(strategy: str, count: int) -> dict[str, float]:
    """The crowd against a model that takes 2 s per call."""
    with canned_server(delay=2.0) as url:
        argv = [sys.executable, "-m", "benchmarks.engine", url, strategy, str(count)]
        done = subprocess.run(argv, check=True, capture_output=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def rows() -> list[Row]:
    """All rows."""
    with canned_server() as url:
        cost = anyio.run(measure, url)
    many, most = measure_crowd("intent", CROWD), measure_crowd("first", LARGEST)
    return [
        at_most("engine alone: router, specialist, one model call", cost["instant first"], "ms", 0.10),
        at_most("engine alone: router that asks a model, specialist: two calls", cost["instant intent"], "ms", 0.10),
        Row("... with the runtime's log and its record of runs", cost["kept"], "ms"),
        Row("the same with one call and the lexical router, its decision included", cost["instant lexical"], "ms"),
        at_most("over HTTP: router, specialist, one model call", cost["near first"], "ms", 0.25),
        at_most("over HTTP: router that asks a model, specialist: two calls", cost["near intent"], "ms", 0.40),
        Row("two bare calls of aiohttp", cost["aiohttp"], "ms"),
        Row("two bare calls of the openai client", cost["openai"], "ms"),
        at_least("... times what ours costs with routing and all", cost["openai"] / cost["near intent"], "x", 5),
        at_most("over HTTP: one call with 400 messages of history", cost["near history"], "ms", 0.5),
        at_least("of 1,000 two-hop requests at once on a 2 s model succeed", many["done"], "", CROWD),
        at_most("... all done after", many["wall"], "s", 4.8),
        at_most("... memory of each in flight", many["kb"], "KB", 25),
        at_most("... peak memory of the process", many["peak"], "MB", 110),
        Row("... CPU of each", many["cpu"], "ms"),
        at_least("of 5,000 one-hop requests at once on the same model succeed", most["done"], "", LARGEST),
        at_most("... all done after", most["wall"], "s", 5),
        at_most("... memory of each in flight", most["kb"], "KB", 25),
    ]


def main() -> None:
    """Print the rows."""
    show(rows())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(anyio.run(crowd, sys.argv[1], sys.argv[2], int(sys.argv[3]))))
    else:
        main()
