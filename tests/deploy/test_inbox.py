"""Errands for the owner go on without their askers, and what they gave is not lost with them."""

from __future__ import annotations

import anyio
import pytest

from orchestrator.core.errors import DeployError
from orchestrator.deploy.inbox import Inbox

pytestmark = pytest.mark.anyio


async def test_an_answer_that_nobody_waits_for_is_let_go_once() -> None:
    """Whether its asker went before the errand began, in its midst, or as it ended; an asker who waits gets it."""
    inbox, let_go, came = Inbox(), list[str](), list[str]()

    async def ask(asking: anyio.CancelScope, name: str, leave: bool) -> None:
        async def work() -> str:
            if leave:
                asking.cancel()
                if name == "midst":
                    await anyio.wait_all_tasks_blocked()
            return name

        with asking:
            came.append(await inbox.ask(work, let_go.append))

    early = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        for scope, name, leave in (
            (early, "before", False),
            (anyio.CancelScope(), "midst", True),
            (anyio.CancelScope(), "end", True),
            (anyio.CancelScope(), "stays", False),
        ):
            tasks.start_soon(ask, scope, name, leave)
            await anyio.wait_all_tasks_blocked()
        early.cancel()
        await anyio.wait_all_tasks_blocked()
        for _ in range(4):
            assert await inbox.do_next(1.0)
    inbox.close()
    assert (let_go, came) == (["before", "midst", "end"], ["stays"])


async def test_of_an_errand_that_failed_nothing_is_let_go() -> None:
    """Its asker, if there is one, gets the error."""
    inbox, let_go = Inbox(), list[None]()

    async def work() -> None:
        raise DeployError("no")

    async def ask() -> None:
        with pytest.raises(DeployError, match="no"):
            await inbox.ask(work, let_go.append)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        assert await inbox.do_next(1.0)
    inbox.close()
    assert let_go == []
