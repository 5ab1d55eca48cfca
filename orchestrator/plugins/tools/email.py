"""E-mail: messages go to a local outbox, one RFC 5322 file each, and from there through SMTP where that is set up."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.opened import (
    LINE,
    TEXT,
    OpenedTool,
    arguments_schema,
    checked_options,
    described,
    other_call,
)
from orchestrator.plugins.tools.sqlite import as_table
from orchestrator.plugins.tools.workers import Workers
from orchestrator.ports.durable import move_durably, write_durably
from orchestrator.ports.smtp import Line, NotTaken, deliver
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome, ToolPlace

_ADDRESS: Final = {
    "type": "string",
    "maxLength": 254,
    "pattern": r"^[^@\s<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,190}\Z",
}
OPTIONS: Final[Mapping[str, Any]] = {
    "sender": _ADDRESS,
    "smtp": {
        "type": "object",
        "properties": {
            "host": {"type": "string", "minLength": 1},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "user": {"type": "string"},
            "password": {"type": "string"},
            "starttls": {"type": "boolean"},
        },
        "required": ["host"],
        "additionalProperties": False,
    },
}


def open_email(
    name: str, options: Mapping[str, Any], place: ToolPlace, now: Callable[[], float] = time.time
) -> OpenedTool:
    """Open the e-mail tool; its messages are in the folders ``outbox`` and ``sent`` of its own."""
    read = checked_options(name, options, OPTIONS)
    smtp = read.get("smtp")
    sender = read.get("sender") or (smtp or {}).get("user", "")
    if smtp and "@" not in sender:
        raise DeployError(f"the tool {name} sends by SMTP and has no sender", cure="set sender: an e-mail address")
    server = _Server(smtp, place.reveal) if smtp else None
    for box in ("outbox", "sent"):
        (place.state / box).mkdir(mode=0o700, exist_ok=True)
    mail = _Mail(Workers(name), place.state, sender or "orchestrator@localhost", server, now)
    send = ToolFunction(
        f"{name}.send",
        "Send an e-mail." if server else "Write an e-mail into the local outbox; a person sends it.",
        arguments_schema(
            {"to": _ADDRESS, "subject": LINE, "body": TEXT, "cc": {"type": "array", "items": _ADDRESS, "maxItems": 20}},
            optional=("cc",),
        ),
        "external" if server else "write",
        mail.send,
        idempotent=True,
    )
    listing = ToolFunction(
        f"{name}.list",
        "The newest messages of the outbox or of those that were sent.",
        arguments_schema(
            {
                "box": {"type": "string", "enum": ["outbox", "sent"]},
                "limit": described({"type": "integer", "minimum": 1, "maximum": 100}, "how many"),
            },
            optional=("box", "limit"),
        ),
        "read",
        mail.list,
        idempotent=True,
    )
    return OpenedTool((send, listing))


class _Server:
    """The mail server. The password is resolved at each use, so that a new one needs no restart."""

    def __init__(self, options: Mapping[str, Any], reveal: Callable[[str], str]) -> None:
        self._options = options
        self._reveal = reveal

    def deliver(self, message: EmailMessage, line: Line) -> None:
        """Hand one message over. Raises ``ToolFailed``, also where ``line`` is cut."""
        password = self._password()
        try:
            deliver(message, self._options, password, line)
        except NotTaken as error:
            raise ToolFailed(error.message, cure=error.cure) from error

    def _password(self) -> str:
        try:
            return self._reveal(self._options["password"]) if "password" in self._options else ""
        except DeployError as error:
            raise ToolFailed(f"the mail server's password: {error.message}", cure=error.cure) from error


class _Mail:
    """The functions. A repeated call with the same ``call_id`` is the same message; one of other arguments is refused.

    It is delivered at least once: where the program ends, or the line is cut, between the server's yes and our note of it,
    a repeat sends it again with the same ``Message-ID``, by which the receiver's side may know it.
    """

    def __init__(
        self, workers: Workers, folder: Path, sender: str, server: _Server | None, now: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._sender = sender
        self._server = server
        self._now = now
        self._workers = workers

    async def send(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        line = Line()
        return await self._workers.run(lambda: self._send(arguments, context, line), line.cut)

    async def list(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        box = self._folder / arguments.get("box", "outbox")
        rows = await self._workers.run(lambda: _listed(box, arguments.get("limit", 20)))
        return ToolOutcome.shown(rows, as_table)

    def _send(self, arguments: Mapping[str, Any], context: ToolContext, line: Line) -> ToolOutcome:
        key = context.call_id or os.urandom(16).hex()
        number = hashlib.sha256(key.encode()).hexdigest()[:24]
        waiting, sent = (self._folder / box / f"{number}.eml" for box in ("outbox", "sent"))
        message = self._message(arguments, number)
        kept = next((file for file in (sent, waiting) if file.exists()), None)
        if kept is not None and _said(_read(kept)) != _said(_parsed(message.as_bytes())):
            raise other_call(f"the message {number}")
        if kept != sent:
            if kept is None:
                _write(waiting, message.as_bytes())
            if self._server is None:
                return ToolOutcome({"message": number, "sent": False}, "the message is in the outbox")
            try:
                self._server.deliver(message, line)
            except ToolFailed as error:
                raise ToolFailed(
                    f"{error.message}; it is kept in the outbox", cure=error.cure, value=error.value
                ) from error
            move_durably(waiting, sent)
        return ToolOutcome({"message": number, "sent": True}, f"sent to {arguments['to']}")

    def _message(self, arguments: Mapping[str, Any], number: str) -> EmailMessage:
        message = EmailMessage(policy=policy.SMTP)
        try:
            message["From"] = self._sender
            message["To"] = arguments["to"]
            if arguments.get("cc"):
                message["Cc"] = ", ".join(arguments["cc"])
            message["Subject"] = arguments["subject"]
            message["Date"] = format_datetime(datetime.fromtimestamp(self._now(), UTC))
            message["Message-ID"] = f"<{number}@{self._sender.partition('@')[2]}>"
            message.set_content(arguments["body"])
            message.as_bytes()
        except (ValueError, UnicodeError, IndexError) as error:
            raise ToolFailed(
                "the message holds characters that no e-mail may hold",
                cure="take control characters and broken ones out of its subject and text",
            ) from error
        return message


def _write(path: Path, content: bytes) -> None:
    """All or nothing, and on the disk when it returns. Raises ``ToolFailed``."""
    try:
        write_durably(path, content)
    except OSError as error:
        raise ToolFailed(
            f"the message cannot be stored: {error.strerror}", cure="is the disk full or read-only?"
        ) from error


def _read(file: Path) -> EmailMessage:
    try:
        return _parsed(file.read_bytes())
    except OSError as error:
        raise ToolFailed(
            f"the message {file.stem} cannot be read: {error.strerror}", cure="may the runtime read its folder?"
        ) from error


def _parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=policy.default)


def _said(message: EmailMessage) -> tuple[str, ...]:
    """To whom and what: all but when, and by which sender."""
    return (*(str(message[name]) for name in ("To", "Cc", "Subject")), str(message.get_content()))


def _listed(box: Path, limit: int) -> list[dict[str, Any]]:
    files = sorted(box.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns, reverse=True)[:limit]
    messages = [(file.stem, _parsed(file.read_bytes())) for file in files]
    return [
        {
            "message": stem,
            "to": str(message["To"]),
            "subject": str(message["Subject"]),
            "date": str(message["Date"]),
        }
        for stem, message in messages
    ]
