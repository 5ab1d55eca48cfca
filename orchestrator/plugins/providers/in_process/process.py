"""The worker process as its caller has it: started when it is needed, one request at a time, started again after a crash."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio

from orchestrator.core.errors import (
    BrokenReply,
    ContextTooLong,
    GrammarRefused,
    ModelError,
    ModelNotFound,
    ServerBusy,
    ServerFailed,
    Stalled,
)
from orchestrator.core.extras import EXTRAS, install_line
from orchestrator.plugins.providers.failures import makes_no_grammar
from orchestrator.plugins.providers.in_process.library import Library
from orchestrator.ports.environment import passed_environment

WORKER: Final = Path(__file__).with_name("worker.py")
STOP_SECONDS: Final = 1.0
"""How long an answer that nobody wants any more may go on, and then its process that is ended."""
_LONGEST_LINE: Final = 16 * 2**20
_TOLD: Final = ("PYTHON", "OPENVINO_")
"""How variables begin that are for this process: it is our Python that runs there."""
_ERRORS: Final[Mapping[str, type[ModelError]]] = {
    "ContextTooLong": ContextTooLong,
    "ModelNotFound": ModelNotFound,
    "ServerFailed": ServerFailed,
}


class Worker:
    """Runs models of a library in a process of its own. ``python`` is the interpreter that has the library."""

    def __init__(self, library: Library, python: str = sys.executable) -> None:
        self._library = library
        self._python = python
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._model: str | None = None
        self._numbers = itertools.count(1)

    async def ask(self, request: Mapping[str, Any], timeout: float) -> AsyncIterator[dict[str, Any]]:
        """The parts of an answer as they come; the last one has ``end``. Leaving early cancels it.

        Raises ``ServerFailed`` where the process ends or the library fails, ``Stalled`` after ``timeout`` seconds.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        async with self._turn:
            process, model = await self._running(), str(request["model"])
            self._model = model if self.holds == model else ""  # another one leaves its room first
            number = next(self._numbers)
            over = False
            try:
                await self._send(process, {"id": number, **request})
                while not over:
                    part = await self._part(process, number, deadline)
                    self._model = model
                    over = "end" in part
                    yield part
            except ServerFailed:
                over = True
                raise
            finally:
                if not over:
                    await self._cancel(process, number)

    @property
    def holds(self) -> str | None:
        """The model that its process has in memory, by its path, empty where it has none; ``None`` where no call came yet: another
        process of this library may hold one."""
        if self._model and (self._process is None or self._process.returncode is not None):
            self._model = ""
        return self._model

    async def free(self, model: str, timeout: float) -> None:
        """End the process where it holds this model; the next call starts it again. Raises ``ServerBusy`` where it still answers
        after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._turn.acquire()
        except TimeoutError as error:
            raise ServerBusy(f"the process of {self._library.title} still answers") from error
        try:
            if self.holds == model:
                await self.aclose()
        finally:
            self._turn.release()

    async def aclose(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(
                self._python,
                str(WORKER),
                self._library.module,
                stdin=pipe,
                stdout=pipe,
                limit=_LONGEST_LINE,
                env=_environment(),
                start_new_session=True,
            )
        return self._process

    async def _send(self, process: asyncio.subprocess.Process, message: Mapping[str, Any]) -> None:
        assert process.stdin is not None  # noqa: S101 - asked for
        with suppress(ConnectionError):  # its end shows when it is read from
            process.stdin.write(json.dumps(message).encode() + b"\n")
            await process.stdin.drain()

    async def _part(self, process: asyncio.subprocess.Process, number: int, deadline: float) -> dict[str, Any]:
        """The next part of this answer; what is left of a cancelled one is passed over."""
        assert process.stdout is not None  # noqa: S101 - asked for
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    line = await process.stdout.readline()
            except TimeoutError as error:
                raise Stalled(f"the process of {self._library.title} did not answer in time") from error
            if not line:
                ending = _ending(await process.wait())
                raise ServerFailed(
                    f"the process of {self._library.title} {ending}", cure="see its output; it is started again"
                )
            part = _parsed(line)
            if part.get("id") == number:
                return self._checked(part)

    def _checked(self, part: dict[str, Any]) -> dict[str, Any]:
        error = part.get("error")
        if error is None:
            return part
        if error["kind"] == "Missing":
            package, extra = EXTRAS[self._library.extra].package, install_line(self._library.extra)
            raise ServerFailed(
                f"models of {self._library.title} need the package {package}: {error['message']}", cure=extra
            )
        kind, words = _ERRORS.get(error["kind"], BrokenReply), str(error["message"])
        raise (GrammarRefused if kind is ServerFailed and makes_no_grammar(words) else kind)(words)

    async def _cancel(self, process: asyncio.subprocess.Process, number: int) -> None:
        """Tell it to stop; one that does not stop within a second is ended, because the next request waits for it. Shielded: it is
        mostly a cancelled caller that leaves, and each of its awaits would end at once."""
        with anyio.move_on_after(2 * STOP_SECONDS, shield=True):
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._send(process, {"cancel": number})
                    while "end" not in await self._part(
                        process, number, asyncio.get_running_loop().time() + STOP_SECONDS
                    ):
                        pass
            except (TimeoutError, ModelError):
                self._process = None  # however long it takes to go, the next request has another one
                await _end(process)


def _environment() -> dict[str, str]:
    """What a server gets, and by what Python finds the library and the library its device; none of the runtime's secrets."""
    told = {name: value for name, value in os.environ.items() if name.startswith(_TOLD)}
    return passed_environment(os.environ) | told


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it with all that it has started: a child that holds its output would keep us waiting."""
    with suppress(ProcessLookupError):  # it is gone already
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    await process.wait()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        part = json.loads(line)
    except ValueError:
        return {}  # a library that prints
    return part if isinstance(part, dict) else {}


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
