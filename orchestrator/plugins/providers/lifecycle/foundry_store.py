"""The cache of a Foundry Local 2 on this device, by its SDK in a process of its own for each act: what its service has no path
for. A service tells where its cache is, so it does not matter who started it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final, Literal

import anyio

from orchestrator.core.errors import ModelError, ModelNotFound, ServerFailed
from orchestrator.core.extras import install_line
from orchestrator.plugins.providers.lifecycle.asking import Stillness
from orchestrator.plugins.providers.lifecycle.cures import with_cure
from orchestrator.plugins.providers.makes.foundry_variant import Variant
from orchestrator.plugins.providers.makes.make import count, text
from orchestrator.ports.environment import passed_environment
from orchestrator.ports.interpreter import FOUNDRY_PYTHON, interpreter_with
from orchestrator.ports.lifecycle import PullProgress

PROGRAM: Final = Path(__file__).with_name("foundry_store_program.py")
LIST_SECONDS: Final = 10.0
"""What it has to list a cache, or to remove a model from it: it asks nobody on the network for that."""
STOP_SECONDS: Final = 3.0
"""What it has to leave a download, before it is ended."""
_LONGEST_LINE: Final = 16 * 2**20
_MEGABYTE: Final = 1024 * 1024

Act = Literal["list", "pull", "remove"]


class FoundryStore:
    """Asks the SDK. A list is kept until the cache changes. ``environment`` says which Python has the SDK."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._known: dict[str, tuple[Any, tuple[Variant, ...]]] = {}
        self._turn = asyncio.Lock()

    @property
    def there(self) -> bool:
        """Whether a Python has the SDK."""
        return interpreter_with("foundry", FOUNDRY_PYTHON, self._environment) is not None

    async def variants(self, cache: Path, service: str) -> tuple[Variant, ...]:
        """What the catalogue beside this cache holds; ``service`` is who keeps it. Raises ``ServerFailed``."""
        async with self._turn:
            stamp, known = await asyncio.to_thread(_stamp, cache), self._known.get(str(cache))
            if known is None or known[0] != stamp:
                told = await self._last("list", cache, service)
                found = [_variant(each) for each in told.get("models", ())]
                self._known[str(cache)] = known = (stamp, tuple(found))
            return known[1]

    async def remove(self, cache: Path, service: str, model: str) -> None:
        """Delete it. Raises ``ModelNotFound``, ``ServerFailed``."""
        await self._last("remove", cache, service, model)

    async def pull(self, cache: Path, model: str) -> AsyncIterator[PullProgress]:
        """Download it. Leaving early cancels it. Raises ``ModelNotFound``, ``ServerFailed`` and ``Stalled``."""
        still, wanted = Stillness(), model
        size: int | None = None
        async with aclosing(self._said("pull", cache, "", model)) as lines:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            yield still.saw(PullProgress("asking", model))
            while True:
                line = await still.wait(anext(lines))
                if "done" in line:
                    break
                if "model" in line:
                    variant = _variant(line["model"])
                    size, wanted = variant.size, variant.id
                share = min(1.0, float(line.get("percent", 0.0)) / 100)
                done = int(share * size) if size else None
                yield still.saw(
                    PullProgress("downloading", f"{wanted} {share:.0%}" if size is None else wanted, done, size)
                )
        yield PullProgress("done", wanted, size, size)

    async def _last(self, act: Act, cache: Path, service: str, model: str = "") -> dict[str, Any]:
        """Its last line."""
        try:
            async with asyncio.timeout(LIST_SECONDS), aclosing(self._said(act, cache, service, model)) as lines:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                async for line in lines:
                    if "models" in line or "done" in line:
                        return line
        except TimeoutError as error:
            raise ServerFailed(f"Foundry Local's SDK did not {act} within {LIST_SECONDS:g} s") from error
        raise ServerFailed(f"Foundry Local's SDK ended its {act} without an end")

    async def _said(self, act: Act, cache: Path, service: str, model: str = "") -> AsyncIterator[dict[str, Any]]:
        """Its lines, for as long as it runs. Raises what its last one tells."""
        with tempfile.TemporaryDirectory(prefix="orchestrator-foundry-") as data:
            process = await self._started(act, str(cache), data, service, model)
            try:
                assert process.stdout is not None  # noqa: S101 - asked for
                while line := await process.stdout.readline():
                    told = _parsed(line)
                    if "error" in told:
                        raise _failure(told["error"])
                    if told:
                        yield told
                        if "done" in told:
                            return
                raise ServerFailed(f"the process of Foundry Local's SDK {_ending(await process.wait())}")
            finally:
                await _leave(process)

    async def _started(self, *words: str) -> asyncio.subprocess.Process:
        python = interpreter_with("foundry", FOUNDRY_PYTHON, self._environment)
        if python is None:
            raise ServerFailed("Foundry Local's SDK is not installed", cure=install_line("foundry"))
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            python.path,
            str(PROGRAM),
            *words,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LONGEST_LINE,
            env=passed_environment(self._environment),
            start_new_session=True,
        )


async def _leave(process: asyncio.subprocess.Process) -> None:
    """Tell it to stop, and end it where it does not. Shielded: it is mostly a cancelled caller that leaves."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            assert process.stdin is not None  # noqa: S101 - asked for
            process.stdin.close()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):  # it has just ended
                    process.kill()
                await process.wait()


def _stamp(cache: Path) -> Any:
    """Changes when a model comes to the cache or goes from it: folders of publishers, and of models in them."""
    places = [cache, *cache.glob("*"), *cache.glob("*/*"), *cache.glob("*/*/*")]
    stamps = []
    for place in sorted(places):
        with suppress(FileNotFoundError):  # it goes just now
            stamps.append((str(place), place.stat().st_mtime_ns))
    return stamps


def _variant(told: Mapping[str, Any]) -> Variant:
    megabytes = count(told.get("megabytes"))
    size = megabytes * _MEGABYTE if megabytes else None
    name, alias, task = text(told.get("id")), text(told.get("alias")), text(told.get("task"))
    return Variant(name, alias, told.get("cached") is True, count(told.get("context")), size, task)


def _failure(error: Mapping[str, Any]) -> ModelError:
    if error.get("kind") == "Unknown":
        return ModelNotFound(str(error.get("message")), cure="write an alias of its catalogue")
    if error.get("kind") == "Missing":
        return ServerFailed(f"Foundry Local's SDK: {error.get('message')}", cure=install_line("foundry"))
    message = f"Foundry Local's SDK: {error.get('message')}"
    cure = "is the network there? then pull again" if "transport failure" in message else ""
    return with_cure(ServerFailed(message, cure=cure))


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}  # its core prints
    return told if isinstance(told, dict) else {}


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code} before it was done"
