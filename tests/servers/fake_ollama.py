"""A program like `ollama serve` that is a real process: the simulated Ollama, with a store that outlives it.

Its first word is a folder: `store.json` in it holds the names that are `installed` and, with their bytes, those that the
`library` has. `serve --help` lists the variables of the environment; each start appends a line to `starts` there.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import HttpShell
from orchestrator.testing.lifecycle.store import ModelStore, StoredModel

HELP = """Usage:
  ollama serve [flags]

Flags:
  -h, --help   help for serve

Environment Variables:
      OLLAMA_HOST                IP Address for the ollama server (default 127.0.0.1:11434)
      OLLAMA_CONTEXT_LENGTH      Context length to use unless otherwise specified
      OLLAMA_NUM_PARALLEL        Maximum number of parallel requests
"""
LOOKS = 0.02
"""Seconds between two looks at what it has, for the file."""


def read(folder: Path) -> ModelStore:
    kept = json.loads((folder / "store.json").read_text())
    library = {name: _model(name, size) for name, size in kept["library"].items()}
    return ModelStore({name: library.get(name) or StoredModel.of(name) for name in kept["installed"]}, library)


def _model(name: str, size: int) -> StoredModel:
    return StoredModel(name, size, StoredModel.of(name).quantization)


def write(folder: Path, store: ModelStore) -> None:
    library = {name: model.size for name, model in store.library.items()}
    aside = folder / "store.new"
    aside.write_text(json.dumps({"installed": sorted(store.installed), "library": library}))
    aside.replace(folder / "store.json")


async def serve(folder: Path) -> None:
    store, leaves = read(folder), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leaves.set)
    shell = HttpShell(SimulatedEndpoint(kept=store), "ollama")
    await shell.start(int(os.environ["OLLAMA_HOST"].rpartition(":")[2]))
    known = set(store.installed)
    while not leaves.is_set():
        await asyncio.sleep(LOOKS)
        if set(store.installed) != known:
            known = set(store.installed)
            write(folder, store)
    await shell.stop()


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    if "--version" in words:
        sys.stdout.write("ollama version is 0.33.0\n")
    elif "--help" in words:
        sys.stdout.write(HELP)
    else:
        with (folder / "starts").open("a") as starts:
            starts.write(f"{os.getpid()} {os.environ['OLLAMA_HOST']}\n")
        asyncio.run(serve(folder))


if __name__ == "__main__":
    main()
