"""The e-mail tool: the outbox, a real SMTP conversation on loopback, and hostile texts."""

from __future__ import annotations

import socketserver
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.core.schema_check import check_arguments
from orchestrator.plugins.secrets import reveal
from orchestrator.plugins.tools.email import open_email
from orchestrator.ports.tool import Tool, ToolContext, ToolPlace
from tests.tools.calling import call, closing, function, outcome
from tests.tools.slow_mail import SlowMail, slow_mail

pytestmark = pytest.mark.anyio

LETTER = {"to": "marta@example.org", "subject": "Your order è pronto", "body": "Hello Marta,\nit is ready.\n"}


def messages(place: ToolPlace, box: str = "outbox") -> list[EmailMessage]:
    return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in (place.state / box).iterdir()]


async def test_without_a_server_a_message_waits_in_the_outbox(place: ToolPlace) -> None:
    tool = open_email("email", {"sender": "shop@example.org"}, place, now=lambda: 1_772_697_600.0)
    assert function(tool, "send").effect == "write"
    told = await outcome(tool, "send", **LETTER, cc=["a@example.org", "b@example.org"])
    assert (told.value["sent"], told.text) == (False, "the message is in the outbox")
    (message,) = messages(place)
    assert (message["From"], message["To"], message["Cc"]) == (
        "shop@example.org",
        "marta@example.org",
        "a@example.org, b@example.org",
    )
    assert message["Subject"] == LETTER["subject"]
    assert message["Date"] == "Thu, 05 Mar 2026 08:00:00 +0000"
    assert message.get_content().replace("\r\n", "\n") == LETTER["body"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in (place.state / "outbox").iterdir()} == {0o600}
    (listed,) = await call(tool, "list")
    assert (listed["to"], listed["subject"]) == ("marta@example.org", LETTER["subject"])


async def test_a_repeated_call_writes_one_message(place: ToolPlace) -> None:
    tool = open_email("email", {}, place)
    for _ in range(2):
        await call(tool, "send", call_id="run_1:c1", **LETTER)
    await call(tool, "send", call_id="run_1:c2", **LETTER)
    assert len(messages(place)) == 2


@pytest.mark.parametrize(
    "other",
    [{"to": "b@example.org"}, {"subject": "y"}, {"body": "other"}, {"cc": ["c@example.org"]}],
    ids=lambda each: next(iter(each)),
)
@pytest.mark.parametrize("box", ["outbox", "sent"])
async def test_a_call_that_differs_is_no_repeat_and_is_not_said_to_be_done(
    place: ToolPlace, other: dict[str, Any], box: str
) -> None:
    """Whether the first still waits or was sent; the repeat itself still is one message."""
    tool = open_email("email", {}, place)
    number = (await call(tool, "send", call_id="c1", **LETTER))["message"]
    (place.state / "outbox" / f"{number}.eml").rename(place.state / box / f"{number}.eml")
    with pytest.raises(ToolFailed, match=r"made before with other arguments") as refused:
        await call(tool, "send", call_id="c1", **{**LETTER, **other})
    assert "call_id" in refused.value.cure
    assert (await call(tool, "send", call_id="c1", **LETTER))["message"] == number


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "marta@example.org\nBcc: all@example.org"},
        {"to": "marta@example.org, all@example.org"},
        {"to": "Marta <marta@example.org>"},
        {"to": "marta"},
        {"to": "marta@example.org\n"},
        {"subject": "Hi\r\nBcc: all@example.org"},
        {"subject": "Hi\n"},
        {"cc": ["a@example.org\nX: y"]},
    ],
)
async def test_a_header_cannot_be_smuggled_in(place: ToolPlace, wrong: dict[str, Any]) -> None:
    tool = open_email("email", {}, place)
    with pytest.raises(ToolFailed):
        await call(tool, "send", **{**LETTER, **wrong})
    assert messages(place) == []


@given(to=st.text(max_size=40).map(lambda t: t + "@example.org"), subject=st.text(min_size=1), body=st.text(min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
async def test_whatever_is_written_a_message_has_only_its_own_headers(
    place: ToolPlace, to: str, subject: str, body: str
) -> None:
    send = function(open_email("email", {}, place), "send")
    checked = check_arguments({"to": to, "subject": subject, "body": body}, send.parameters)
    if checked.fault:
        return
    try:
        await send.run(checked.value, ToolContext(call_id="same"))
    except ToolFailed:
        return
    (message,) = messages(place)
    (place.state / "outbox" / next((place.state / "outbox").iterdir())).unlink()
    own = {"From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    assert set(message.keys()) == own


# ---- SMTP ------------------------------------------------------------------------------------------------------------


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a client needs; ``refuse`` is answered to the text of a message."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.received: list[bytes] = []
        self.logins: list[str] = []
        self.refuse = b""


class Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline().rstrip(b"\r\n"):
            verb = line.split(b" ")[0].upper()
            self.wfile.write(self.answer(verb, line))
            if verb == b"QUIT":
                return

    def answer(self, verb: bytes, line: bytes) -> bytes:
        if verb == b"EHLO":
            return b"250-test\r\n250 AUTH PLAIN\r\n"
        if verb == b"AUTH":
            self.server.logins.append(line.decode())
            return b"235 ok\r\n" if line.endswith(b"AHNob3AAcGFzcw==") else b"535 no\r\n"
        if verb == b"DATA":
            self.wfile.write(b"354 go\r\n")
            lines = iter(self.rfile.readline, b".\r\n")
            self.server.received.append(b"".join(lines))
            return self.server.refuse or b"250 taken\r\n"
        return b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def smtp(server: MailServer, **more: Any) -> dict[str, Any]:
    return {
        "sender": "shop@example.org",
        "smtp": {"host": "127.0.0.1", "port": server.server_address[1], "starttls": False, **more},
    }


async def test_with_a_server_a_message_is_sent_once(place: ToolPlace, server: MailServer) -> None:
    revealing = replace(place, reveal=lambda reference: {"env:MAIL": "pass"}[reference])
    tool = open_email("email", smtp(server, user="shop", password="env:MAIL"), revealing)
    assert function(tool, "send").effect == "external"
    async with closing(tool):
        for _ in range(2):
            assert (await call(tool, "send", call_id="run_1:c1", **LETTER))["sent"] is True
    (received,) = server.received
    assert b"To: marta@example.org" in received
    assert (len(messages(place)), len(messages(place, "sent"))) == (0, 1)
    assert len(await call(tool, "list", box="sent")) == 1


async def test_a_message_that_is_not_taken_stays_in_the_outbox_and_can_be_sent_again(
    place: ToolPlace, server: MailServer
) -> None:
    server.refuse = b"452 full\r\n"
    tool = open_email("email", smtp(server), place)
    with pytest.raises(ToolFailed, match=r"452.*kept in the outbox"):
        await call(tool, "send", call_id="run_1:c1", **LETTER)
    assert len(messages(place)) == 1
    server.refuse = b""
    assert (await call(tool, "send", call_id="run_1:c1", **LETTER))["sent"] is True
    assert (len(messages(place)), len(messages(place, "sent"))) == (0, 1)


async def test_a_wrong_password_is_not_shown(place: ToolPlace, server: MailServer) -> None:
    revealing = replace(place, reveal=lambda _: "sk-canary")
    tool = open_email("email", smtp(server, user="shop", password="env:MAIL"), revealing)
    with pytest.raises(ToolFailed, match="refuses the user or password") as caught:
        await call(tool, "send", **LETTER)
    assert "canary" not in str(caught.value.as_json())
    assert caught.value.__suppress_context__
    assert server.logins


async def test_a_password_that_cannot_be_found_is_told_by_its_reference(place: ToolPlace, server: MailServer) -> None:
    revealing = replace(place, reveal=lambda reference: reveal(reference, place.folder).reveal())
    tool = open_email("email", smtp(server, user="shop", password="env:NOT_SET_ANYWHERE"), revealing)
    with pytest.raises(ToolFailed, match="env:NOT_SET_ANYWHERE is not set; it is kept in the outbox"):
        await call(tool, "send", **LETTER)


async def test_a_server_without_encryption_gets_nothing_where_encryption_is_wanted(
    place: ToolPlace, server: MailServer
) -> None:
    tool = open_email("email", smtp(server, starttls=True), place)
    with pytest.raises(ToolFailed, match="kept in the outbox"):
        await call(tool, "send", **LETTER)
    assert server.received == []


async def test_a_server_that_is_not_there_is_told(place: ToolPlace) -> None:
    tool = open_email("email", {"sender": "a@example.org", "smtp": {"host": "127.0.0.1", "port": 1}}, place)
    with pytest.raises(ToolFailed, match="refused; it is kept in the outbox"):
        await call(tool, "send", **LETTER)


async def test_a_sender_is_needed_to_send_and_must_be_an_address(place: ToolPlace) -> None:
    with pytest.raises(DeployError, match="has no sender"):
        open_email("email", {"smtp": {"host": "x"}}, place)
    with pytest.raises(DeployError, match='"sender" must match'):
        open_email("email", {"sender": "a@b\nX: y"}, place)


@pytest.fixture
def slow() -> Iterator[SlowMail]:
    with slow_mail() as server:
        yield server


def open_slow(server: SlowMail, place: ToolPlace) -> Tool:
    return open_email("email", {"sender": "shop@example.org", "smtp": server.smtp}, place)


async def test_a_call_that_is_cut_off_cuts_the_line_to_the_server(slow: SlowMail, place: ToolPlace) -> None:
    with anyio.move_on_after(0.1) as scope:
        await call(open_slow(slow, place), "send", **LETTER)
    assert scope.cancelled_caught
    assert slow.ended.wait(5)
    assert len(messages(place)) == 1
    assert messages(place, "sent") == []


async def test_all_steps_with_the_server_together_have_a_limit(
    slow: SlowMail, place: ToolPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.ports.smtp._LONGEST", 0.1)
    with pytest.raises(ToolFailed, match="it is too slow; it is kept in the outbox"):
        await call(open_slow(slow, place), "send", **LETTER)
