"""Tickets: things that somebody must look after, with numbers like T-1001, in a store of their own."""

from __future__ import annotations

import builtins
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.core.errors import ToolFailed
from orchestrator.plugins.tools.asked import holds
from orchestrator.plugins.tools.opened import (
    LINE,
    TEXT,
    OpenedTool,
    arguments_schema,
    checked_options,
    described,
    other_call,
)
from orchestrator.plugins.tools.sqlite import SqliteFile, as_lines, as_table, open_own
from orchestrator.plugins.tools.ticketwords import read_ticket_question
from orchestrator.ports.tool import Effect, RunFunction, ToolContext, ToolFunction, ToolOutcome, ToolPlace

OPTIONS: Final[Mapping[str, Any]] = {}

_FIRST: Final = 1001
_HOW_TO_ASK: Final = 'ask like "show closed tickets", "how many high priority tickets" or "tickets about the printer"'
_PREFIX: Final = "T-"
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS ticket (
        number INTEGER PRIMARY KEY, subject TEXT NOT NULL, body TEXT NOT NULL, priority TEXT NOT NULL,
        contact TEXT NOT NULL, status TEXT NOT NULL, created TEXT NOT NULL, run TEXT NOT NULL, call TEXT UNIQUE)""",
    """CREATE TABLE IF NOT EXISTS note (
        id INTEGER PRIMARY KEY, ticket INTEGER NOT NULL REFERENCES ticket, text TEXT NOT NULL, created TEXT NOT NULL,
        call TEXT UNIQUE)""",
    "CREATE INDEX IF NOT EXISTS note_of_ticket ON note (ticket)",
)
_SHOWN: Final = "number, subject, body, priority, contact, status, created"
_NUMBER: Final = described({"type": "string", "pattern": r"^ *[Tt]-?[0-9]{1,9} *$|^[0-9]{1,9}$"}, "such as T-1001")
_USUAL: Final = {"subject": "", "body": "", "priority": "normal", "contact": ""}
"""What a new ticket holds where its call does not say so."""
_QUESTION: Final = described({"type": "string", "minLength": 1, "maxLength": 4000}, "the asker's own words")
_TICKET: Final = {
    "subject": described(LINE, "the matter in a few words"),
    "body": described({**TEXT, "minLength": 0}, "what happened, with order numbers and names"),
    "priority": {
        "type": "string",
        "enum": ["low", "normal", "high"],
        "description": "normal where not said",
    },
    "contact": described({**LINE, "minLength": 0}, "how to reach the customer"),
}


def open_tickets(
    name: str, options: Mapping[str, Any], place: ToolPlace, now: Callable[[], float] = time.time
) -> OpenedTool:
    """Open the tickets tool; its store is ``tickets.db`` in the tool's folder."""
    checked_options(name, options, OPTIONS)
    store = open_own(place.state / "tickets.db", _SCHEMA, name)
    return OpenedTool(_functions(name, _Tickets(store, now)), store.close)


def _functions(name: str, tickets: _Tickets) -> tuple[ToolFunction, ...]:
    listed = {
        "status": {"type": "string", "enum": ["open", "closed", "all"]},
        "priority": {"type": "string", "enum": ["low", "normal", "high"]},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    }
    number = {"number": _NUMBER}
    create = "Open a ticket for a problem or wish that a person must look after; gives its number."
    ask = "The tickets that a question in words means: by status, priority, and words that they hold."
    rows: tuple[tuple[str, str, Mapping[str, Any], Effect, RunFunction], ...] = (
        ("create", create, arguments_schema(_TICKET, ("body", "priority", "contact")), "write", tickets.create),
        ("show", "One ticket with its notes.", arguments_schema(number), "read", tickets.show),
        ("list", "The newest tickets.", arguments_schema(listed, tuple(listed)), "read", tickets.list),
        ("ask", ask, arguments_schema({"question": _QUESTION}), "read", tickets.ask),
        ("note", "Add a note to a ticket.", arguments_schema({**number, "text": TEXT}), "write", tickets.note),
        ("close", "Close a ticket that is settled.", arguments_schema(number), "write", tickets.close),
    )
    return tuple(
        ToolFunction(f"{name}.{function}", description, schema, effect, run, idempotent=True)
        for function, description, schema, effect, run in rows
    )


class _Tickets:
    """The functions. A call that is repeated with the same ``call_id`` changes nothing and gives the same answer; one of other
    arguments is refused."""

    def __init__(self, store: SqliteFile, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    async def create(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        call = context.call_id or None
        wanted = {name: arguments.get(name, usual) for name, usual in _USUAL.items()}

        def work(connection: sqlite3.Connection) -> dict[str, Any]:
            known = connection.execute("SELECT number FROM ticket WHERE call = ?", (call,)).fetchone()
            if known is None:
                row = (*wanted.values(), self._time(), context.run, call)
                known = connection.execute(
                    "INSERT INTO ticket SELECT coalesce(max(number), ?) + 1, ?, ?, ?, ?, 'open', ?, ?, ? FROM ticket "
                    "RETURNING number",
                    (_FIRST - 1, *row),
                ).fetchall()[0]
            found = _found(connection, known["number"])
            if any(found[name] != value for name, value in wanted.items()):
                raise other_call(found["number"])
            return found

        return _outcome(await self._store.write(work))

    async def show(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        number = _number(arguments["number"])

        def work(connection: sqlite3.Connection) -> dict[str, Any]:
            sql = "SELECT text, created FROM note WHERE ticket = ? ORDER BY id"
            return {**_found(connection, number), "notes": connection.execute(sql, (number,)).fetchall()}

        return ToolOutcome.shown(await self._store.read(work), _with_notes)

    async def list(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        tickets = await self._those(arguments.get("status", "open"), arguments.get("priority", ""))
        shown = tickets[: arguments.get("limit", 20)]
        return ToolOutcome.shown(shown, as_table)

    async def ask(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        """Gives what it understood too, so that an answer can say what it is the answer to."""
        try:
            asked = read_ticket_question(arguments["question"])
        except ValueError as error:
            raise ToolFailed(f'"{arguments["question"][:200]}" {error}', cure=_HOW_TO_ASK) from error
        tickets = [
            ticket
            for ticket in await self._those(asked.status, asked.priority)
            if holds(asked.words, f"{ticket['subject']}\n{ticket['body']}\n{ticket['contact']}")
        ]
        told = {"status": asked.status, "priority": asked.priority, "words": " ".join(asked.words)}
        shown = tickets[: asked.limit]
        value = {**told, "count": len(tickets), "more": max(0, len(tickets) - asked.limit), "tickets": shown}
        return ToolOutcome.shown(value, _as_answer)

    async def _those(self, status: str, priority: str) -> builtins.list[dict[str, Any]]:
        """All of a status and a priority (``all`` and nothing: of any), the newest first."""
        sql = (
            f"SELECT {_SHOWN} FROM ticket WHERE (?1 = 'all' OR status = ?1) AND (?2 = '' OR priority = ?2) "  # noqa: S608 - columns of ours
            "ORDER BY number DESC"
        )
        rows = await self._store.read(lambda connection: connection.execute(sql, (status, priority)).fetchall())
        return [_shown(row) for row in rows]

    async def note(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        number, call = _number(arguments["number"]), context.call_id or None

        def work(connection: sqlite3.Connection) -> dict[str, Any]:
            ticket = _found(connection, number)
            wanted = {"ticket": number, "text": arguments["text"]}
            known = connection.execute("SELECT ticket, text FROM note WHERE call = ?", (call,)).fetchone() or wanted
            if known != wanted:
                raise other_call(f"a note of {_PREFIX}{known['ticket']}")
            connection.execute(
                "INSERT OR IGNORE INTO note (ticket, text, created, call) VALUES (?, ?, ?, ?)",
                (*wanted.values(), self._time(), call),
            )
            return ticket

        return _outcome(await self._store.write(work))

    async def close(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        number = _number(arguments["number"])

        def work(connection: sqlite3.Connection) -> dict[str, Any]:
            connection.execute("UPDATE ticket SET status = 'closed' WHERE number = ?", (number,))
            return _found(connection, number)

        return _outcome(await self._store.write(work))

    def _time(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")


def _number(text: str) -> int:
    return int(text.strip().upper().removeprefix("T").removeprefix("-"))


def _found(connection: sqlite3.Connection, number: int) -> dict[str, Any]:
    row = connection.execute(f"SELECT {_SHOWN} FROM ticket WHERE number = ?", (number,)).fetchone()  # noqa: S608 - columns of ours
    if row is None:
        raise ToolFailed(
            f"there is no ticket {_PREFIX}{number}",
            cure="list the tickets: their numbers stand there; closed ones too, with the status all",
        )
    return _shown(row)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "number": f"{_PREFIX}{row['number']}"}


def _outcome(ticket: dict[str, Any]) -> ToolOutcome:
    return ToolOutcome.shown(ticket, as_lines)


def _with_notes(ticket: Mapping[str, Any]) -> str:
    head = {name: value for name, value in ticket.items() if name != "notes"}
    return as_lines(head) + "".join(f"\nnote of {note['created']}: {note['text']}" for note in ticket["notes"])


def _as_answer(value: Mapping[str, Any]) -> str:
    """What was understood, how many there are, and those that are shown."""
    head = {name: each for name, each in value.items() if name not in ("more", "tickets")}
    return f"{as_lines(head)}\n{as_table(value['tickets'])}"
