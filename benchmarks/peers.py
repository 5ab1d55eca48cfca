"""What other projects take for the same work: router, specialist, two model calls, one answer; with and without a history.

Method: every arm is a process of its own, warm, on asyncio's own loop, one request at a time, against one canned server in
its own process, whose CPU is not counted. CPU time (user and system, all threads) per request; medians of interleaved
rounds: in each round every arm has its turn. The arms are plain scripts in ``peer_arms``, written as each project's own
documentation writes it; graphs, agents, clients and histories are made once. Versions are printed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from benchmarks.canned import canned_server
from benchmarks.measure import Row, at_least, at_most, show
from benchmarks.peer_arms.arm import HISTORIES, QUESTION, Ask, work

ARMS: Final = Path(__file__).parent / "peer_arms"
ROUNDS: Final = 7
COUNTS: Final = {0: 150, 100: 30, 400: 10}
"""Requests of a round, by the length of their history."""
KEPT, FRESH = "this project", "this project, its history made anew for each request"
AIOHTTP = "two bare requests of aiohttp, nothing checked"
BARE, BARE_PEERS = "two bare calls of the openai client", "two bare calls of the openai client that the peers have"
WORKFLOW, ROUTER = "Agent Framework, workflow with a switch", "litellm Router"
PEERS: Final = {
    BARE_PEERS: "openai_sdk",
    "LangGraph, openai client in its nodes": "langgraph_openai",
    "LangGraph, ChatOpenAI in its nodes": "langgraph_chat_openai",
    "Agent Framework, two agents by hand": "agent_framework_by_hand",
    WORKFLOW: "agent_framework_workflow",
    "litellm SDK": "litellm_sdk",
    ROUTER: "litellm_router",
}


@dataclass
class Arm:
    """A process that works when it is told to. ``spent`` are milliseconds of CPU per request, by the history's length."""

    process: subprocess.Popen[str]
    versions: dict[str, str]
    spent: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in COUNTS})

    def turn(self) -> None:
        """One round."""
        for size, count in COUNTS.items():
            assert self.process.stdin is not None
            print(size, count, file=self.process.stdin, flush=True)
            self.spent[size].append(float(_line_of(self.process)) / count * 1e3)

    def cost(self, size: int) -> float:
        """The median; the first round warms up."""
        return statistics.median(self.spent[size][1:])


@contextmanager
def started(argv: Sequence[str]) -> Iterator[Arm]:
    """An arm that is warm."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Arm(process, json.loads(_line_of(process)))
        finally:
            process.terminate()


def _line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"an arm ended: {process.args!r}")
    return line


def argvs(peers_python: str, url: str) -> dict[str, list[str]]:
    """How each arm is started, by its name."""
    ours = [sys.executable, "-m", "benchmarks.peers", url]
    own = {KEPT: [*ours, "kept"], FRESH: [*ours, "fresh"]}
    bare = {AIOHTTP: "aiohttp_bare", BARE: "openai_sdk"}
    own |= {name: [sys.executable, str(ARMS / f"{script}.py"), url] for name, script in bare.items()}
    return own | {name: [peers_python, str(ARMS / f"{script}.py"), url] for name, script in PEERS.items()}


def measure(peers_python: str) -> dict[str, Arm]:
    """All arms, interleaved."""
    with ExitStack() as stack:
        url = stack.enter_context(canned_server())
        arms = {name: stack.enter_context(started(argv)) for name, argv in argvs(peers_python, url).items()}
        for _ in range(ROUNDS + 1):
            for arm in arms.values():
                arm.turn()
        return arms


def table(arms: dict[str, Arm]) -> Iterator[str]:
    """A line for each arm: milliseconds of CPU per request, and how many times ours that is."""
    heads = "".join(f"{f'after {size}' if size else 'two hops':>20}" for size in COUNTS)
    yield f"     {'ms of CPU per request (times ours)':<60}{heads}"
    for name, arm in arms.items():
        cells = [f"{arm.cost(size):.3f} ({arm.cost(size) / arms[KEPT].cost(size):.1f}x)" for size in COUNTS]
        yield f"     {name:<60}" + "".join(f"{cell:>20}" for cell in cells)


def rows(arms: dict[str, Arm]) -> Iterator[Row]:
    """What the project promises of itself beside others."""
    ours = arms[KEPT]
    yield at_most("two hops: this project", ours.cost(0), "ms", 0.40)
    for name, least in {BARE: 5, WORKFLOW: 12, ROUTER: 15}.items():
        yield at_least(f"two hops: {name}, times ours", arms[name].cost(0) / ours.cost(0), "x", least)
    longest = max(COUNTS)
    yield at_most(f"{longest} messages of history add: this project", _added(ours, longest), "ms", 0.5)
    name, least_added = min(((name, _added(arms[name], longest)) for name in PEERS), key=lambda pair: pair[1])
    ratio = least_added / _added(ours, longest)
    yield at_least(f"... the peer that they add least to ({name}), times ours", ratio, "x", 100)
    yield Row(f"{longest} messages of history add: {FRESH}", _added(arms[FRESH], longest), "ms")


def _added(arm: Arm, size: int) -> float:
    return arm.cost(size) - arm.cost(0)


def main(peers_python: str) -> None:
    """Print versions, the table, and what is promised. ``peers_python`` has the peers (see ``scripts/peers.sh``)."""
    arms = measure(peers_python)
    for name, arm in arms.items():
        told = ", ".join(f"{package} {version}" for package, version in arm.versions.items())
        print(f"     {name}: {told}")
    print(*table(arms), sep="\n")
    show(rows(arms))


# -- our own arm ----------------------------------------------------------------------------------------------------


async def our_arm(url: str, *, kept: bool) -> None:
    """The engine without the runtime's log and record of runs, on the OpenAI-compatible provider; its router asks the model."""
    from benchmarks.two_hops import engine_of
    from orchestrator.app.version import program_version
    from orchestrator.core.message import Message
    from orchestrator.core.request import Request
    from orchestrator.plugins.providers.compatible import open_openai_compatible

    def made(size: int) -> tuple[Message, ...]:
        return tuple(Message.from_json(each) for each in HISTORIES[size])

    histories = {size: made(size) for size in HISTORIES}
    provider = open_openai_compatible()
    async with engine_of("intent", provider, url) as engine:

        async def ask(size: int) -> str:
            result = await engine.run(Request(QUESTION, histories[size] if kept else made(size)))
            assert result.usage.model_calls == 2, result
            return result.text

        answers: Ask = ask
        await work(answers, {"orchestrator-edge": program_version()})
    await provider.aclose()


if __name__ == "__main__":
    anyio.run(lambda: our_arm(sys.argv[1], kept=sys.argv[2] == "kept"))
