"""Who may spend how much in the cloud: sums of a run and of a day, set aside before each call and settled after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio

from orchestrator.core.errors import BudgetExceeded, StateUnusable, Withheld
from orchestrator.core.request import new_id
from orchestrator.core.spending import BYTES_A_TOKEN, NOTHING, Limits, Spend, over
from orchestrator.ports.spending import Reservation, SpendStore
from orchestrator.serve.disk import Answer, Disk

UNLIMITED: Final[Mapping[str, Limits]] = {}
_RAISE: Final = "Raise {key}, or give the agent somebody to escalate to."
_RAISE_DAY: Final = "Raise {key}, wait for the next day (UTC), or give the agent somebody to escalate to."


class Purse:
    """What one run has spent, by agent, with what is set aside for it just now."""

    __slots__ = ("spent",)

    def __init__(self) -> None:
        self.spent: dict[str, Spend] = {}

    @property
    def total(self) -> Spend:
        """Of all agents."""
        return sum(self.spent.values(), NOTHING)

    def as_json(self) -> dict[str, list[int]]:
        """A plain form, for a run that waits."""
        return {agent: [each.tokens, each.micros, each.calls] for agent, each in self.spent.items()}

    def goes_on(self, spent: Mapping[str, Sequence[int]]) -> None:
        """With what the run had spent before it waited."""
        self.spent = {agent: Spend(*each) for agent, each in spent.items()}

    def add(self, agent: str, amount: Spend) -> None:
        """It has spent that too; what is negative was not spent after all."""
        self.spent[agent] = self.spent.get(agent, NOTHING) + amount


class Account:
    """A deployment's budgets: ``whole`` of all its agents together, ``agents`` of single ones; each may limit ``per_run`` and
    ``per_day``."""

    def __init__(
        self, deployment: str, whole: Mapping[str, Limits], agents: Mapping[str, Mapping[str, Limits]]
    ) -> None:
        self.deployment = deployment
        self.whole = whole
        self.agents = agents

    def limited(self, agent: str, what: str = "") -> bool:
        """Whether anything limits what this agent spends, or what it spends of one thing."""
        budgets = (self.whole, self.agents.get(agent, UNLIMITED))
        return any(limits and (not what or what in limits) for budget in budgets for limits in budget.values())


class Ledger:
    """The owner of what is spent in a process. The sums of the day are in memory, as nobody else writes them; without a store
    they last as long as the process."""

    def __init__(self, store: SpendStore | None = None, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._days: dict[str, tuple[str, dict[str, Spend]]] = {}  # deployment -> its day, and what each agent spent
        self._on_disk = Disk().do
        self._a_byte: dict[str, float] = {}  # endpoint -> the most tokens that a byte of a prompt was

    def tokens_of(self, endpoint: str, size: int) -> int:
        """The most tokens that so many bytes are likely to be there."""
        return math.ceil(size * max(1 / BYTES_A_TOKEN, self._a_byte.get(endpoint, 0.0)))

    def learn(self, endpoint: str, size: int, tokens: int) -> None:
        """A server has counted the tokens of a prompt: vocabularies differ."""
        if size:
            self._a_byte[endpoint] = max(self._a_byte.get(endpoint, 0.0), tokens / size)

    async def open(self, deployment: str) -> None:
        """Know what the deployment has spent today. Raises ``Withheld`` where that cannot be read."""
        day = self._today()
        known = self._days.get(deployment)
        if known is not None and known[0] == day:
            return
        stored: Mapping[str, Spend] = {}
        if self._store is not None:
            stored = await self._kept(self._store.of_day, deployment, day)
        known = self._days.get(deployment)
        if known is None or known[0] != day:  # nobody else has read it meanwhile
            self._days[deployment] = (day, dict(stored))

    def today(self, deployment: str) -> Mapping[str, Spend]:
        """What each agent has spent today, as far as is known here."""
        day, spent = self._days.get(deployment, ("", {}))
        return spent if day == self._today() else {}

    async def view(self, account: Account) -> dict[str, Any] | None:
        """What is spent today, for `status`; ``None`` where nothing is limited and nothing was spent."""
        daily = {name: dict(each.get("per_day", {})) for name, each in account.agents.items() if each.get("per_day")}
        whole = dict(account.whole.get("per_day", {}))
        if whole or daily:
            await self.open(account.deployment)
        spent = self.today(account.deployment)
        if not (spent or whole or daily):
            return None
        return {
            "day": self._today(),
            "spent": sum(spent.values(), NOTHING).as_json(),
            "limits": whole,
            "agents": {
                name: {"spent": spent.get(name, NOTHING).as_json(), "limits": daily.get(name, {})}
                for name in sorted({*spent, *daily})
            },
        }

    def exceeded(self, account: Account, purse: Purse, agent: str, wanted: Spend) -> BudgetExceeded | None:
        """Why so much may not be spent now; ``None`` where it may. The day must be open."""
        today = self.today(account.deployment)
        own = account.agents.get(agent, UNLIMITED)
        sums: tuple[tuple[str, str, Limits, Spend], ...] = (
            ("this run", "escalation.budget.per_run", account.whole.get("per_run", {}), purse.total),
            ("today", "escalation.budget.per_day", account.whole.get("per_day", {}), sum(today.values(), NOTHING)),
            (f"{agent} in this run", "its budget.per_run", own.get("per_run", {}), purse.spent.get(agent, NOTHING)),
            (f"{agent} today", "its budget.per_day", own.get("per_day", {}), today.get(agent, NOTHING)),
        )
        for whose, key, limits, spent in sums:
            why = over(limits, spent, wanted)
            if why:
                daily = key.endswith("per_day")
                error = BudgetExceeded(
                    f"the budget of {whose} is used up: {why}", cure=(_RAISE_DAY if daily else _RAISE).format(key=key)
                )
                error.again = self._tomorrow() if daily else None
                return error
        return None

    async def reserve(self, account: Account, purse: Purse, agent: str, wanted: Spend) -> Reservation:
        """Set it aside, durably, before anything is sent. Raises ``BudgetExceeded``, and ``Withheld`` where it cannot be kept.

        Where nothing is limited it is only counted: a disk that takes nothing stops nobody there."""
        if not account.limited(agent):
            made = Reservation("", account.deployment, agent, self._today(), wanted)
            self._count(made, purse, wanted)
            return made
        await self.open(account.deployment)
        error = self.exceeded(account, purse, agent, wanted)
        if error is not None:
            raise error
        made = Reservation(new_id("res"), account.deployment, agent, self._today(), wanted)
        self._count(made, purse, wanted)  # before the disk is waited for: two calls must not both have the last of it
        try:
            if self._store is not None:
                with anyio.CancelScope(shield=True):
                    await self._kept(self._store.reserve, made)
        except Withheld:
            self._count(made, purse, NOTHING - wanted)
            raise
        return made

    async def settle(self, made: Reservation, purse: Purse, spent: Spend) -> None:
        """It has cost so much. Where that cannot be kept, what was set aside stays spent: on disk, and so here too."""
        with anyio.CancelScope(shield=True):
            if self._store is not None and made.id:
                try:
                    await self._kept(self._store.settle, made, spent)
                except Withheld:
                    return
            self._count(made, purse, spent - made.amount)

    def _count(self, made: Reservation, purse: Purse, amount: Spend) -> None:
        purse.add(made.agent, amount)
        if not made.id and made.day == self._today() and self._days.get(made.deployment, ("",))[0] != made.day:
            self._days[made.deployment] = (made.day, {})
        day, today = self._days.get(made.deployment, ("", {}))
        if day == made.day:
            today[made.agent] = today.get(made.agent, NOTHING) + amount

    async def _kept(self, work: Callable[..., Answer], *what: Any) -> Answer:
        """What the store does. Raises ``Withheld`` where it cannot."""
        try:
            return await self._on_disk(work, *what)
        except StateUnusable as error:
            message = f"what is spent cannot be written down: {error.message}"
            raise Withheld(message, cure=error.cure) from error

    def _today(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).date().isoformat()

    def _tomorrow(self) -> float:
        today = datetime.fromtimestamp(self._now(), UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return (today + timedelta(days=1)).timestamp()
