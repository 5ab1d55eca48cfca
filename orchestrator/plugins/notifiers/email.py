"""An e-mail to the people who decide, by a mail server."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final

import anyio.to_thread

from orchestrator.core.approval import Approval
from orchestrator.core.errors import DeployError
from orchestrator.ports.people import Notice, notice_words

PATIENCE: Final = 20.0
"""Seconds that the mail server may take for one step."""


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
        """Send one message to all of them. A message that arrives twice has the same ``Message-ID``."""
        message = self._message(notice.approval)
        await anyio.to_thread.run_sync(self._send, message, abandon_on_cancel=True)

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

    def _send(self, message: EmailMessage) -> None:
        smtp = self._smtp
        try:
            with smtplib.SMTP(smtp["host"], smtp.get("port", 587), timeout=PATIENCE) as server:
                if smtp.get("starttls", True):
                    server.starttls(context=ssl.create_default_context())
                if smtp.get("user") and self._password:
                    server.login(smtp["user"], self._password)
                refused = server.send_message(message)
        except smtplib.SMTPAuthenticationError:
            # Not chained: the exchange may hold what was sent to log in.
            raise DeployError("the mail server refuses the user or password") from None
        except (OSError, ValueError, smtplib.SMTPException) as error:
            raise DeployError(f"the mail server did not take the message: {_reason(error)}") from error
        if refused:
            raise DeployError(f"the mail server did not take the message for {', '.join(refused)}")


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {error.smtp_error!r}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
