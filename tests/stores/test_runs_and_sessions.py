"""Runs and sessions: what is kept, what is found, what is forgotten."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import UsageError
from orchestrator.core.message import Message, Role, ToolCall, newest
from orchestrator.core.request import Decision, Result, StepRecord
from orchestrator.plugins.stores.schema import STEPS
from orchestrator.plugins.stores.sqlite import StateStores, StoreLimits, open_stores
from tests.outbox.parts import deferring, delivery
from tests.people.parts import approval, asking


def result(number: int, deployment: str = "clinic") -> Result:
    return Result(
        f"run_{number:04d}",
        deployment,
        1,
        "completed",
        f"answer {number}",
        decisions=(Decision("rules", "billing"),),
        steps=(StepRecord("tool", "tool.clock", 0.1, 0.2, {"path": Path("x")}),),
    )


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[StateStores]:
    ticks = count(1000)
    limits = StoreLimits(keep_runs=5, keep_sessions=3, keep_turns=6, keep_seconds=60.0)
    opened = open_stores(tmp_path / "state.db", limits, now=lambda: float(next(ticks)))
    yield opened
    opened.close()


def test_a_run_comes_back_whole_with_its_request_and_time(stores: StateStores) -> None:
    stores.runs.keep([result(1)], ["wo ist's?"])
    found = stores.runs.find("run_0001")
    assert found is not None
    assert found["text"] == "answer 1"
    assert found["request"] == "wo ist's?"
    assert found["finished"] == 1000.0
    assert found["decisions"][0]["choice"] == "billing"
    assert found["steps"][0]["detail"] == {"path": "x"}


def test_known_secrets_are_not_in_the_file(tmp_path: Path) -> None:
    """Neither in the request nor anywhere in the result, also where JSON would escape them."""
    secret = 'k"ey-value'
    opened = open_stores(tmp_path / "state.db", redact=lambda text: text.replace(secret, "***"))
    step = StepRecord(
        "tool", "tool.shop", 0.1, 0.2, {"fault": f"HTTP 401 {secret}", "deep": [{"at": ValueError(secret)}]}
    )
    said = Result("run_1", "clinic", 1, "completed", f"it is {secret}", steps=(step,), value={"key": secret, "n": 1})
    opened.runs.keep([said], [f"is it {secret}?"])
    found = opened.runs.find("run_1")
    opened.close()
    assert found is not None and (found["request"], found["text"]) == ("is it ***?", "it is ***")
    assert found["value"] == {"key": "***", "n": 1}
    assert found["steps"][0]["detail"] == {"fault": "HTTP 401 ***", "deep": [{"at": "***"}]}
    for file in tmp_path.iterdir():
        assert b"ey-value" not in file.read_bytes()


def test_a_unique_beginning_of_an_id_is_enough_and_an_ambiguous_one_is_refused(stores: StateStores) -> None:
    stores.runs.keep([result(12), result(13), result(20)], ["", "", ""])
    found = stores.runs.find("run_002")
    assert found is not None
    assert found["id"] == "run_0020"
    assert stores.runs.find("run_9") is None
    assert stores.runs.find("") is None
    assert stores.runs.find("run_00%") is None
    with pytest.raises(UsageError, match='several runs begin with "run_001"'):
        stores.runs.find("run_001")


def test_parts_that_other_nodes_asked_for_do_not_make_a_beginning_ambiguous(stores: StateStores) -> None:
    run = "run_00112233445566aa"
    stores.runs.keep([replace(result(1), id=id_) for id_ in (f"{run}.2", run, f"{run}.1")], ["", "", ""])
    found, part = stores.runs.find("run_00"), stores.runs.find(f"{run}.2")
    assert found is not None and part is not None and (found["id"], part["id"]) == (run, f"{run}.2")


def test_a_run_that_waits_is_kept_where_nothing_is_known_of_it_and_never_over_its_end(stores: StateStores) -> None:
    """It waits on another node of its fleet, or was stored with its approval."""
    waits = replace(result(7), status="waiting", text="wait", node="edge-2")
    stores.runs.keep([waits], ["q"])
    found = stores.runs.find(waits.id)
    assert found is not None and (found["status"], found["request"]) == ("waiting", "q")
    stores.runs.keep([replace(waits, status="completed", text="done"), waits], ["q", "q"])
    stores.runs.keep([waits], ["q"])
    ended = stores.runs.find(waits.id)
    assert ended is not None and (ended["status"], ended["text"]) == ("completed", "done")


def test_only_the_newest_runs_of_each_deployment_are_kept(stores: StateStores) -> None:
    stores.runs.keep([result(100, "shop")], [""])
    for start in (0, 4):
        batch = [result(number) for number in range(start, start + 4)]
        stores.runs.keep(batch, [""] * 4)
    assert [run["id"] for run in stores.runs.recent("clinic", 99)] == [f"run_{n:04d}" for n in (7, 6, 5, 4, 3)]
    assert [run["id"] for run in stores.runs.recent("clinic", 2)] == ["run_0007", "run_0006"]
    assert len(stores.runs.recent("shop", 99)) == 1


def test_a_run_that_waits_is_kept_however_many_come_after_it(stores: StateStores) -> None:
    """For a person or for its model; once it has its end, it stays for the time that is left to come back for it."""
    asked, left = approval(91, deployment="clinic"), delivery(92, deployment="clinic")
    stores.people.ask(asking(asked))
    stores.outbox.defer(deferring(left))
    stores.runs.keep([result(number) for number in range(10)], [""] * 10)
    assert [run["id"] for run in stores.runs.recent("clinic", 99)][5:] == ["run_0092", "run_0091"]
    assert stores.people.result_of("run_0091") is not None and stores.runs.find("run_0092") is not None
    for waiting, number in ((asked.id, 91), (left.id, 92)):
        ended = replace(result(number), approval=waiting)
        assert (stores.people if number == 91 else stores.outbox).settle(waiting, ended, "", ())
    assert [run["id"] for run in stores.runs.recent("clinic", 99)][:2] == ["run_0092", "run_0091"]
    newest = [f"run_{n:04d}" for n in range(19, 14, -1)]
    stores.runs.keep([result(number) for number in range(10, 20)], [""] * 10)
    assert [run["id"] for run in stores.runs.recent("clinic", 99)] == [*newest, "run_0092", "run_0091"]
    for _ in range(60):  # a second passes with each
        stores.runs.keep([result(19)], [""])
    assert [run["id"] for run in stores.runs.recent("clinic", 99)] == newest


def test_a_run_that_is_stored_twice_stands_once(stores: StateStores) -> None:
    stores.runs.keep([result(1)], ["a"])
    stores.runs.keep([result(1)], ["a"])
    assert len(stores.runs.recent("clinic", 9)) == 1


CHILD = """
import sys
from pathlib import Path
from orchestrator.app.failing import arm_kill
from orchestrator.core.request import Result
from orchestrator.plugins.stores.sqlite import open_stores
arm_kill(sys.argv[2])
stores = open_stores(Path(sys.argv[1]))
stores.runs.keep([Result("run_a", "clinic", 1, "completed", "x")], ["x"])
"""


@pytest.mark.parametrize(("point", "stored"), [("store.before-keep", 0), ("store.after-keep", 1)])
def test_killed_around_keeping_the_batch_is_stored_whole_or_not_at_all(tmp_path: Path, point: str, stored: int) -> None:
    path = tmp_path / "killed.db"
    child = subprocess.run([sys.executable, "-c", CHILD, str(path), point], check=False)
    assert child.returncode == -signal.SIGKILL
    stores = open_stores(path)
    assert len(stores.runs.recent("clinic", 9)) == stored
    stores.close()


def turn(number: int) -> list[Message]:
    return [Message("user", f"question {number}"), Message("assistant", f"answer {number}")]


def test_a_session_gives_back_its_turns_in_order_and_keeps_their_wire_form(stores: StateStores) -> None:
    called = Message("assistant", "", (ToolCall("c1", "clock_now", "{}"),))
    told = Message("tool", "12:00", tool_call_id="c1")
    turns = [Message("user", "che ore sono? è tardi"), called, told, Message("assistant", "12:00")]
    stores.sessions.append("clinic", "anna", turns[:2])
    stores.sessions.append("clinic", "anna", turns[2:])
    loaded = stores.sessions.load("clinic", "anna")
    assert list(loaded) == turns
    assert [message.encoded() for message in loaded] == [message.encoded() for message in turns]
    assert stores.sessions.load("clinic", "bert") == ()
    assert stores.sessions.load("shop", "anna") == ()


def test_a_long_session_forgets_its_oldest_turns_and_begins_with_a_question(stores: StateStores) -> None:
    for number in range(6):
        stores.sessions.append("clinic", "anna", turn(number))
    assert list(stores.sessions.load("clinic", "anna")) == [*turn(3), *turn(4), *turn(5)]
    tools = [Message("assistant", f"step {number}") for number in range(7)]
    stores.sessions.append("clinic", "anna", [Message("user", "much"), *tools])
    assert next(iter(stores.sessions.load("clinic", "anna"))).role == "user"


def test_a_session_keeps_the_same_as_memory_does(stores: StateStores) -> None:
    """Whatever roles come in whatever portions: what is stored is what the one rule leaves of it, time after time."""
    names = count()
    role = st.sampled_from(["user", "assistant", "tool"])

    @given(st.lists(st.lists(role, min_size=1, max_size=5), max_size=8))
    @settings(max_examples=40)
    def check(appended: list[list[Role]]) -> None:
        name, kept = f"anna {next(names)}", tuple[Message, ...]()
        for number, roles in enumerate(appended):
            messages = [Message(role, f"{number}.{at}") for at, role in enumerate(roles)]
            stores.sessions.append("clinic", name, messages)
            kept = newest((*kept, *messages), 6)
            assert stores.sessions.load("clinic", name) == kept

    check()


def test_a_session_that_was_restricted_once_stays_so(stores: StateStores) -> None:
    stores.sessions.append("clinic", "anna", turn(1))
    assert not stores.sessions.is_restricted("clinic", "anna")
    stores.sessions.append("clinic", "anna", turn(2), restricted=True)
    for number in range(3, 9):
        stores.sessions.append("clinic", "anna", turn(number))
    assert stores.sessions.is_restricted("clinic", "anna")
    assert not stores.sessions.is_restricted("shop", "anna") and not stores.sessions.is_restricted("clinic", "bert")


def test_sessions_of_the_version_before_are_kept_and_are_not_restricted(tmp_path: Path) -> None:
    """As its file is: the first step of the tables, and what was said."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in STEPS[0]:
            connection.execute(statement)
        connection.execute("INSERT INTO session (id, deployment, name, used) VALUES (1, 'clinic', 'anna', 1.0)")
        said = json.dumps({"role": "user", "content": "good day"}).encode()
        connection.execute("INSERT INTO turn (session, role, message) VALUES (1, 'user', ?)", (said,))
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    stores = open_stores(path)
    assert stores.sessions.load("clinic", "anna") == (Message("user", "good day"),)
    assert not stores.sessions.is_restricted("clinic", "anna")
    stores.sessions.append("clinic", "anna", turn(1), restricted=True)
    stores.close()
    again = open_stores(path)
    assert again.sessions.is_restricted("clinic", "anna")
    again.close()


def test_the_sessions_used_longest_ago_are_forgotten(stores: StateStores) -> None:
    for name in ("a", "b", "c", "a", "d"):
        stores.sessions.append("clinic", name, turn(1))
    kept = [name for name in "abcd" if stores.sessions.load("clinic", name)]
    assert kept == ["a", "c", "d"]
