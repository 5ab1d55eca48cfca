"""An e-mail to the people who decide, by a mail server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import anyio
import anyio.to_thread

from orchestrator.core.approval import Approval
from orchestrator.core.errors import DeployError
from orchestrator.ports.people import Notice, notice_words
from orchestrator.ports.smtp import Line, NotTaken, deliver


def open_email(options: Mapping[str, Any], reveal: Callable[[str], str]) -> Email:
    """Open it. Raises ``DeployError`` where its password cannot be found."""
    smtp = options["smtp"]
    sender = options.get("sender") or smtp.get("user") or ""
    if "@" not in sender:
        raise DeployError("the e-mails to people have no sender", cure="set people.notify.email.sender: an address")
    password = reveal(smtp["password"]) if smtp.get("password") else ""
    return Email(sender, list(options["to"]), smtp, password)


class Email:
    """Fits the port ``Notifier``."""

    def __init__(self, sender: str, to: list[str], smtp: Mapping[str, Any], password: str) -> None:
        self._sender = sender
        self._to = to
        self._smtp = smtp
        self._password = password

    async def tell(self, notice: Notice) -> None:
        """Send one message to all of them; a call that is cancelled returns at once, and its line is cut. A message that arrives
        twice has the same ``Message-ID``. Raises ``DeployError``."""
        message, line = self._message(notice.approval), Line()
        try:
            await anyio.to_thread.run_sync(self._send, message, line, abandon_on_cancel=True)
        except anyio.get_cancelled_exc_class():
            line.cut()
            raise

    def _message(self, approval: Approval) -> EmailMessage:
        told = notice_words(approval)
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        what = f"{told['function']} must be allowed" if told["function"] else "a question waits"
        message["Subject"] = f"{told['deployment']}: {what} ({told['approval']})"
        message["Date"] = format_datetime(datetime.fromtimestamp(approval.created, UTC))
        message["Message-ID"] = f"<{approval.id}@{self._sender.partition('@')[2]}>"
        until = datetime.fromtimestamp(approval.expires, UTC)
        lines = [
            f"{what[0].upper()}{what[1:]}, for the agent {told['agent']} of {told['deployment']} (queue {told['queue']}).",
            f"It expires at {until:%Y-%m-%d %H:%M} UTC.",
            "",
            "On that device:",
            f"  {told['show']}",
        ]
        message.set_content("\n".join(lines) + "\n")
        return message

    def _send(self, message: EmailMessage, line: Line) -> None:
        try:
            deliver(message, self._smtp, self._password, line)
        except NotTaken as error:
            raise DeployError(error.message, cure=error.cure) from error
