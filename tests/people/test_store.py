"""The queue in SQLite: one transaction a change, the first verdict counts, a call begins once, nothing is half there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.approval import Verdict, digest_of_call
from orchestrator.core.errors import ApprovalClosed, DeskFull, NoSuchApproval, UsageError
from orchestrator.core.failpoint import arm, disarm
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.plugins.stores.sqlite import StateStores, StoreLimits, open_stores
from tests.people.parts import Clock, approval, asking, call

ANSWER = Verdict("answer", "ana", "yes")
END = Result("run_0001", "shop", 3, "completed", "yes", session="s")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stores(tmp_path: Path, clock: Clock) -> Iterator[StateStores]:
    opened = open_stores(tmp_path / "state.db", now=clock)
    yield opened
    opened.close()


def test_what_is_asked_comes_back_whole(stores: StateStores) -> None:
    """Also what the run needs to go on, and only while it does."""
    one = approval(call=call(), session="s", why="because", talk="user: hi", held={"at": {"rule": 1}})
    stores.people.ask(asking(one))
    assert stores.people.find("apv_0001") == one
    assert stores.people.find("apv_00") == one
    assert [each.id for each in stores.people.newest("shop", 5, closed=False)] == ["apv_0001"]
    assert stores.people.newest("other", 5, closed=True) == []


def test_the_run_the_turn_and_the_notice_are_stored_with_it(stores: StateStores) -> None:
    """In one transaction."""
    stores.people.ask(asking(approval(session="s", data_class="restricted"), channels=("webhook",)))
    found = stores.runs.find("run_0001")
    assert found is not None and (found["status"], found["request"]) == ("waiting", "pay it")
    assert [each.content for each in stores.sessions.load("shop", "s")] == ["pay it", "please wait"]
    assert stores.sessions.is_restricted("shop", "s")
    assert [(each.approval.id, each.channel, each.tries) for each in stores.people.due()] == [
        ("apv_0001", "webhook", 0)
    ]


@pytest.mark.parametrize("point", ["people.before-ask", "people.in-ask"])
def test_nothing_is_there_where_asking_breaks_off(stores: StateStores, point: str) -> None:
    """Neither the approval, nor the run, nor the turn, nor the notice."""

    def happen() -> None:
        raise ZeroDivisionError

    arm(point, 1, happen)
    try:
        with pytest.raises(ZeroDivisionError):
            stores.people.ask(asking(approval(session="s"), channels=("webhook",)))
    finally:
        disarm()
    assert stores.people.newest("", 9, closed=True) == []
    assert (stores.runs.find("run_0001"), stores.sessions.load("shop", "s"), stores.people.due()) == (None, (), [])


def test_a_full_queue_refuses_and_keeps_nothing(stores: StateStores) -> None:
    """Of this deployment only; what is decided makes room."""
    stores.people.ask(asking(approval(1), most=1))
    with pytest.raises(DeskFull, match="1 thing of shop waits for a person already") as raised:
        stores.people.ask(asking(approval(2), most=1))
    assert (raised.value.code, raised.value.retry_after) == ("ORC542", 60.0)
    stores.people.ask(asking(approval(3, deployment="other"), most=1))
    assert stores.runs.find("run_0002") is None
    stores.people.decide("apv_0001", ANSWER)
    stores.people.ask(asking(approval(2), most=1))


def test_the_first_verdict_counts_and_the_second_is_told_who_was(stores: StateStores, clock: Clock) -> None:
    """However often, and whatever it is."""
    stores.people.ask(asking(approval()))
    clock.now = 1_010.0
    decided = stores.people.decide("apv_0001", ANSWER)
    assert (decided.state, decided.by, decided.answer, decided.decided) == ("answered", "ana", "yes", 1_010.0)
    for verdict in (ANSWER, Verdict("deny", "ben", "no")):
        with pytest.raises(ApprovalClosed, match="apv_0001 is answered by ana already"):
            stores.people.decide("apv_0001", verdict)
    assert stores.people.find("apv_0001") == decided


def test_of_many_who_decide_at_once_one_is_heard(tmp_path: Path) -> None:
    """Over connections of their own, as processes have them."""
    first = open_stores(tmp_path / "state.db", now=Clock())
    first.people.ask(asking(approval()))
    barrier, won, lost = threading.Barrier(8), [], []

    def decide(name: str) -> None:
        own = open_stores(tmp_path / "state.db", now=Clock())
        barrier.wait()
        try:
            won.append(own.people.decide("apv_0001", Verdict("answer", name, name)).by)
        except ApprovalClosed:
            lost.append(name)
        own.close()

    people = [threading.Thread(target=decide, args=(f"p{number}",)) for number in range(8)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    assert len(won) == 1 and len(lost) == 7
    assert first.people.find("apv_0001").by == won[0]
    first.close()


def test_a_verdict_that_comes_too_late_is_refused_before_anybody_swept(stores: StateStores, clock: Clock) -> None:
    """And it has expired from then on."""
    stores.people.ask(asking(approval()))
    clock.now = 2_000.0
    with pytest.raises(ApprovalClosed, match="has expired"):
        stores.people.decide("apv_0001", ANSWER)
    found = stores.people.find("apv_0001")
    assert (found.state, found.decided, found.answer) == ("expired", 2_000.0, "")


def test_what_is_due_expires_and_the_next_is_told(stores: StateStores, clock: Clock) -> None:
    """In seconds since 1970; nothing where nothing waits."""
    assert stores.people.expire() is None
    stores.people.ask(asking(approval(1)))
    stores.people.ask(asking(approval(2, expires=3_000.0)))
    assert stores.people.expire() == 2_000.0
    clock.now = 2_500.0
    assert stores.people.expire() == 3_000.0
    assert [each.id for each in stores.people.undelivered()] == ["apv_0001"]


def test_a_call_is_approved_by_the_digest_that_was_seen(stores: StateStores) -> None:
    """Another digest, or none, is refused; nothing is decided then."""
    stores.people.ask(asking(approval(call=call())))
    for digest in ("", call(6).digest):
        with pytest.raises(ApprovalClosed, match="is not the call that was seen"):
            stores.people.decide("apv_0001", Verdict("approve", "ana", digest=digest))
    assert stores.people.decide("apv_0001", Verdict("approve", "ana", digest=call().digest)).state == "approved"


def test_the_digest_changes_with_each_part_of_a_call() -> None:
    """Who calls what, and with what; the order of arguments is none of it."""
    parts: list[tuple[str, str, str, dict[str, Any]]] = [
        ("d", "a", "f", {"x": 1, "y": 2}),
        ("e", "a", "f", {"x": 1, "y": 2}),
        ("d", "b", "f", {"x": 1, "y": 2}),
        ("d", "a", "g", {"x": 1, "y": 2}),
        ("d", "a", "f", {"x": 1, "y": "2"}),
        ("d", "a", "f", {"x": 1}),
    ]
    assert len({digest_of_call(*each) for each in parts}) == len(parts)
    assert digest_of_call("d", "a", "f", {"y": 2, "x": 1}) == digest_of_call(*parts[0])


@pytest.mark.parametrize(("kind", "act"), [("question", "approve"), ("call", "answer")])
def test_a_verdict_that_does_not_fit_is_refused(stores: StateStores, kind: str, act: str) -> None:
    """A question has no yes, and a call no answer."""
    stores.people.ask(asking(approval(call=call() if kind == "call" else None)))
    with pytest.raises(UsageError, match=f"is a {kind}, which nobody can {act}"):
        stores.people.decide("apv_0001", Verdict(act, text="x"))  # type: ignore[arg-type] # one of the acts, as a plain text


def test_an_approved_call_begins_once(stores: StateStores) -> None:
    """Not before it is approved, and never again: not even while its run has no end."""
    stores.people.ask(asking(approval(call=call())))
    with pytest.raises(ApprovalClosed):
        stores.people.begin("apv_0001")
    stores.people.decide("apv_0001", Verdict("approve", digest=call().digest))
    stores.people.begin("apv_0001")
    with pytest.raises(ApprovalClosed, match="was used already"):
        stores.people.begin("apv_0001")
    stores.people.record("apv_0001", {"value": 7, "text": ""})
    assert stores.people.find("apv_0001").outcome == {"value": 7, "text": ""}


def test_a_run_ends_once_and_its_answer_is_in_its_session(stores: StateStores, clock: Clock) -> None:
    """What it needed to go on is forgotten then."""
    stores.people.ask(asking(approval(session="s", held={"at": {}})))
    stores.people.decide("apv_0001", ANSWER)
    clock.now = 1_500.0
    assert stores.people.settle("apv_0001", END, "pay it", [Message("assistant", "yes")])
    assert not stores.people.settle("apv_0001", END, "pay it", [Message("assistant", "yes")])
    found = stores.people.find("apv_0001")
    assert (found.delivered, found.held, stores.people.undelivered()) == (1_500.0, {}, [])
    assert [each.content for each in stores.sessions.load("shop", "s")] == ["pay it", "please wait", "yes"]
    run = stores.runs.find("run_0001")
    assert run is not None and run["text"] == "yes"


def test_an_approval_settles_the_one_before_it_in_its_run(stores: StateStores) -> None:
    """In its own transaction."""
    stores.people.ask(asking(approval(1, call=call())))
    stores.people.decide("apv_0001", Verdict("approve", digest=call().digest))
    stores.people.ask(asking(approval(2, run="run_0001", call=call(), settles="apv_0001")))
    assert stores.people.undelivered() == []
    assert stores.people.find("apv_0001").delivered == 1_000.0


def test_unknown_and_unclear_ids_are_told(stores: StateStores) -> None:
    """With what to type."""
    stores.people.ask(asking(approval(1)))
    stores.people.ask(asking(approval(2)))
    for unknown in ("apv_9", "", "%"):
        with pytest.raises(NoSuchApproval, match="nothing waits for a person under"):
            stores.people.find(unknown)
    with pytest.raises(UsageError, match='several approvals begin with "apv_"'):
        stores.people.find("apv_")
    with pytest.raises(NoSuchApproval):
        stores.people.decide("apv_00", ANSWER)


def test_a_run_is_polled_by_its_whole_id_and_only_where_it_waited(stores: StateStores) -> None:
    """Other runs are nobody's business there."""
    stores.people.ask(asking(approval()))
    stores.runs.keep([replace(END, id="run_0002")], ["x"])
    found = stores.people.result_of("run_0001")
    assert found is not None and found["status"] == "waiting"
    assert [stores.people.result_of(each) for each in ("run_000", "run_0002", "")] == [None, None, None]


def test_notices_rest_after_a_failure_and_go_with_the_verdict(stores: StateStores, clock: Clock) -> None:
    """What did not arrive is told with its last reason."""
    stores.people.ask(asking(approval(1), channels=("webhook", "email")))
    webhook, email = stores.people.due()
    stores.people.put_off(webhook, "it answered 500", 1_060.0)
    stores.people.told(email)
    assert (stores.people.due(), stores.people.next_due()) == ([], 1_060.0)
    assert stores.people.trouble() == {"shop": {"pending": 1, "untold": 1, "error": "it answered 500"}}
    clock.now = 1_060.0
    assert [(each.channel, each.tries, each.error) for each in stores.people.due()] == [
        ("webhook", 1, "it answered 500")
    ]
    stores.people.decide("apv_0001", ANSWER)
    assert (stores.people.due(), stores.people.next_due(), stores.people.trouble()) == ([], None, {})


def test_old_ones_are_forgotten_with_their_notices(tmp_path: Path) -> None:
    """The newest of each deployment stay, and those of the last week; what waits is never forgotten."""
    clock = Clock()
    stores = open_stores(tmp_path / "few.db", StoreLimits(keep_approvals=3), now=clock)
    stores.people.ask(asking(approval(0), channels=("webhook",)))
    for number in range(1, 6):
        stores.people.ask(asking(approval(number), channels=("webhook",)))
        stores.people.decide(f"apv_{number:04d}", ANSWER)
        stores.people.settle(f"apv_{number:04d}", END, "x", [])
    kept = [each.id for each in stores.people.newest("shop", 9, closed=True)]
    assert kept == ["apv_0005", "apv_0004", "apv_0003", "apv_0002", "apv_0001", "apv_0000"]
    clock.now += 7 * 86_400.0 + 1
    stores.people.ask(asking(approval(6, expires=clock.now + 60), channels=("webhook",)))
    stores.people.decide("apv_0006", ANSWER)
    stores.people.settle("apv_0006", END, "x", [])
    kept = [each.id for each in stores.people.newest("shop", 9, closed=True)]
    assert kept == ["apv_0006", "apv_0005", "apv_0004", "apv_0000"]
    stores.close()


def test_an_answer_that_came_later_outlives_a_thousand_others(tmp_path: Path) -> None:
    """Whoever asked was told to come back for it, and the requests of others are nothing to that."""
    clock = Clock()
    stores = open_stores(tmp_path / "busy.db", StoreLimits(keep_runs=5), now=clock)
    asked = approval(1)
    stores.people.ask(asking(asked))
    stores.people.decide(asked.id, ANSWER)
    stores.people.settle(asked.id, replace(END, id=asked.run), "x", [])
    others = [replace(END, id=f"run_other_{number}") for number in range(40)]
    stores.runs.keep(others, [""] * len(others))
    found = stores.runs.find(asked.run)
    assert found is not None and found["text"] == END.text
    assert len(stores.runs.recent("shop", 99)) == 6
    clock.now += 7 * 86_400.0 + 1
    stores.runs.keep(others[:1], [""])
    assert stores.runs.find(asked.run) is None
    stores.close()
