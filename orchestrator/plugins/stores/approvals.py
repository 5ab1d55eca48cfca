"""What waits for people: one row an approval, one transaction a change. Whoever is first decides."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.approval import ACTS_OF, SEND, SENDING, STATE_OF, Approval, Verdict
from orchestrator.core.errors import ApprovalClosed, DeskFull, NoSuchApproval, UsageError
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.plugins.stores.approval_rows import COLUMNS, insert, read
from orchestrator.plugins.stores.notices import SqliteNotices, put_notices
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.plugins.stores.waiting import Stories, close_waiting
from orchestrator.ports.people import Asking

declare("people.before-ask", "people.in-ask", "people.asked", "people.in-verdict", "people.decided")
declare(
    "people.in-begin", "people.begun", "people.before-record", "people.recorded", "people.in-settle", "people.settled"
)
declare("leave.before-spend", "leave.in-spend", "leave.spent", "leave.in-give-back", "leave.given-back")

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM approval"  # noqa: S608 - constants
_WAITING: Final = "SELECT count(*) FROM approval WHERE deployment = ? AND state = 'pending'"


class SqliteApprovals(SqliteNotices):
    """A ``PeopleStore``. Runs and sessions change in its transactions too, through ``stories``."""

    def __init__(self, file: StateFile, stories: Stories) -> None:
        super().__init__(file, stories.now)
        self._stories = stories

    # -- changing ---------------------------------------------------------------------------------------------------

    def check_room(self, deployment: str, most: int) -> None:
        """Raise ``DeskFull`` where ``most`` wait already."""
        _check(self._file.rows(_WAITING, (deployment,))[0][0], deployment, most)

    def ask(self, asking: Asking) -> None:
        """Keep an approval with the run that waits, its turn of the session and its notices. Raises ``DeskFull``."""
        failpoint("people.before-ask")
        approval = asking.approval
        with self._file.transaction() as connection:
            _check(connection.execute(_WAITING, (approval.deployment,)).fetchone()[0], approval.deployment, asking.most)
            insert(connection, approval)
            put_notices(connection, approval.id, asking.channels, self._now())
            self._stories.keep_run(connection, asking.result, str(approval.held.get("typed", approval.text)))
            place = (approval.deployment, approval.session)
            self._stories.say(connection, place, asking.said, restricted=asking.restricted)
            if approval.settles:
                close_waiting(connection, approval.settles, self._now())
            failpoint("people.in-ask")
        failpoint("people.asked")

    def decide(self, approval: str, verdict: Verdict) -> Approval:
        """Note a verdict, where none is there yet and the time is not over."""
        now, late = self._now(), False
        with self._file.transaction() as connection:
            found = _one(connection, approval)
            late = found.state == "pending" and found.expires <= now
            if late:
                connection.execute("UPDATE approval SET state = 'expired', decided = expires WHERE id = ?", (found.id,))
            else:
                _check_open(found, verdict)
                values = (STATE_OF[verdict.act], now, verdict.by, verdict.text, found.id)
                connection.execute("UPDATE approval SET state=?, decided=?, by=?, answer=? WHERE id=?", values)
            failpoint("people.in-verdict")
        failpoint("people.decided")
        if late:
            raise ApprovalClosed(f"{found.id} has expired", cure="The one who asked must ask again.")
        return self.find(found.id)

    def begin(self, approval: str) -> None:
        """Its call is made now. It is made at most once: a second beginning is refused, also after a restart."""
        with self._file.transaction() as connection:
            sql = "UPDATE approval SET begun = ? WHERE id = ? AND state = 'approved' AND begun IS NULL AND delivered IS NULL"
            changed = connection.execute(sql, (self._now(), approval)).rowcount
            failpoint("people.in-begin")
        if not changed:
            raise ApprovalClosed(f"{approval} was used already, or is not approved")
        failpoint("people.begun")

    def record(self, approval: str, outcome: Mapping[str, Any]) -> None:
        """What its call gave, so that the run can go on from there."""
        failpoint("people.before-record")
        with self._file.transaction() as connection:
            text = json.dumps(outcome, ensure_ascii=False)
            connection.execute("UPDATE approval SET outcome = ? WHERE id = ? AND begun IS NOT NULL", (text, approval))
        failpoint("people.recorded")

    def spend(self, approval: str, *, again: bool) -> None:
        """Its run sends something to the cloud now, under the leave that is this approval or came before it. ``again``: the same
        life has said so before. Raises ``ApprovalClosed`` where another one did, or its run goes on with something else by now."""
        failpoint("leave.before-spend")
        with self._file.transaction() as connection:
            found = _one(connection, approval)
            if found.delivered is not None or (SENDING in found.held and not again):
                raise ApprovalClosed(f"the leave of {approval} was used already")
            _note_sending(connection, found, self._now())
            failpoint("leave.in-spend")
        failpoint("leave.spent")

    def give_back(self, approval: str) -> None:
        """Nothing was done of what it was spent for."""
        with self._file.transaction() as connection:
            found = _one(connection, approval)
            if found.delivered is None:
                _note_sending(connection, found, None)
            failpoint("leave.in-give-back")
        failpoint("leave.given-back")

    def settle(self, approval: str, result: Result, text: str, said: Sequence[Message]) -> bool:
        """Keep the end of its run. What the run needed to go on is forgotten."""
        with self._file.transaction() as connection:
            found = _one(connection, approval)
            if not close_waiting(connection, found.id, self._now()):
                return False
            self._stories.keep_run(connection, result, text)
            restricted = "restricted" in (found.data_class, result.data_class)
            self._stories.say(connection, (found.deployment, found.session), said, restricted=restricted)
            self._stories.forget_old(connection, "approval", found.deployment)
            failpoint("people.in-settle")
        failpoint("people.settled")
        return True

    def expire(self) -> float | None:
        """Let expire what is due; gives when the next one is."""
        now = self._now()
        due = "SELECT min(expires) FROM approval WHERE state = 'pending' AND delivered IS NULL"
        first: float | None = self._file.rows(due)[0][0]
        if first is None or first > now:
            return first
        with self._file.transaction() as connection:
            sql = "UPDATE approval SET state = 'expired', decided = expires WHERE state = 'pending' AND expires <= ?"
            connection.execute(sql, (now,))
        following: float | None = self._file.rows(due)[0][0]
        return following

    # -- looking ----------------------------------------------------------------------------------------------------

    def find(self, approval: str) -> Approval:
        """One of them, by its id or a unique beginning of it."""
        row = self._file.row_of(_SELECT, approval, "approvals")
        if row is None:
            raise _unknown(approval)
        return read(row)

    def newest(self, deployment: str, count: int, *, closed: bool) -> Sequence[Approval]:
        """The newest first."""
        sql = f"{_SELECT} WHERE (?1 = '' OR deployment = ?1) AND (?2 OR state = 'pending') ORDER BY seq DESC LIMIT ?3"
        return [read(row) for row in self._file.rows(sql, (deployment, closed, count))]

    def undelivered(self) -> Sequence[Approval]:
        """What is decided, and whose run does not know it yet."""
        return [
            read(row)
            for row in self._file.rows(f"{_SELECT} WHERE delivered IS NULL AND state != 'pending' ORDER BY seq")
        ]

    def result_of(self, run: str) -> Mapping[str, Any] | None:
        """A run that waits or waited."""
        rows = self._file.rows("SELECT result FROM run WHERE id = ?", (run,))
        found: dict[str, Any] = json.loads(rows[0][0]) if rows else {}
        return found if found.get("approval") else None


def _note_sending(connection: sqlite3.Connection, found: Approval, at: float | None) -> None:
    """Since when its run sends; where it does not, nothing. A call of a tool has begun or not, whatever is sent then."""
    held = {name: value for name, value in found.held.items() if name != SENDING}
    text = json.dumps(held if at is None else {**held, SENDING: at}, ensure_ascii=False, separators=(",", ":"))
    begun = at if found.call is not None and found.call.function == SEND else found.begun
    connection.execute("UPDATE approval SET held = ?, begun = ? WHERE id = ?", (text, begun, found.id))


def _check(waiting: int, deployment: str, most: int) -> None:
    if waiting >= most:
        waits = f"1 thing of {deployment} waits" if waiting == 1 else f"{waiting} things of {deployment} wait"
        raise DeskFull(
            f"{waits} for a person already",
            cure="Decide what waits (orchestrator approvals list), or raise people.most_waiting.",
            retry_after=60.0,
        )


def _check_open(found: Approval, verdict: Verdict) -> None:
    if found.state != "pending":
        who = f" by {found.by}" if found.by else ""
        raise ApprovalClosed(
            f"{found.id} is {found.state}{who} already", cure=f"orchestrator approvals show {found.id}"
        )
    if verdict.act not in ACTS_OF[found.kind]:
        acts = " or ".join(ACTS_OF[found.kind])
        raise UsageError(f"{found.id} is a {found.kind}, which nobody can {verdict.act}", cure=f"use {acts}")
    if verdict.act == "approve" and found.call is not None and verdict.digest != found.call.digest:
        raise ApprovalClosed(
            f"{found.id} is not the call that was seen: its digest is {found.call.digest}",
            cure=f"look at its arguments first: orchestrator approvals show {found.id}",
        )


def _one(connection: sqlite3.Connection, approval: str) -> Approval:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (approval,)).fetchone()
    if row is None:
        raise _unknown(approval)
    return read(row)


def _unknown(approval: str) -> NoSuchApproval:
    return NoSuchApproval(f'nothing waits for a person under "{approval}"', cure="orchestrator approvals list --all")
