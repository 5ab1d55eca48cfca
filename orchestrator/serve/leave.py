"""A person's leave to send something to the cloud, as the run that goes on with it uses it: that is on the disk before anything is
sent."""

from __future__ import annotations

import anyio

from orchestrator.core.errors import ApprovalClosed, StateUnusable, Withheld
from orchestrator.ports.people import Desk

ASK_AGAIN = "Ask again: a person is asked anew."


class Leave:
    """What stands in the ``approval`` that a run goes on with, of what it sends. One for all that the run sends until it ends or
    waits: parts of it, retries, and what its agents send later. A run that failed for the moment goes on with a new one in the
    same life, which gives nothing back that an earlier one has spent."""

    __slots__ = ("_approval", "_desk", "_lock", "_sent", "_under_way", "_written")

    def __init__(self, desk: Desk, approval: str) -> None:
        self._desk = desk
        self._approval = approval
        self._lock = anyio.Lock()
        self._written = False
        self._sent = False
        self._under_way = 0

    async def use(self) -> None:
        """Something is sent now. Raises ``Withheld`` where that is not written down."""
        async with self._lock:
            if not self._written:
                await self._write()
            self._under_way += 1

    async def _write(self) -> None:
        try:
            with anyio.CancelScope(shield=True):
                self._sent = await self._desk.spend(self._approval)
        except ApprovalClosed as error:
            raise Withheld(error.message, cure=ASK_AGAIN) from error
        except StateUnusable as error:
            message = f"that a person's leave is used cannot be written down: {error.message}"
            raise Withheld(message, cure=error.cure) from error
        self._written = True

    async def used(self, *, nothing_done: bool) -> None:
        """What was sent has its end, or was not sent at all; with ``nothing_done`` the leave is as it was before, unless something
        else is sent under it or was."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                self._under_way -= 1
                self._sent = self._sent or not nothing_done
                if not (self._sent or self._under_way):
                    await self._give_back()

    async def _give_back(self) -> None:
        try:
            await self._desk.give_back(self._approval)
        except StateUnusable:  # it counts as used then: after a restart a person is asked once too often
            return
        self._written = False
