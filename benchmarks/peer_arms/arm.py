"""What every arm does beside its own work: it is told how many requests to make, and tells the CPU time that they took.

An arm is a script of its own: ``python ARM.py URL``. It prints a JSON line with the versions of what it uses once it is
warm; then, for each line ``TURNS COUNT`` that it reads, the seconds of CPU (user and system, all threads) that ``COUNT``
requests with ``TURNS`` earlier messages took, one after the other. Nothing here knows the project that is compared with.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import sys
import time
from collections.abc import Awaitable, Callable

QUESTION = "do you have the cordless drill in stock?"
ANSWER = "Yes, we have three of them in aisle 12."
AGENTS = ("sales", "returns", "hours", "jobs")
ROUTER = f"You sort requests of shoppers. Choose who should answer: {', '.join(AGENTS)}. Answer only with JSON."
SCHEMA = {
    "type": "object",
    "properties": {"agent": {"type": "string", "enum": list(AGENTS)}},
    "required": ["agent"],
    "additionalProperties": False,
}
RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "route", "strict": True, "schema": SCHEMA}}
SIZES = (0, 100, 400)
"""How many messages came before the request; the specialist sees them, the router does not."""
HISTORIES = {
    size: [
        {"role": "user" if n % 2 == 0 else "assistant", "content": f"turn {n}: " + "words " * 10} for n in range(size)
    ]
    for size in SIZES
}
Ask = Callable[[int], Awaitable[str]]


def instructions(agent: str) -> str:
    """The system message of a specialist."""
    return f"You answer questions of shoppers about {agent}, in one or two short sentences."


def run(build: Callable[[str], Ask], *packages: str) -> None:
    """Build the arm for the server's address, and work until standard input ends."""

    async def main() -> None:
        await work(build(sys.argv[1]), {name: importlib.metadata.version(name) for name in packages})

    asyncio.run(main())


async def work(ask: Ask, versions: dict[str, str]) -> None:
    """Warm up, then do what standard input says."""
    for size in SIZES:
        await _times(ask, size, 3)
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        size, count = map(int, line.split())
        gc.collect()
        began = time.process_time()
        await _times(ask, size, count)
        print(time.process_time() - began, flush=True)


async def _times(ask: Ask, size: int, count: int) -> None:
    for _ in range(count):
        said = await ask(size)
        if said != ANSWER:
            raise RuntimeError(f"a wrong answer: {said!r}")
