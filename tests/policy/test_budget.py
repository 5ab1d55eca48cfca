"""What is spent in the cloud is set aside before it is sent, settled by what the server tells, and kept across kill -9."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

import orchestrator
from orchestrator.core.errors import BudgetExceeded, Withheld
from orchestrator.core.spending import NOTHING, Spend, over, price_of
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.serve.ledger import Account, Ledger, Purse
from orchestrator.testing.script import Rule, Script
from tests.policy.shop import alone, shop

__all__ = ["alone"]
pytestmark = pytest.mark.anyio

DESK: Mapping[str, Any] = {"name": "desk", "model": "far", "instructions": "Answer.", "max_tokens": 50}
NOON = 1_764_158_400.0  # 2025-11-26 12:00 UTC


def budget(**amounts: Mapping[str, float]) -> dict[str, Any]:
    """The deployment's."""
    return {"escalation": {"budget": amounts}}


async def test_a_run_that_would_cost_too_much_is_not_sent(tmp_path: Path) -> None:
    """The code, the numbers and what to do; the ruling is in the decisions."""
    async with shop(tmp_path, DESK, **budget(per_run={"tokens": 60})) as it:
        result = await it.run("a question that is somewhat long, " * 3)
    assert it.far.asked == []
    assert result.error is not None and (result.error["code"], result.error["kind"]) == ("ORC551", "BudgetExceeded")
    assert "the budget of this run is used up: 0 of 60 tokens are spent or set aside, and this call may take" in str(
        result.error["message"]
    )
    assert result.error["cure"] == "Raise escalation.budget.per_run, or give the agent somebody to escalate to."
    (decision,) = result.decisions
    assert (decision.router, decision.strategy, decision.choice) == ("desk", "policy", None)
    assert "privacy: not restricted; budget: the budget of this run" in decision.why


async def test_calls_of_a_day_are_counted_over_all_runs(tmp_path: Path) -> None:
    async with shop(tmp_path, DESK, **budget(per_day={"calls": 2})) as it:
        first, second, third = [await it.run(f"question {number}") for number in range(3)]
    assert (first.status, second.status, third.status) == ("completed", "completed", "failed")
    assert third.error is not None and "the budget of today is used up: 2 of 2 calls are made" in third.error["message"]
    assert len(it.far.asked) == 2
    spent = next(step.detail["spent"] for step in first.steps if step.kind == "model")
    assert spent == f"1 call, {first.usage.total_tokens} tokens"


async def test_money_is_settled_by_what_the_server_told(tmp_path: Path) -> None:
    """A reservation for an answer of 50 tokens at 10 a token does not fit twice; what it really took does, some times."""
    price = {"input": 0.0, "output": 10.0}
    async with shop(tmp_path, DESK, price=price, **budget(per_day={"money": 0.00060})) as it:
        results: list[orchestrator.Result] = []
        while not results or results[-1].status == "completed":
            results.append(await it.run("hello"))
    paid = sum(each.usage.completion_tokens for each in results[:-1]) * 10
    assert 100 <= paid <= 600 and paid + 500 > 600  # the last one failed because its reservation did not fit any more
    assert results[-1].error is not None and "of money is spent or set aside" in results[-1].error["message"]
    assert len(it.far.asked) == len(results) - 1 >= 2


async def test_an_agent_has_a_budget_of_its_own(tmp_path: Path) -> None:
    other = {"name": "other", "model": "far", "instructions": "Answer."}
    front = {
        "name": "front",
        "role": "router",
        "default": "desk",
        "routes": ["desk", {"to": "other", "when": {"regex": "^other"}}],
    }
    own = {**DESK, "budget": {"per_day": {"calls": 1}}}
    async with shop(tmp_path, front, own, other) as it:
        await it.run("hello", agent="desk")
        refused = await it.run("hello", agent="desk")
        others = [await it.run("hello", agent="other") for _ in range(3)]
    assert refused.error is not None and "the budget of desk today is used up: 1 of 1 calls" in refused.error["message"]
    assert [each.status for each in others] == ["completed"] * 3


async def test_who_stands_behind_takes_over_whatever_it_lists(tmp_path: Path) -> None:
    """A local agent fails, the cloud may not be paid, a person's agent answers: the path says it all."""
    agents = (
        {"name": "desk", "model": "near", "instructions": "Answer.", "escalate_to": "senior"},
        {
            "name": "senior",
            "role": "escalation",
            "model": "far",
            "instructions": "Help.",
            "escalate_to": "clerk",
            "escalate_when": ["timeout"],
        },
        {"name": "clerk", "role": "escalation", "reflex": [{"say": "A clerk calls you."}]},
    )
    async with shop(tmp_path, *agents, faults={"near": ("unauthorized",)}, **budget(per_day={"calls": 0})) as it:
        result = await it.run("help")
    assert it.far.asked == []
    assert result.text == "A clerk calls you." and result.path == ("agent.desk", "agent.senior", "agent.clerk")
    assert (
        "agent.senior handed over: agent.senior: the budget of today is used up: 0 of 0 calls are made (ORC551)"
        in result.why
    )


async def test_where_nobody_stands_behind_the_default_of_the_router_answers(tmp_path: Path) -> None:
    front = {
        "name": "front",
        "role": "router",
        "default": "local",
        "stages": ["rules"],
        "routes": [{"to": "desk", "when": {"regex": "^ask"}}, "local"],
    }
    local = {"name": "local", "reflex": [{"say": "Not today."}]}
    async with shop(tmp_path, front, DESK, local, **budget(per_run={"calls": 0})) as it:
        result = await it.run("ask the cloud")
    assert it.far.asked == [] and result.text == "Not today."
    assert result.path == ("router.front", "agent.desk", "agent.local")


@pytest.mark.parametrize(("calls", "text"), [(0, "Kept."), (1, "")])
async def test_a_restricted_default_takes_nothing_that_was_in_the_cloud(calls: int, text: str, tmp_path: Path) -> None:
    """Where nothing was sent it does; a second call that is refused leaves it to nobody."""
    routes = [{"to": "desk", "when": {"regex": "^list"}}, "local"]
    front = {"name": "front", "role": "router", "default": "local", "stages": ["rules"], "routes": routes}
    local = {"name": "local", "privacy_mode": True, "reflex": [{"say": "Kept."}]}
    desk = {**DESK, "tools": ["clock"]}
    script = Script([Rule("list", calls=(("clock_now", {}),), say="It is {result}")])
    more: dict[str, Any] = {"tools": [{"name": "clock"}], **budget(per_run={"calls": calls})}
    async with shop(tmp_path, front, desk, local, script=script, **more) as it:
        result = await it.run("list what is")
    assert len(it.far.asked) == calls and result.text == text
    assert (result.error or {}).get("code") == ("ORC551" if calls else None)


async def test_an_agent_with_a_model_nearby_uses_that_instead(tmp_path: Path) -> None:
    """A refusal of one endpoint is none of the others, and a rule for an agent without a model is one too."""
    both = {"name": "desk", "model": ["far", "near"], "instructions": "Answer."}
    async with shop(tmp_path, both, **budget(per_day={"calls": 0})) as it:
        result = await it.run("hello")
    assert result.status == "completed" and it.far.asked == [] and len(it.near.asked) == 1
    ruled = {**DESK, "reflex": [{"say": "Later.", "without_model": True}]}
    async with shop(tmp_path, ruled, **budget(per_day={"calls": 0})) as it:
        assert (await it.run("hello")).text == "Later."


async def test_a_second_call_of_the_same_run_counts(tmp_path: Path) -> None:
    """A tool is called between them."""
    from orchestrator.testing.script import Rule, Script

    script = Script([Rule("tickets", say="{result}", calls=(("tickets_list", {}),))])
    desk = {**DESK, "tools": ["tickets"]}
    async with shop(tmp_path, desk, script=script, **budget(per_run={"calls": 1})) as it:
        result = await it.run("list the tickets")
    assert len(it.far.asked) == 1
    assert result.error is not None and "the budget of this run is used up: 1 of 1 calls" in result.error["message"]


async def test_calls_at_the_same_time_never_take_more_than_there_is(tmp_path: Path) -> None:
    """All set aside before any is sent."""
    async with shop(tmp_path, DESK, **budget(per_day={"calls": 3})) as it:
        results: list[orchestrator.Result] = []

        async def ask() -> None:
            results.append(await it.run("hello"))

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(ask)
    assert len(it.far.asked) == 3 == sum(each.status == "completed" for each in results)
    assert {each.error["code"] for each in results if each.error} == {"ORC551"}


async def test_each_retry_is_set_aside_for_itself(tmp_path: Path) -> None:
    """The answer breaks off; a try that does not fit any more is not made, and the run ends without a third."""
    async with shop(tmp_path, DESK, faults={"far": ("truncated-json",)}, **budget(per_day={"calls": 2})) as it:
        result = await it.run("hello")
    assert len(it.far.asked) == 2
    assert result.error is not None and result.error["code"] == "ORC551"


# -- the ledger, with a real database -------------------------------------------------------------------------------


class Clock:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def account(**per_day: float) -> Account:
    return Account("shop", {"per_day": per_day}, {})


async def test_what_was_set_aside_and_never_settled_counts_as_spent(tmp_path: Path) -> None:
    """As after kill -9 between the two: a new process opens the same file."""
    stores = open_stores(tmp_path / "state.db")
    ledger, purse = Ledger(stores.spending, Clock()), Purse()
    settled = await ledger.reserve(account(tokens=100), purse, "a", Spend(40, 0, 1))
    await ledger.settle(settled, purse, Spend(10, 0, 1))
    await ledger.reserve(account(tokens=100), purse, "b", Spend(50, 0, 1))
    stores.close()
    again = open_stores(tmp_path / "state.db")
    after = Ledger(again.spending, Clock())
    with pytest.raises(BudgetExceeded) as refused:
        await after.reserve(account(tokens=100), Purse(), "a", Spend(41, 0, 1))
    assert "60 of 100 tokens are spent or set aside, and this call may take 41" in refused.value.message
    assert dict(after.today("shop")) == {"a": Spend(10, 0, 1), "b": Spend(50, 0, 1)}
    await after.reserve(account(tokens=100), Purse(), "a", Spend(40, 0, 1))
    again.close()


async def test_a_new_day_is_a_new_budget_and_the_refusal_says_when(tmp_path: Path) -> None:
    stores, clock = open_stores(tmp_path / "state.db"), Clock()
    ledger = Ledger(stores.spending, clock)
    late = await ledger.reserve(account(calls=1), Purse(), "a", Spend(5, 0, 1))
    with pytest.raises(BudgetExceeded) as refused:
        await ledger.reserve(account(calls=1), Purse(), "a", Spend(5, 0, 1))
    assert refused.value.again == NOON + 12 * 3600 == refused.value.as_json()["again"]
    clock.now = refused.value.again
    made = await ledger.reserve(account(calls=1), Purse(), "a", Spend(5, 0, 1))
    await ledger.settle(late, Purse(), Spend(3, 0, 1))  # of yesterday: it counts there
    assert dict(ledger.today("shop")) == {"a": Spend(5, 0, 1)}
    await ledger.settle(made, Purse(), Spend(1, 0, 1))
    assert dict(stores.spending.of_day("shop", "2025-11-26")) == {"a": Spend(3, 0, 1)}
    assert dict(stores.spending.of_day("shop", "2025-11-27")) == {"a": Spend(1, 0, 1)}
    stores.close()


async def test_a_call_that_did_nothing_costs_nothing_and_settles_once(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "state.db")
    ledger, purse = Ledger(stores.spending, Clock()), Purse()
    made = await ledger.reserve(account(calls=1), purse, "a", Spend(5, 7, 1))
    await ledger.settle(made, purse, NOTHING)
    stores.spending.settle(made, Spend(9, 9, 9))
    assert dict(stores.spending.of_day("shop", "2025-11-26")) == {} and purse.total == NOTHING
    stores.close()


async def test_a_disk_that_takes_nothing_lets_nothing_out(tmp_path: Path) -> None:
    """What cannot be written down is not spent, and leaves no trace in memory."""
    stores = open_stores(tmp_path / "state.db")
    ledger, purse = Ledger(stores.spending, Clock()), Purse()
    await ledger.open("shop")
    stores.spending._file._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(Withheld) as refused:
        await ledger.reserve(account(calls=1), purse, "a", Spend(5, 0, 1))
    assert refused.value.message.startswith("what is spent cannot be written down: the state database")
    assert purse.total == NOTHING and sum(ledger.today("shop").values(), NOTHING) == NOTHING
    stores.spending._file._connection.execute("PRAGMA query_only=OFF")
    await ledger.reserve(account(calls=1), purse, "a", Spend(5, 0, 1))
    stores.close()


async def test_where_nothing_is_limited_no_disk_is_needed_and_it_is_counted(tmp_path: Path) -> None:
    """`status` shows it while the process runs."""
    stores, free = open_stores(tmp_path / "state.db"), Account("shop", {}, {})
    ledger = Ledger(stores.spending, Clock())
    assert await ledger.view(free) is None
    stores.spending._file._connection.execute("PRAGMA query_only=ON")
    made = await ledger.reserve(free, Purse(), "a", Spend(9, 9, 1))
    await ledger.settle(made, Purse(), Spend(4, 2, 1))
    view = await ledger.view(free)
    assert view is not None and view["spent"] == {"tokens": 4, "money": 0.000002, "calls": 1}
    assert view["limits"] == {} and view["day"] == "2025-11-26"
    stores.close()


async def test_the_view_of_a_day_has_the_limits_of_the_whole_and_of_each_agent(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "state.db")
    both = Account(
        "shop", {"per_day": {"calls": 9}}, {"a": {"per_day": {"tokens": 50}}, "b": {"per_run": {"calls": 1}}}
    )
    ledger = Ledger(stores.spending, Clock())
    await ledger.reserve(both, Purse(), "a", Spend(20, 0, 1))
    view = await ledger.view(both)
    assert view is not None and view["limits"] == {"calls": 9}
    assert view["agents"] == {"a": {"spent": {"tokens": 20, "money": 0.0, "calls": 1}, "limits": {"tokens": 50}}}
    stores.close()


def test_limits_are_reached_and_not_passed() -> None:
    """Exactly what is left may be spent; money is exact."""
    assert over({"tokens": 10}, Spend(tokens=4), Spend(tokens=6)) == ""
    assert over({"tokens": 10}, Spend(tokens=4), Spend(tokens=7)).startswith("4 of 10 tokens")
    assert over({"money": 0.3}, Spend(micros=100_000), Spend(micros=200_000)) == ""
    assert over({"money": 0.3}, Spend(micros=100_001), Spend(micros=200_000)) == (
        "0.100001 of 0.3 of money is spent or set aside, and this call may take 0.2"
    )
    assert over({}, Spend(10**9, 10**12, 10**6), Spend(1, 1, 1)) == ""
    assert price_of({"input": 0.25, "output": 2.0}, 3, 1) == 3
