"""Sessions over a store: they survive a restart of the process, and being forgotten in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

from orchestrator.core.message import KEEP_TURNS, Message
from orchestrator.plugins.stores.sqlite import StateStores, StoreLimits, open_stores
from orchestrator.serve.session import Sessions
from orchestrator.testing.endpoint import simulated
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, rule, serving

pytestmark = pytest.mark.anyio


class ListStore:
    """A store that remembers, and how often it was asked."""

    keep_turns = KEEP_TURNS

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


@pytest.mark.parametrize("most", [0, 512])
async def test_a_session_holds_the_same_whether_it_was_in_memory_or_not(tmp_path: Path, most: int) -> None:
    """As many turns as the store keeps, from a user's on."""
    stores = open_stores(tmp_path / "state.db", StoreLimits(keep_turns=5))
    wanted = Wanted([agent_spec("a", history_turns=100)])
    async with serving(wanted, sessions=Sessions(stores.sessions, most=most)) as served:
        for number in range(6):
            await served.run(str(number), session="s")
    assert [text for role, text in served.sent() if role == "user"] == ["3", "4", "5"]
    stores.close()


async def test_a_session_without_a_store_keeps_as_many_turns() -> None:
    """Also from a user's on."""
    wanted = Wanted([agent_spec("a", history_turns=10_000)])
    async with serving(wanted) as served:
        for number in range(KEEP_TURNS // 2 + 3):
            await served.run(str(number), session="s")
    said = [text for role, text in served.sent()[1:]]
    assert len(said) == KEEP_TURNS + 1 and said[0] == "2"


# ---- a disk that takes nothing ----------------------------------------------------------------------------------------


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[StateStores]:
    """Real ones; :func:`fill` fills their disk."""
    opened = open_stores(tmp_path / "state.db")
    yield opened
    opened.close()


def fill(stores: StateStores, *, full: bool = True) -> None:
    """The file may grow no more, or may again."""
    stores.sessions._file.rows(f"PRAGMA max_page_count = {1 if full else 1_000_000}")


LONG = "x" * 20_000
"""More than the pages that are there have room for."""
ROOMY = Wanted([agent_spec("a")], contexts={"m@1": 1_000_000, "m@2": 1_000_000})
"""A model that reads it."""


async def test_an_answer_stays_good_where_its_turn_cannot_be_stored(stores: StateStores) -> None:
    """What its tools did is done: who were told of a failure would ask again. The result and one event say what is missing."""
    tool = FakeTool("shop", {"order": {"said": LONG}})
    wanted = Wanted(
        [
            agent_spec(
                "a",
                tools=["shop"],
                reflex=[rule("{{ result.said }}", call="shop.order", arguments={"text": "x"})],
            )
        ],
        [tool],
    )
    async with serving(wanted, sessions=Sessions(stores.sessions)) as served:
        fill(stores)
        heard: list[str] = []
        result = await served.run("order", session="s", listen=lambda event: heard.append(event.kind))
    assert result.error is None, result.error
    assert (result.status, result.text) == ("completed", LONG)
    assert len(tool.calls) == 1 and heard.count("run.note") == 1 and heard[-1] == "run.finished"
    (note,) = result.notes
    assert note.startswith("this turn could not be stored, and is remembered only while the session stays in memory: ")
    assert "full" in note


async def test_a_turn_that_could_not_be_stored_is_remembered_and_stored_with_the_next_one(stores: StateStores) -> None:
    """Nothing is lost, once there is room again."""
    async with serving(ROOMY, simulated(["m"], context=1_000_000), sessions=Sessions(stores.sessions)) as served:
        await served.run("one", session="s")
        fill(stores)
        assert (await served.run(LONG, session="s")).notes
        assert (await served.run(LONG + "2", session="s")).notes
        fill(stores, full=False)
        assert (await served.run("last", session="s")).notes == ()
        assert [text for role, text in served.sent() if role == "user"] == ["one", LONG, LONG + "2", "last"]
    stored = [each.content for each in stores.sessions.load("shop", "s")]
    assert stored[::2] == ["one", LONG, LONG + "2", "last"] and len(stored) == 8


@pytest.mark.parametrize("most", [0, 512])
async def test_a_session_is_restricted_although_that_could_not_be_stored(stores: StateStores, most: int) -> None:
    """Also once its turns have left memory, and from the next turn that is stored on also after a restart."""
    cloud, wanted = simulated(["m"]), replace(ROOMY, bound={"m": ("m@2", "m@1")}, cloud=("m@2",))
    async with serving(
        wanted, simulated(["m"], context=1_000_000), cloud, sessions=Sessions(stores.sessions, most=most)
    ) as served:
        await served.run("before", session="s")
        fill(stores)
        assert (await served.run(LONG, session="s", data_class="restricted")).served_by.startswith("m@1")
        assert not stores.sessions.is_restricted("shop", "s")
        for _ in range(2):
            result = await served.run("after", session="s")
            assert (result.data_class, result.served_by[:3]) == ("restricted", "m@1")
        fill(stores, full=False)
        await served.run("stored", session="s")
    assert stores.sessions.is_restricted("shop", "s")
    assert [record.asked.messages[-1]["content"] for record in cloud.records] == ["before"]
