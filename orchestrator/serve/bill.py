"""What one call to the cloud takes: money that is set aside and a person's leave. Both are taken before anything is sent, and given
back where nothing was done for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    ModelError,
    ModelNotFound,
    RateLimited,
    Refused,
    ServerBusy,
    Unreachable,
)
from orchestrator.core.message import Usage
from orchestrator.core.record import record
from orchestrator.core.spending import NOTHING, Spend, price_of
from orchestrator.ports.spending import Reservation
from orchestrator.serve.leave import Leave
from orchestrator.serve.ledger import Ledger, Purse

_NOTHING_DONE: Final = (Unreachable, RateLimited, Refused, BadRequest, ModelNotFound, ServerBusy)
"""Faults after which nothing is owed: the server did no work."""
_FIRST_REFUSAL: Final = 300
"""From this HTTP status on there is no answer."""
_OWN_FAULT: Final = 500


@record
class Terms:
    """Of one call: its endpoint, the bytes of its prompt, the price of a million tokens."""

    endpoint: str
    size: int
    price: Mapping[str, float]


@record
class Books:
    """Where a call is written down: who is ``told`` what it has cost, and the ``leave`` that it needs, where it does."""

    ledger: Ledger
    purse: Purse
    told: Callable[[Spend], None]
    leave: Leave | None = None


class Bill:
    """What was set aside for one call, until it is settled; once."""

    def __init__(self, books: Books, made: Reservation, terms: Terms) -> None:
        self._books = books
        self._made = made
        self._terms = terms
        self._open = True

    async def begin(self) -> None:
        """It is sent now. Raises ``Withheld`` where that may not be, or cannot be written down: then nothing is owed."""
        if self._books.leave is None:
            return
        try:
            await self._books.leave.use()
        except BaseException:  # a cancellation too: nothing was sent, so nothing stays set aside; it is raised again
            self._open = False
            await self._books.ledger.settle(self._made, self._books.purse, NOTHING)
            raise

    async def settle(self, usage: Usage | None) -> None:
        """By what the server told; where it told nothing, all that was set aside."""
        amount: Spend = self._made.amount
        if usage is not None and not usage.estimated:
            cost = price_of(self._terms.price, usage.prompt_tokens, usage.completion_tokens)
            self._books.ledger.learn(self._terms.endpoint, self._terms.size, usage.prompt_tokens)
            amount = Spend(usage.prompt_tokens + usage.completion_tokens, cost, 1)
        await self._close(amount)

    async def cut_off(self, error: BaseException) -> None:
        """It gave no whole answer. Unless the fault shows that nothing is owed, all that was set aside counts as spent: how much
        was written by then, thoughts included, nobody told."""
        nothing = _owes_nothing(error)
        await self._close(NOTHING if nothing else self._made.amount, nothing_done=nothing)

    async def _close(self, amount: Spend, *, nothing_done: bool = False) -> None:
        if self._open:
            self._open = False
            self._books.told(amount)
            await self._books.ledger.settle(self._made, self._books.purse, amount)
            if self._books.leave is not None:
                await self._books.leave.used(nothing_done=nothing_done)


def _owes_nothing(error: BaseException) -> bool:
    """Whether nothing was done, or the server refused it by its status, before any of an answer: then it bills nothing. Where it
    says that it cannot read what its own model wrote, an answer was made."""
    if not isinstance(error, ModelError) or error.partial:
        return False
    if isinstance(error, _NOTHING_DONE):
        return True
    status = error.status or 0
    return status >= _FIRST_REFUSAL and not (isinstance(error, BrokenReply) and status >= _OWN_FAULT)
