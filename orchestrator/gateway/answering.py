"""One request of the control API, and an answer that takes time: events as they happen, then what came of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from orchestrator.core.errors import DeployError, NoSuchDeployment, NoSuchRun, OrchestratorError, UsageError
from orchestrator.core.event import Event
from orchestrator.core.surrogates import is_whole
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.gateway.guard import Receive, Send, cancel_when_left
from orchestrator.gateway.lines import event_json, line
from orchestrator.ports.store import Revision

_LOG: Final = logging.getLogger(__name__)
NDJSON: Final = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
SIGN_OF_LIFE: Final = 1.0
"""Seconds between two empty lines of an answer that takes long."""
_MOST_UNREAD: Final = 100_000
"""Lines that may wait for a slow reader; then it is cut."""
_TOO_MANY: Final = 1_000_000_000
Telling = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the control API: its query, its JSON body (empty for ``GET``), the rest of its path, and where the answer
    goes."""

    query: Mapping[str, str]
    body: Mapping[str, Any]
    rest: str
    receive: Receive
    send: Send

    def text(self, name: str) -> str:
        """A text of the body or the query. Raises ``UsageError`` where it is missing."""
        value = self.body.get(name, self.query.get(name))
        if not isinstance(value, str) or not value:
            raise UsageError(f"{name!r} is missing")
        return value

    def words(self, name: str, longest: int) -> str:
        """A text of the body that may be missing or empty. Raises ``UsageError`` where it is no text, or a longer one."""
        value = self.body.get(name, "")
        if not isinstance(value, str) or not is_whole(value) or len(value) > longest:
            raise UsageError(f"{name!r} must be a text of at most {longest} characters")
        return value

    def number(self, name: str, default: float, least: float = -inf) -> float:
        """A finite number of the body or the query, not below ``least``. Raises ``UsageError``."""
        value = self.body.get(name, self.query.get(name, default))
        try:
            number = nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):  # the last: a whole number of 400 digits
            number = nan
        if not isfinite(number):
            raise UsageError(f"{name!r} must be a number")
        if number < least:
            raise UsageError(f"{name!r} must be {least:g} or more")
        return number

    def count(self, name: str, default: int) -> int:
        """How many, of the body or the query. Raises ``UsageError``."""
        value = self.number(name, default, least=0)
        if not value.is_integer() or value >= _TOO_MANY:
            raise UsageError(f"{name!r} must be a whole number below {_TOO_MANY:,}")
        return int(value)

    def given(self, name: str) -> bool:
        """Whether the body says it."""
        return self.body.get(name) is not None


async def revisions_of(reconciler: Reconciler, name: str) -> Sequence[Revision]:
    """The kept revisions of a deployment, newest first. Raises ``NoSuchDeployment`` where there never was one."""
    revisions = await reconciler.desired.history(name)
    if not revisions and not reconciler.desired.has(name):
        raise NoSuchDeployment(f'no deployment was ever called "{name}"', cure="orchestrator status")
    return revisions


def no_run(beginning: str) -> NoSuchRun:
    """That no run is kept whose id is this one, or begins so."""
    return NoSuchRun(f'no run begins with "{beginning}"', cure="orchestrator logs NAME lists runs")


async def give_signs_of_life(send: Send) -> None:
    """An empty line from time to time, by which a client tells work that takes long from a runtime that hangs."""
    while True:
        await anyio.sleep(SIGN_OF_LIFE)
        await send({"type": "http.response.body", "body": b"\n", "more_body": True})


async def tell_and_answer(asked: Asked, work: Callable[[Telling], Awaitable[Any]], *, cancel_on_leave: bool) -> None:
    """Send what ``work`` tells as it happens, and last what came of it. With ``cancel_on_leave`` a client that goes away
    ends the work; without, it goes on and only the telling stops."""
    writer, reader = anyio.create_memory_object_stream[bytes](_MOST_UNREAD)
    await asked.send({"type": "http.response.start", "status": 200, "headers": NDJSON})
    async with anyio.create_task_group() as tasks, reader:
        if cancel_on_leave:
            tasks.start_soon(cancel_when_left, asked.receive, tasks.cancel_scope)
        tasks.start_soon(_work_into, work, writer, tasks.cancel_scope)
        tasks.start_soon(give_signs_of_life, asked.send)
        async for entry in reader:
            await asked.send({"type": "http.response.body", "body": entry, "more_body": True})
        tasks.cancel_scope.cancel()
    await asked.send({"type": "http.response.body", "body": b""})


async def _work_into(
    work: Callable[[Telling], Awaitable[Any]], writer: MemoryObjectSendStream[bytes], scope: anyio.CancelScope
) -> None:
    def tell(event: Event) -> None:
        try:
            writer.send_nowait(line(event_json(event)))
        except anyio.WouldBlock:
            scope.cancel()  # a reader that takes nothing must not fill the memory
        except anyio.BrokenResourceError:
            return  # nobody hears it any more: the client went away while the work ended

    with writer:
        try:
            answer = line({"kind": "end", "value": await work(tell)})
        except OrchestratorError as error:
            answer = line({"kind": "error", "error": error.as_json()})
        except Exception as error:  # noqa: BLE001 - whose fault it may be: who asked is told, and the log where it was
            _LOG.exception("unexpected")
            told = DeployError(f"unexpected: {type(error).__name__}: {error}", cure="orchestrator runtime logs")
            answer = line({"kind": "error", "error": told.as_json()})
        with suppress(anyio.BrokenResourceError):  # the client went away
            await writer.send(answer)
