"""What a call from node to node costs, beside plain NATS over the same servers.

Method: a fleet of two nodes on this machine as ``apply --local`` makes it: a hub, a leaf on each node, TLS and keys between them,
a runtime on each node. *The mesh alone*: a process on each leaf with the mesh of ``orchestrator/node/`` and a worker that answers
at once; *plain NATS*: request and reply of nats-py between the same two processes over the same connections, of the same size; the
two take turns, a hundred calls each. *Streams*: 5,000 pieces from one to the other. *The product*: the same request, answered by a
rule of an agent of the second node, at the door of that node and at that of the other one. *Fail-over*: the second node's runtime
gets SIGKILL; until the first one asks it nothing any more, and until it answers itself. Simulated fail-overs are of 20 seeds in
virtual time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import psutil

from benchmarks.measure import Row, at_least, at_most, runtime_of, show
from benchmarks.mesh_node import ECHO, PIECE, PIECES, RAW, WORDS, client_of, joined
from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.app.fleet.local import LocalFleet
from orchestrator.app.simulation.order import Order, simulate
from orchestrator.app.sources import pack_sources
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.node.mesh import Mesh
from orchestrator.plugins.buses.nats import NatsBus

MANIFEST: Final = """
metadata: {name: bench}
deployment:
  type: distributed-edge
  nodes:
    - {id: edge-1, hub: true, agents: [{name: near, reflex: [{when: {regex: "near"}, say: "yes"}]}]}
    - {id: edge-2, agents: [{name: far, reflex: [{when: {regex: "far"}, say: "yes"}]}]}
  coordination: {failover: automatic}
"""
NAME: Final = "bench"
ROUNDS, CALLS = 20, 100
STREAMS: Final = 5
ASKS: Final = 400
SEEDS: Final = 20
MB: Final = 1024 * 1024


def quantile(values: Sequence[float], share: float) -> float:
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, int(len(ordered) * share + 0.999999) - 1)]


@contextmanager
def fleet() -> Iterator[LocalFleet]:
    """Two nodes that run, ended in the end."""
    with tempfile.TemporaryDirectory(prefix="orc-") as folder:
        manifest = Path(folder) / "bench.yaml"
        manifest.write_text(MANIFEST)
        environment = {**os.environ, "ORCHESTRATOR_SERVERS": "", "ORCHESTRATOR_HOME": folder}
        compilation = compile_files([str(manifest)], environment=environment)
        found = LocalFleet.of(Path(folder) / "state", NAME)
        try:
            found.start(["edge-1", "edge-2"], "edge-1", environment, lambda _: None)
            wanted = Wanted(
                blueprint=compilation.blueprint, sources=pack_sources(compilation.loaded), origin=str(manifest)
            )
            found.client("edge-1").apply(wanted, lambda _: None, 60.0)
            yield found
        finally:
            found.stop(5.0)


# ---- the mesh alone, and plain NATS ---------------------------------------------------------------------------------


@contextmanager
def answering(found: LocalFleet) -> Iterator[None]:
    """The process on the other leaf runs."""
    argv = [sys.executable, "-m", "benchmarks.mesh_node", str(found.root / "edge-2")]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.wait()


async def heard(mesh: Mesh) -> None:
    """Wait until the other node has said that it lives."""
    with anyio.fail_after(10):
        while not mesh.table.holders(ECHO, anyio.current_time()):  # noqa: ASYNC110 - a table has no event
            await anyio.sleep(0.05)


async def timed_calls(bus: NatsBus, mesh: Mesh) -> dict[str, list[float]]:
    """Milliseconds of each call, the two ways in turn."""
    client, took = client_of(bus), {"raw": list[float](), "mesh": list[float]()}
    body = b"x" * len(str(Request("hello", timeout=30.0).as_json()))
    for at in range(ROUNDS + 1):
        for way, into in took.items():
            for _ in range(CALLS):
                begun = time.perf_counter()
                if way == "raw":
                    await client.request(f"{RAW}.{ECHO}", body, timeout=5)
                else:
                    await mesh.ask(Request("hello", timeout=30.0), ECHO)
                if at:  # the first round warms up
                    into.append((time.perf_counter() - begun) * 1e3)
    return took


async def raw_stream(bus: NatsBus) -> float:
    """Pieces a second of plain NATS."""
    client, inbox, count = client_of(bus), bus.inbox("stream"), 0
    subscription = await client.subscribe(inbox)
    begun = time.perf_counter()
    await client.publish(f"{RAW}.{WORDS}", b"", reply=inbox)
    async for message in subscription.messages:
        count += message.data == PIECE.encode()
        if count == PIECES:
            break
    took = time.perf_counter() - begun
    await subscription.unsubscribe()
    return PIECES / took


async def mesh_stream(mesh: Mesh) -> float:
    """Pieces a second of the mesh: numbered, in order, with a digest."""
    got = 0

    async def pass_on(text: str) -> None:
        nonlocal got
        got += text == PIECE

    begun = time.perf_counter()
    await mesh.ask(Request("hello", timeout=30.0), WORDS, pass_on)
    assert got == PIECES
    return PIECES / (time.perf_counter() - begun)


async def alone(found: LocalFleet) -> list[Row]:
    """Calls and streams."""
    async with joined(found.root / "edge-1") as (bus, mesh):
        await heard(mesh)
        took = await timed_calls(bus, mesh)
        streams = [(await raw_stream(bus), await mesh_stream(mesh)) for _ in range(STREAMS)]
    raw, ours = took["raw"], took["mesh"]
    raw_rate, rate = (statistics.median(each) for each in zip(*streams, strict=True))
    return [
        Row("plain NATS, request and reply, p50", quantile(raw, 0.5), "ms"),
        Row("plain NATS, request and reply, p99", quantile(raw, 0.99), "ms"),
        Row("the mesh, a call, p50", quantile(ours, 0.5), "ms"),
        Row("the mesh, a call, p99", quantile(ours, 0.99), "ms"),
        at_most("the mesh adds, p50", quantile(ours, 0.5) - quantile(raw, 0.5), "ms", 3),
        at_most("the mesh adds, p99", quantile(ours, 0.99) - quantile(raw, 0.99), "ms", 15),
        Row("plain NATS, pieces a second", raw_rate, "/s"),
        at_least("the mesh, pieces of an answer a second", rate, "/s", 1000),
    ]


# ---- the product ----------------------------------------------------------------------------------------------------


def product(found: LocalFleet) -> list[Row]:
    """A request at each of the two doors, in turn."""
    doors = {node: found.client(node) for node in found.nodes}
    took: dict[str, list[float]] = {node: [] for node in doors}
    for at in range(ASKS + 20):
        for node, client in doors.items():
            begun = time.perf_counter()
            result = client.run(NAME, Request("far", agent="far"))
            assert (result.text, result.node) == ("yes", "edge-2"), result
            if at >= 20:
                took[node].append((time.perf_counter() - begun) * 1e3)
    near, far = took["edge-2"], took["edge-1"]
    return [
        Row("a request at the door of the node that answers, p50", quantile(near, 0.5), "ms"),
        Row("a request at the door of the node that answers, p99", quantile(near, 0.99), "ms"),
        at_most("... at another node's door adds, p50", quantile(far, 0.5) - quantile(near, 0.5), "ms", 3),
        at_most("... at another node's door adds, p99", quantile(far, 0.99) - quantile(near, 0.99), "ms", 15),
    ]


def memory(found: LocalFleet) -> list[Row]:
    """What each process of a node keeps in memory."""
    rows = [
        Row(f"memory: the runtime of {node}", _rss(runtime_of(str(found.root / node))), "MB") for node in found.nodes
    ]
    servers = {str(found.root / node): node for node in found.nodes}
    for process in psutil.process_iter(["name", "cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        for root, node in servers.items():
            if "nats-server" in words and root in words:
                what = "hub" if "hub" in Path(words.split()[-1]).name else "leaf"
                rows.append(Row(f"memory: the {what} of {node}", _rss(process), "MB"))
    return rows


def _rss(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / MB


# ---- fail-over ------------------------------------------------------------------------------------------------------


def killed(found: LocalFleet) -> list[Row]:
    """From SIGKILL of a runtime."""
    client, begun = found.client("edge-1"), time.perf_counter()
    runtime_of(str(found.root / "edge-2")).kill()
    suspect = _until(begun, lambda: _health(client.fleet()) != "alive")
    answered = _until(begun, lambda: _answers(client, "edge-1"))
    return [
        at_most("SIGKILL of a node: the other asks it nothing after", suspect, "s", 2.5),
        Row("SIGKILL of a node: the other answers for its agent after", answered, "s"),
    ]


def _health(seen: Mapping[str, Any] | None) -> str:
    return str(seen["deployments"][0]["nodes"]["edge-2"]["health"]) if seen else ""


def _answers(client: RuntimeClient, node: str) -> bool:
    result = client.run(NAME, Request("far", agent="far", timeout=2.0))
    return (result.text, result.node) == ("yes", node)


def _until(begun: float, true: Callable[[], bool], limit: float = 30.0) -> float:
    while not true():
        assert time.perf_counter() - begun < limit
        time.sleep(0.02)
    return time.perf_counter() - begun


def simulated(folder: str) -> list[Row]:
    """The same in virtual time, at 20 moments of the fleet's clocks."""
    manifest = Path(folder) / "bench.yaml"
    manifest.write_text(MANIFEST)
    blueprint = compile_files([str(manifest)], environment=os.environ).blueprint
    noticed: list[float] = []
    taken: list[float] = []
    for seed in range(SEEDS):
        order = Order(rps=20, duration="40s", seed=seed, fail=[f"edge-2@{10 + seed * 0.05:.2f}s"])
        [fail_over] = simulate(blueprint, order).figures.fail_overs
        assert fail_over.noticed is not None
        noticed.append(fail_over.noticed)
        taken += [move.seconds for move in fail_over.taken]
    return [
        at_most("simulated: the others ask it nothing after, at most", max(noticed), "s", 2.5),
        Row("simulated: another holds its agents after, median", statistics.median(taken), "s"),
        Row("simulated: another holds its agents after, at most", max(taken), "s"),
    ]


def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as folder:
        show(simulated(folder))
    with fleet() as found:
        with answering(found):
            show(anyio.run(alone, found))
        show(product(found))
        show(memory(found))
        show(killed(found))


if __name__ == "__main__":
    main()
