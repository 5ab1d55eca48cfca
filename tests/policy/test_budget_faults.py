"""What a try in the cloud costs that gave no answer: nothing where it was refused, all that was set aside where it broke off."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

import orchestrator
from orchestrator.app.report.assumed import Assumed
from orchestrator.app.report.figures import Figures, estimate
from orchestrator.app.report.tiers import NamedModel
from orchestrator.core.errors import ModelError
from orchestrator.core.message import Message
from orchestrator.core.served import served_run
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.plugins.providers.failures import failure_of
from orchestrator.ports.provider import ChatCall, ChatReply, Target
from orchestrator.serve.ledger import Account, Ledger
from orchestrator.serve.outbound import Customs, Passage, Rules
from orchestrator.testing.script import Script
from tests.policy.shop import Shop, alone, shop
from tests.policy.test_budget import DESK, budget

__all__ = ["alone"]
pytestmark = pytest.mark.anyio

PRICE = {"input": 1.0, "output": 10.0}


def today(it: Shop) -> Any:
    """What the deployment's day says, as `status` shows it."""
    ledger = cast(Any, it.opened)._runner.planes.ledger  # what "status" asks
    (spent,) = ledger.today("shop").values()
    return spent


def reported(*results: orchestrator.Result) -> float:
    """What `report` says that the cloud has cost, in millionths."""
    runs = tuple(served_run({**each.as_json(), "request": "hello", "finished": 1.0}) for each in results)
    model = NamedModel("far", frozenset({"m"}), "cloud", (PRICE["input"], PRICE["output"]))
    return round((estimate(Figures(runs, (model,)), Assumed()).spent or 0.0) * 1e6)


@pytest.mark.parametrize("fault", ["server-error", "text-error", "html-error", "unavailable"])
async def test_a_try_that_was_refused_by_its_status_costs_nothing(fault: str, tmp_path: Path) -> None:
    """An outage ends with such: it must not eat the day, so that the target is back and nobody may ask it."""
    faults, day = {"far": (f"{fault}@1-2",)}, budget(per_day={"calls": 1})
    async with shop(tmp_path, DESK, faults=faults, price=PRICE, **day) as it:
        results = [await it.run("hello")]
        while len(it.far.asked) < 3 and len(results) < 3:
            results.append(await it.run("hello"))
        assert results[-1].status == "completed" and today(it).calls == 1
        assert reported(*results) == today(it).micros


@pytest.mark.parametrize("fault", ["truncated-json", "not-json", "bad-output", "no-usage"])
async def test_what_broke_off_counts_whole_in_status_and_report(fault: str, tmp_path: Path) -> None:
    """Nobody told how much was written by then. The report says what the budget counted."""
    async with shop(tmp_path, DESK, faults={"far": (f"{fault}@1",)}, price=PRICE) as it:
        result = await it.run("hello")
        tries = len(it.far.asked)
        spent = today(it)
    assert spent.calls == tries and spent.tokens > 50  # as long as an answer may be
    assert reported(result) == spent.micros > 500


class Failing:
    """A server that gives one error and nothing else."""

    kind = "failing"

    def __init__(self, error: ModelError) -> None:
        self.error = error

    async def chat(self, call: ChatCall) -> ChatReply:
        raise self.error


@pytest.mark.parametrize("status", [302, 408, 409, 425, 429, 500, 501, 502, 503, 504, 520])
async def test_no_status_of_a_refusal_is_billed(status: int) -> None:
    """Whatever it is called here; but one that comes within an answer is."""
    for partial, calls in (("", 0), ("nine eu", 1)):
        error = failure_of(status, {}, b"", 0.0)
        error.partial = partial
        provider: Any = Failing(error)
        far = EndpointSpec("far", Target("failing", "", "m", zone="cloud"), provider)
        passage = Passage(Rules(None, Account("shop", {"per_day": {"calls": 9}}, {})), Ledger())
        with pytest.raises(ModelError):
            await Customs(passage, "desk").way(far).chat(ChatCall(far.target, (Message("user", "hello"),)))
        assert passage.purse.total.calls == calls


async def test_what_was_paid_before_a_model_nearby_took_over_is_reported(tmp_path: Path) -> None:
    both = {**DESK, "model": ["far", "near"]}
    async with shop(tmp_path, both, faults={"far": ("truncated-json",)}, price=PRICE) as it:
        result = await it.run("hello")
        assert result.status == "completed" and len(it.near.asked) == 1
        assert reported(result) == today(it).micros > 500


async def test_a_good_answer_costs_what_its_server_told(tmp_path: Path) -> None:
    async with shop(tmp_path, DESK, script=Script(default="nine euro"), price=PRICE) as it:
        result = await it.run("hello")
        paid = result.usage.prompt_tokens + 10 * result.usage.completion_tokens
        assert reported(result) == today(it).micros == paid
