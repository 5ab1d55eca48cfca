"""Sessions over a store: they survive a restart of the process, and being forgotten in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import pytest

from orchestrator.core.message import Message
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.serve.session import Sessions
from tests.serve.engine.parts import Wanted, agent_spec, serving

pytestmark = pytest.mark.anyio


class ListStore:
    """A store that remembers, and how often it was asked."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], list[Message]] = {}
        self.loads = 0

    def load(self, deployment: str, session: str) -> tuple[Message, ...]:
        self.loads += 1
        return tuple(self.said.get((deployment, session), ()))

    def is_restricted(self, deployment: str, session: str) -> bool:
        return False

    def append(self, deployment: str, session: str, messages: Sequence[Message], *, restricted: bool = False) -> None:
        self.said.setdefault((deployment, session), []).extend(messages)


@pytest.fixture
def anyio_backend() -> str:
    """The store works in threads, which virtual time knows nothing of."""
    return "asyncio"


async def test_a_session_stays_restricted_after_a_restart(tmp_path: Path) -> None:
    """And once it is no longer in memory."""
    for text, said in [("one", "restricted"), ("two", "internal")]:
        stores = open_stores(tmp_path / "state.db")
        async with serving(Wanted([agent_spec("a")]), sessions=Sessions(stores.sessions, most=0)) as served:
            result = await served.run(text, session="s", data_class=said)
            assert (await served.run("three", session="s")).data_class == result.data_class == "restricted"
            assert (await served.run("else", session="t")).data_class == "internal"
        stores.close()


async def test_a_session_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The next process sees what was said."""
    for text, expected in [("one", ["one"]), ("two", ["one", "two"])]:
        stores = open_stores(tmp_path / "state.db")
        async with serving(Wanted([agent_spec("a")]), sessions=Sessions(stores.sessions)) as served:
            await served.run(text, session="s")
            assert [said for role, said in served.sent() if role == "user"] == expected
        stores.close()


async def test_many_sessions_at_once_lose_nothing(tmp_path: Path) -> None:
    """Twenty sessions of five turns, all at once."""
    stores = open_stores(tmp_path / "state.db")
    sessions = Sessions(stores.sessions)

    async with serving(Wanted([agent_spec("a")], slots=100), sessions=sessions) as served:

        async def talk(name: str) -> None:
            for number in range(5):
                assert not (await served.run(f"{name} {number}", session=name)).error

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(talk, f"s{number}")
    for number in range(20):
        said = stores.sessions.load("shop", f"s{number}")
        assert [each.content for each in said[::2]] == [f"s{number} {turn}" for turn in range(5)]
    stores.close()


async def test_sessions_that_are_forgotten_are_read_again() -> None:
    """Only so many stay in memory; none is lost, and one that is held is never forgotten."""
    store = ListStore()
    async with serving(Wanted([agent_spec("a")]), sessions=Sessions(store, most=2)) as served:
        for session in "abca":
            await served.run(f"to {session}", session=session)
        assert [text for role, text in served.sent() if role == "user"] == ["to a", "to a"]
        assert store.loads == 4

        async with anyio.create_task_group() as tasks:
            for session in "defgh":
                tasks.start_soon(partial(served.run, "first", session=session))
        for session in "defgh":
            await served.run("second", session=session)
            assert [text for role, text in served.sent() if role == "user"] == ["first", "second"]


async def test_locks_of_idle_sessions_are_given_back() -> None:
    """A million sessions leave nothing behind but their turns."""
    sessions = Sessions(ListStore(), most=3)
    async with serving(Wanted([agent_spec("a")]), sessions=sessions) as served:
        for number in range(20):
            await served.run("x", session=str(number))
    assert not sessions._locks and len(sessions._turns) == 3
