"""Webhook and e-mail: what leaves the device, how it is signed, and what is refused."""

from __future__ import annotations

import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import DeployError
from orchestrator.plugins.notifiers.email import open_email
from orchestrator.plugins.notifiers.webhook import SIGNATURE, open_webhook
from orchestrator.ports.people import Notice, notice_words
from tests.people.hook import Hook, hooked
from tests.people.parts import approval, call
from tests.tools.slow_mail import slow_mail

pytestmark = pytest.mark.anyio
CANARY = "4711-illness"
SECRET = "k3y"
PRIVATE = Notice(
    approval(call=call(), text=CANARY, talk=CANARY, why=CANARY, session=CANARY, data_class="restricted", answer=CANARY),
    "webhook",
)
SAID = {"approval", "kind", "deployment", "agent", "queue", "function", "created", "expires", "show"}


def reveal(reference: str) -> str:
    """The secrets of these tests."""
    return {"env:SECRET": SECRET, "env:URL": "http://127.0.0.1:1/token-in-path"}[reference]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked() as made:
        yield made


def test_a_notice_holds_no_word_of_the_request() -> None:
    """Nor an argument, an answer or a session: whatever the data class."""
    told = notice_words(PRIVATE.approval)
    assert set(told) == SAID
    assert CANARY not in json.dumps(told)
    assert "amount" not in json.dumps(told)


async def test_a_webhook_gets_a_signed_body(hook: Hook) -> None:
    """By which its server knows us; the id tells a second one from a new one."""
    await open_webhook({"url": hook.url, "secret": "env:SECRET"}, reveal).tell(PRIVATE)
    ((headers, body),) = hook.got
    assert json.loads(body) == notice_words(PRIVATE.approval)
    assert headers[SIGNATURE] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["idempotency-key"] == PRIVATE.approval.id
    assert SECRET.encode() not in body


async def test_a_redirect_is_not_followed(hook: Hook) -> None:
    """A notice goes where the manifest says, and nowhere else."""
    hook.status, hook.location = 307, hook.url
    with pytest.raises(DeployError, match="the webhook answered 307"):
        await open_webhook({"url": hook.url}, reveal).tell(PRIVATE)
    assert len(hook.got) == 1


async def test_an_address_that_is_a_secret_is_in_no_error() -> None:
    """Nor in what caused it."""
    with pytest.raises(DeployError, match="the webhook cannot be reached") as raised:
        await open_webhook({"url": "env:URL"}, reveal).tell(PRIVATE)
    assert "token-in-path" not in str(raised.value)
    assert raised.value.__cause__ is None and raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("where", "why"),
    [("http://chat.example.org/x", "has no https"), ("ftp://a/b", "no http address"), ("", "no http address")],
)
def test_an_address_that_cannot_be_used_is_refused(where: str, why: str) -> None:
    """Also one that a reference led to."""
    with pytest.raises(DeployError, match=why):
        open_webhook({"url": where}, reveal)


class Mailbox(socketserver.ThreadingTCPServer):
    """A mail server that takes what comes, or refuses the recipients."""

    daemon_threads = True

    def __init__(self, refuse: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Speaking)
        self.refuse = refuse
        self.got: list[str] = []

    @property
    def smtp(self) -> dict[str, Any]:
        """As a manifest names it."""
        return {"host": "127.0.0.1", "port": self.server_address[1], "starttls": False}


class _Speaking(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        box = self.server
        assert isinstance(box, Mailbox)
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line.upper().split(" ", 1)[0]
            if verb == "DATA":
                self._say("354 go on")
                box.got.append("".join(iter(lambda: self.rfile.readline().decode(), ".\r\n")))
            if verb == "QUIT":
                self._say("221 bye")
                return
            self._say(box.refuse if verb == "RCPT" and box.refuse else "250 fine")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


async def test_an_e_mail_says_what_waits_and_how_to_see_it(mailbox: Mailbox) -> None:
    """To all who decide; twice is the same message."""
    options = {"to": ["a@b.it", "c@d.it"], "sender": "shop@e.it", "smtp": mailbox.smtp}
    await open_email(options, reveal).tell(PRIVATE)
    (message,) = mailbox.got
    assert "To: a@b.it, c@d.it" in message
    assert "Subject: shop: shop.pay must be allowed (apv_0001)" in message
    assert "Message-ID: <apv_0001@e.it>" in message
    assert "orchestrator approvals show apv_0001" in message
    assert CANARY not in message


async def test_a_mail_server_that_refuses_is_told(mailbox: Mailbox) -> None:
    """With its words."""
    mailbox.refuse = "550 nobody here"
    options = {"to": ["a@b.it"], "sender": "shop@e.it", "smtp": mailbox.smtp}
    with pytest.raises(DeployError, match="did not take the message"):
        await open_email(options, reveal).tell(PRIVATE)


async def test_a_mail_server_that_is_not_there_is_told() -> None:
    """It stops nothing else."""
    options = {"to": ["a@b.it"], "sender": "s@e.it", "smtp": {"host": "127.0.0.1", "port": 1, "starttls": False}}
    with pytest.raises(DeployError, match="did not take the message"):
        await open_email(options, reveal).tell(PRIVATE)


async def test_all_steps_with_the_mail_server_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is never late with a single step holds no thread for ever."""
    monkeypatch.setattr("orchestrator.ports.smtp._LONGEST", 0.1)
    with slow_mail() as server:
        notifier = open_email({"to": ["a@b.it"], "sender": "s@e.it", "smtp": server.smtp}, reveal)
        with pytest.raises(DeployError, match="it is too slow") as raised:
            await notifier.tell(PRIVATE)
    assert "is smtp.host right" in raised.value.cure


async def test_a_notice_that_is_cut_off_cuts_the_line_to_the_mail_server() -> None:
    with slow_mail() as server:
        notifier = open_email({"to": ["a@b.it"], "sender": "s@e.it", "smtp": server.smtp}, reveal)
        with anyio.move_on_after(0.1) as scope:
            await notifier.tell(PRIVATE)
        assert scope.cancelled_caught and server.ended.wait(5)


def test_an_e_mail_needs_a_sender() -> None:
    """Its own, or the user of the server."""
    with pytest.raises(DeployError, match="have no sender"):
        open_email({"to": ["a@b.it"], "smtp": {"host": "h", "user": "shop"}}, reveal)
    open_email({"to": ["a@b.it"], "smtp": {"host": "h", "user": "shop@e.it"}}, reveal)
