"""Errands for one owner: whoever asks waits for the answer, and only the owner's task acts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio

from orchestrator.core.errors import DeployError, OrchestratorError

Answer = TypeVar("Answer")
_LOG: Final = logging.getLogger(__name__)
_ROOM: Final = 64
"""Errands that may wait; more wait outside."""


class _Errand:
    __slots__ = ("done", "error", "left", "value", "work")

    def __init__(self, work: Callable[[], Awaitable[Any]]) -> None:
        self.work = work
        self.done = anyio.Event()
        self.value: Any = None
        self.error: Exception | None = None
        self.left: Callable[[Any], None] | None = None

    def leave(self, take: Callable[[Any], None]) -> None:
        """Nobody waits for the answer any more: ``take`` gets it, now or when it is there."""
        self.left = take
        if self.done.is_set():
            self.hand_over()

    def hand_over(self) -> None:
        """To who takes it in the asker's place, if anybody does."""
        if self.left is not None and self.error is None:
            self.left(self.value)


class Inbox:
    """Takes errands from any task of the loop; the owner does them one after the other."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[_Errand](_ROOM)

    async def ask(
        self, work: Callable[[], Awaitable[Answer]], let_go: Callable[[Answer], None] = lambda _: None
    ) -> Answer:
        """Have it done by the owner; gives its answer or raises its error. It goes on if the asker goes away: then ``let_go`` gets
        the answer, so that nothing which was begun for the asker stays."""
        errand = _Errand(work)
        try:
            await self._send.send(errand)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise _closing() from error
        try:
            await errand.done.wait()
        except BaseException:  # the asker is cancelled; it is raised again
            errand.leave(let_go)
            raise
        if errand.error is not None:
            raise errand.error
        answer: Answer = errand.value
        return answer

    async def do_next(self, patience: float) -> bool:
        """Do one errand, waiting for it at most ``patience`` seconds; tells whether there was one."""
        with anyio.move_on_after(patience) as scope:
            errand = await self._receive.receive()
        if scope.cancelled_caught:
            return False
        try:
            errand.value = await errand.work()
        except OrchestratorError as error:
            errand.error = error
        except Exception as error:  # noqa: BLE001 - a fault of ours belongs to who asked, and must not end the owner
            _LOG.error("an errand failed", exc_info=error)
            errand.error = DeployError(f"{type(error).__name__}: {error}", cure="this is a fault of the program")
        except BaseException:
            errand.error = _closing()
            raise
        finally:
            errand.done.set()
            errand.hand_over()
        return True

    def close(self) -> None:
        """Take no more errands; those that wait are refused."""
        self._send.close()
        while True:
            try:
                errand = self._receive.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                break
            errand.error = _closing()
            errand.done.set()
        self._receive.close()


def _closing() -> DeployError:
    return DeployError("the runtime is shutting down", cure="apply again once it runs")
