"""One message to a mail server by SMTP: bounded in time, on a line that another thread can cut."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any, Final

_PATIENCE: Final = 20.0
"""Seconds that the mail server may take for one step."""
_LONGEST: Final = 60.0
"""Seconds that it may take for all of them; who sends may cut the line before."""


class NotTaken(Exception):
    """The mail server did not take the message, or not for everybody: in words, and what to do."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class Line:
    """The line to the mail server, that another thread may cut."""

    def __init__(self) -> None:
        self.client: smtplib.SMTP | None = None
        self.is_cut = False

    def cut(self) -> None:
        """End the talk: what waits for the server fails, and nothing more is sent."""
        self.is_cut = True
        open_socket = self.client.sock if self.client is not None else None
        if open_socket is not None:
            with contextlib.suppress(OSError):
                # The plain shutdown, also for TLS: SSLSocket's own takes the encryption away under the other thread.
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise ``TimeoutError`` where it was cut while there was no socket."""
        if self.is_cut:
            raise TimeoutError


def deliver(message: EmailMessage, options: Mapping[str, Any], password: str, line: Line) -> None:
    """Hand one message over, in the calling thread. ``options``: the ``host``, and where they are told ``port`` (587),
    ``starttls`` (true) and ``user``. Raises ``NotTaken``, also where ``line`` is cut."""
    clock = threading.Timer(_LONGEST, line.cut)
    clock.start()
    try:
        refused = _send(message, options, password, line)
    except smtplib.SMTPAuthenticationError:
        # Not chained: the exchange may hold what was sent to log in.
        raise NotTaken(
            "the mail server refuses the user or password", cure="mend smtp.user and smtp.password in the manifest"
        ) from None
    except (OSError, ValueError, smtplib.SMTPException) as error:
        reason = "it is too slow" if line.is_cut else _reason(error)
        raise NotTaken(
            f"the mail server did not take the message: {reason}",
            cure="is smtp.host right, with its port and starttls, and does it answer from here?",
        ) from error
    finally:
        clock.cancel()
    if refused:
        raise NotTaken(f"the mail server did not take the message for {', '.join(refused)}", cure="mend that address")


def _send(message: EmailMessage, options: Mapping[str, Any], password: str, line: Line) -> Mapping[str, Any]:
    with _Client(options["host"], options.get("port", 587), line) as server:
        line.check()
        if options.get("starttls", True):
            server.starttls(context=ssl.create_default_context())
            line.check()
        if options.get("user") and password:
            server.login(options["user"], password)
        line.check()
        return server.send_message(message)


class _Client(smtplib.SMTP):
    """A client whose line can be cut from the first byte on."""

    def __init__(self, host: str, port: int, line: Line) -> None:
        line.client = self
        super().__init__(host, port, timeout=_PATIENCE)


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {error.smtp_error!r}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
