"""Questions to a server's own API: JSON there and back, each on a connection of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from orchestrator.core.errors import BadRequest, BrokenReply, Stalled
from orchestrator.plugins.providers.addresses import root_of
from orchestrator.plugins.providers.failures import failure_in_reply
from orchestrator.plugins.providers.lifecycle.cures import with_cure
from orchestrator.plugins.providers.line.answer import Answer, Errand, OpenAnswer
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.line.place import address
from orchestrator.plugins.providers.reply import read_json
from orchestrator.plugins.providers.sse import EventStream, LineTooLong
from orchestrator.ports.lifecycle import LoadOptions, PullProgress, PullStage
from orchestrator.ports.provider import Target

QUICK: Final = 10.0
"""Seconds that a question may take that touches no model."""
LONGEST: Final = 30 * 86_400.0
"""Seconds, for what has no limit of its own: event loops take no infinite times."""
STILL: Final[dict[PullStage, float]] = {
    "asking": 120.0,
    "downloading": 120.0,
    "verifying": 1_800.0,  # hashing 40 GB from a slow disk takes a quarter of an hour, without a word
    "installing": 1_800.0,
    "done": 120.0,
}
"""Seconds for which a pull may stand still in a stage."""

_Given = TypeVar("_Given")


class Deadline:
    """A moment by which all the questions of one act must be answered; ``timeout`` is in seconds from now."""

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._end = self._began + timeout

    @property
    def left(self) -> float:
        """Seconds until then; not positive when it has passed."""
        return self._end - self._loop.time()

    @property
    def taken(self) -> float:
        """Seconds since it was set."""
        return self._loop.time() - self._began


class Stillness:
    """Ends a pull in which nothing has changed for too long, whatever its server goes on saying: Ollama repeats its
    figures sixteen times a second while the network is gone. ``then``: what becomes of the pull, for the cure."""

    def __init__(self, then: str = "what had come is kept; pull again to go on") -> None:
        self.then = then
        self._last = PullProgress("asking")
        self._since = asyncio.get_running_loop().time()

    def saw(self, progress: PullProgress) -> PullProgress:
        """Note how far it has come; gives the same."""
        if progress != self._last:
            self._last = progress
            self._since = asyncio.get_running_loop().time()
        return progress

    async def wait(self, coming: Awaitable[_Given]) -> _Given:
        """Wait for what comes next. Raises ``Stalled``."""
        try:
            async with asyncio.timeout_at(self._since + STILL[self._last.stage]):
                return await coming
        except TimeoutError as error:
            stage, seconds = self._last.stage, STILL[self._last.stage]
            cure = f"is the server's network there? {self.then}"
            raise Stalled(f"the pull stood still for {seconds:g} s while {stage}", cure=cure) from error


class Coming:
    """A body that is still coming, with what ends it when it stands still."""

    def __init__(self, answer: OpenAnswer, still: Stillness) -> None:
        self._answer = answer
        self._still = still
        self._events = EventStream()

    async def objects(self) -> list[dict[str, Any]] | None:
        """The JSON objects that arrive next, each a line or an event; ``None`` at the end. Raises as ``read``."""
        piece = await self.read()
        try:
            payloads = self._events.feed(piece) if piece else self._events.end()
            found = [json.loads(payload, strict=False) for payload in payloads]
        except (LineTooLong, ValueError) as error:
            raise BrokenReply(f"the pull says what is no JSON: {str(error)[:120]}") from error
        if not piece and not found:
            return None
        return [value for value in found if isinstance(value, dict)]

    async def read(self) -> bytes:
        """The next bytes, empty at the end. Raises ``BrokenReply`` or ``Stalled``."""
        try:
            return await self._still.wait(self._answer.read())
        except BrokenReply as error:
            error.cure = error.cure or self._still.then
            raise

    def close(self) -> None:
        """Leave it; the server sees its client go."""
        self._answer.close()


class Asking:
    """Asks the server of a target, below its root. Every method raises what the server's status or words mean."""

    def __init__(self, line: HttpLine, target: Target) -> None:
        self._line = line
        self._target = target
        self.root = root_of(target.api_base)

    async def get(self, path: str, timeout: float = QUICK) -> Any:
        """A document; ``None`` for an empty one."""
        return _value(await self._line.get(self._errand(path, timeout)))

    async def post(self, path: str, body: Mapping[str, Any], timeout: float = QUICK) -> Any:
        """What comes of a request."""
        return _value(await self._line.post(self._errand(path, timeout), _encoded(body)))

    async def delete(self, path: str, body: Mapping[str, Any] | None = None, timeout: float = QUICK) -> Any:
        """What comes of a removal."""
        return _value(await self._line.delete(self._errand(path, timeout), None if body is None else _encoded(body)))

    async def open(self, method: str, path: str, body: Mapping[str, Any] | None, still: Stillness) -> Coming:
        """A body that comes bit by bit, for as long as it takes. The caller must ``close`` it."""
        sent = None if body is None else _encoded(body)
        answer = await still.wait(self._line.open(method, self._errand(path, LONGEST), sent))
        if answer.status != 200:
            try:
                raise with_cure((await still.wait(answer.whole())).failure())
            finally:
                answer.close()
        return Coming(answer, still)

    def _errand(self, path: str, timeout: float) -> Errand:
        place = address(self.root, path)
        return Errand(place, timeout, self._target.api_key, self._target.zone, once=True)


def refuse(options: LoadOptions, name: str, cure: str) -> None:
    """Raise ``BadRequest`` where an option is given that this server cannot have. Never to unload by itself is what such a
    server does anyway."""
    value = getattr(options, name)
    if value is None or (name == "keep_alive" and value == float("inf")):
        return
    raise BadRequest(f"this server takes no {name} when it loads a model", cure=cure)


def _value(answer: Answer) -> Any:
    if answer.status not in (200, 201, 202, 204):
        raise with_cure(answer.failure())
    if not answer.body.strip():
        return None
    value = read_json(answer.body)
    # LM Studio answers 200 to a path that it does not know; what has a status too tells of something else that failed.
    if isinstance(value, dict) and value.get("error") and "status" not in value:
        raise with_cure(failure_in_reply(value["error"]))
    return value


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
