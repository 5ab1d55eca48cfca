"""Joining a fleet, leaving it, and what is refused: over real sockets, with real certificates."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest

from orchestrator.app.fleet import certificates
from orchestrator.app.fleet.certificates import Authority, days_left, new_request, read_certificate
from orchestrator.app.fleet.identity import FirstNode, FleetFolder, Membership, begin_fleet
from orchestrator.app.fleet.joining import HubLine, Unanswered, check_leaves, join_fleet, leave_fleet, tell_leaving
from orchestrator.app.fleet.keys import new_seed
from orchestrator.app.fleet.mesh import apply_members
from orchestrator.app.fleet.renewal import renew_certificate, renewal_is_due, settle
from orchestrator.app.fleet.token import Token
from orchestrator.core.errors import UsageError
from orchestrator.core.fleet_errors import FleetError, TokenRefused
from orchestrator.plugins.hosts.processes import LocalProcesses
from orchestrator.ports.bus import BusDown, Letter
from tests.buses.servers import linked, until
from tests.fleet.machines import at_other_port, first_machine, running, token_of

pytestmark = pytest.mark.anyio
T = TypeVar("T")


async def beside(act: Callable[..., T], *arguments: object, **named: object) -> T:
    """In a thread, as a machine of its own would."""
    return await anyio.to_thread.run_sync(partial(act, *arguments, **named))


@pytest.mark.parametrize("insecure", [False, True])
async def test_a_machine_joins_and_a_letter_goes_both_ways(tmp_path: Path, insecure: bool) -> None:
    """Over leaves with certificates, and over plain links on one machine."""
    hub, other = first_machine(tmp_path / "a", insecure=insecure), FleetFolder(tmp_path / "b" / "fleet")
    async with running(hub) as first:
        joined = await beside(join_fleet, other, token_of(hub), "edge-2")
        assert (joined.node, joined.hub, joined.fleet, joined.insecure) == (
            "edge-2",
            False,
            hub.member().fleet,
            insecure,
        )
        assert joined.operator == hub.member().operator
        async with running(other) as second:
            await linked(first.bus)
            await linked(second.bus)
            for sender, hearer in ((first.bus, second.bus), (second.bus, first.bus)):
                async with (
                    hearer.listen(f"orc.v1.d.call.{hearer.node}.x") as letters,
                    anyio.create_task_group() as tasks,
                ):

                    async def knock(sender: object = sender, hearer: object = hearer) -> None:
                        while True:
                            await sender.send(Letter(f"orc.v1.d.call.{hearer.node}.x", b"hello"))  # type: ignore[attr-defined] # of this test
                            await anyio.sleep(0.02)  # a real link, which gives no sign when it is there

                    tasks.start_soon(knock)
                    with anyio.fail_after(10):
                        assert (await anext(letters)).body == b"hello"
                    tasks.cancel_scope.cancel()


async def test_all_files_are_for_this_user_alone(tmp_path: Path) -> None:
    """Keys, certificates, configurations and the ledger, on both machines; a token stands in none."""
    hub, other = first_machine(tmp_path / "a"), FleetFolder(tmp_path / "b" / "fleet")
    async with running(hub):
        token = token_of(hub)
        await beside(join_fleet, other, token, "edge-2")
        async with running(other):
            files = [each for folder in (hub, other) for each in folder.path.rglob("*") if each.is_file()]
            open_ones = [each.name for each in files if each.stat().st_mode & 0o077 and "store" not in each.parts]
            assert open_ones == []
            assert [each.name for each in files if token.secret.hex() in each.read_text(errors="replace")] == []
            assert not other.authority_key.exists() and not other.operator_key.exists()


async def test_a_token_lets_in_one_node_once(tmp_path: Path) -> None:
    """The second is told who used it, and nothing of its join stays."""
    hub = first_machine(tmp_path / "a")
    async with running(hub):
        token, late = token_of(hub), FleetFolder(tmp_path / "c" / "fleet")
        await beside(join_fleet, FleetFolder(tmp_path / "b" / "fleet"), token, "edge-2")
        with pytest.raises(TokenRefused, match="was used by edge-2") as told:
            await beside(join_fleet, late, token, "edge-3")
        assert "node invite" in told.value.cure
        assert late.read() is None and list((tmp_path / "c").iterdir()) == []


async def test_a_token_that_is_too_old_is_refused(tmp_path: Path) -> None:
    hub = first_machine(tmp_path / "a")
    async with running(hub):
        with pytest.raises(TokenRefused, match="too old"):
            await beside(join_fleet, FleetFolder(tmp_path / "b" / "fleet"), token_of(hub, -1.0), "edge-2")


async def test_a_token_that_nobody_gave_is_refused(tmp_path: Path) -> None:
    hub = first_machine(tmp_path / "a")
    async with running(hub):
        made_up = replace(token_of(hub), secret=bytes(16))
        with pytest.raises(TokenRefused, match="does not know this token"):
            await beside(join_fleet, FleetFolder(tmp_path / "b" / "fleet"), made_up, "edge-2")


async def test_who_is_not_the_hub_of_the_token_never_sees_its_secret(tmp_path: Path) -> None:
    """Another fleet's hub answers at the address: its fingerprint is another one."""
    hub = first_machine(tmp_path / "a")
    async with running(hub):
        wrong = replace(token_of(hub), fingerprint=bytes(32))
        with pytest.raises(TokenRefused, match="its fingerprint is another one"):
            await beside(join_fleet, FleetFolder(tmp_path / "b" / "fleet"), wrong, "edge-2")
        assert [ticket.node for ticket in hub.ledger._read().tickets.values()] == [""]


async def test_a_node_cannot_pass_for_the_hub(tmp_path: Path) -> None:
    """Its certificate is of the same authority, but for a client: who joins does not talk to it."""
    hub, other = first_machine(tmp_path / "a"), FleetFolder(tmp_path / "b" / "fleet")
    async with running(hub):
        await beside(join_fleet, other, token_of(hub), "edge-2")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other.tls.certificate, other.tls.key)
    authority = other.tls.authority.read_text()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pose() -> None:
            with listener.accept()[0] as plain, pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_side=True).recv(1)

        line = HubLine((f"127.0.0.1:{listener.getsockname()[1]}",), authority)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, pose)
            with pytest.raises(FleetError, match="does not prove that it is the hub"):
                await beside(line.ask, {"op": "join", "secret": "secret"})


async def test_a_name_that_is_taken_leaves_the_token_good(tmp_path: Path) -> None:
    hub = first_machine(tmp_path / "a")
    async with running(hub):
        token, other = token_of(hub), FleetFolder(tmp_path / "b" / "fleet")
        with pytest.raises(FleetError, match="has a node edge-1 already") as told:
            await beside(join_fleet, other, token, "edge-1")
        assert "--name" in told.value.cure
        assert (await beside(join_fleet, other, token, "edge-2")).node == "edge-2"


async def test_a_hub_that_is_away_is_told(tmp_path: Path) -> None:
    hub = first_machine(tmp_path / "a")
    with pytest.raises(FleetError, match=r"cannot be reached.*Connection refused") as told:
        await beside(join_fleet, FleetFolder(tmp_path / "b" / "fleet"), at_other_port(token_of(hub)), "edge-2")
    assert "orchestrator runtime status" in told.value.cure


async def test_who_belongs_to_a_fleet_does_not_join_another(tmp_path: Path) -> None:
    hub = first_machine(tmp_path / "a")
    for act in (
        partial(join_fleet, hub, token_of(hub), "edge-2"),
        partial(begin_fleet, hub, FirstNode("edge-2")),
    ):
        with pytest.raises(FleetError, match=r"is node edge-1 of fleet .* already"):
            await beside(act)


async def test_a_node_that_leaves_is_out_and_may_come_again(tmp_path: Path) -> None:
    """Its key is refused from then on, its files are gone, the others stay; its name is free again."""
    hub, other = first_machine(tmp_path / "a"), FleetFolder(tmp_path / "b" / "fleet")
    async with running(hub) as first:
        await beside(join_fleet, other, token_of(hub), "edge-2")
        async with running(other) as second:
            await linked(second.bus)
            with pytest.raises(FleetError, match="runs this node's servers already"):
                await beside(leave_fleet, other, LocalProcesses(), force=False)
            await beside(tell_leaving, other)
            with pytest.raises(BusDown):
                await second.bus.read("desired", "d.manifest")
        assert not await beside(leave_fleet, other, LocalProcesses(), force=True)
        assert other.read() is None and not other.path.exists()
        with anyio.fail_after(10):
            await linked(first.bus)
        assert (await beside(join_fleet, other, token_of(hub), "edge-2")).node == "edge-2"


async def test_the_hub_takes_out_a_node_that_is_lost(tmp_path: Path) -> None:
    """From a process of its own, while another one runs the hub's server: the lost node's leaf is refused."""
    hub, other = first_machine(tmp_path / "a"), FleetFolder(tmp_path / "b" / "fleet")
    async with running(hub) as first:
        await beside(join_fleet, other, token_of(hub), "edge-2")
        async with running(other) as second:
            await linked(second.bus)
            hub.ledger.leave("edge-2")
            assert await apply_members(hub, LocalProcesses(), left=True)
            log = second.leaf.order.log
            await until(lambda: "Authorization Violation" in log.read_text(), 10)
            assert not await second.bus.linked()
            with pytest.raises(FleetError, match="does not know edge-2 by this key"):
                await beside(renew_certificate, other)
        with anyio.fail_after(10):
            await linked(first.bus)


async def test_the_hub_itself_leaves_only_by_force(tmp_path: Path) -> None:
    hub = first_machine(tmp_path / "a")
    with pytest.raises(FleetError, match="is the hub"):
        leave_fleet(hub, LocalProcesses(), force=False)
    with pytest.raises(FleetError, match="is the hub"):
        hub.ledger.leave("edge-1")
    assert leave_fleet(hub, LocalProcesses(), force=True) and hub.read() is None


async def test_a_node_leaves_by_force_where_the_hub_is_away(tmp_path: Path) -> None:
    """It says that the hub does not know."""
    hub, other = first_machine(tmp_path / "a"), FleetFolder(tmp_path / "b" / "fleet")
    async with running(hub):
        await beside(join_fleet, other, token_of(hub), "edge-2")
    with pytest.raises(FleetError, match="cannot be reached"):
        await beside(leave_fleet, other, LocalProcesses(), force=False)
    assert other.read() is not None
    assert not await beside(leave_fleet, other, LocalProcesses(), force=True) and other.read() is None


async def test_a_certificate_is_renewed_with_a_fresh_key(tmp_path: Path) -> None:
    """By a signature of the node's NKey; the leaf comes with it after its next start."""
    hub, other = first_machine(tmp_path / "a"), FleetFolder(tmp_path / "b" / "fleet")
    async with running(hub):
        await beside(join_fleet, other, token_of(hub), "edge-2")
        before = read_certificate(other.tls.certificate)
        await beside(renew_certificate, other)
        after = read_certificate(other.tls.certificate)
        assert after.public_key() != before.public_key() and 89 < days_left(after) <= 90
        async with running(other) as second:
            await linked(second.bus)


async def test_a_certificate_that_is_soon_too_old_is_renewed_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's too; the servers begin anew with it, and the link is back."""
    monkeypatch.setattr(certificates, "NODE_DAYS", 20)
    hub, other = first_machine(tmp_path / "a"), FleetFolder(tmp_path / "b" / "fleet")
    begun = hub.path / "node.pem"
    monkeypatch.setattr(certificates, "NODE_DAYS", 90)
    assert renewal_is_due(hub)
    old = begun.read_text()
    async with running(hub) as first:
        await until(lambda: begun.read_text() != old, 10)
        assert not renewal_is_due(hub)
        await beside(join_fleet, other, token_of(hub), "edge-2")
        async with running(other) as second:
            await linked(first.bus)
            await linked(second.bus)


async def test_a_crash_while_renewing_leaves_key_and_certificate_that_fit(tmp_path: Path) -> None:
    """Before the certificate is in place the old key stays; after it, the fresh one takes its place."""
    hub = first_machine(tmp_path)
    before = hub.tls.key.read_text()
    new_request(hub.fresh_key, "edge-1")
    settle(hub)
    assert hub.tls.key.read_text() == before and not hub.fresh_key.exists()
    request = new_request(hub.fresh_key, "edge-1")
    fresh = hub.fresh_key.read_text()
    hub.tls.certificate.write_text(Authority.read(hub.tls.authority, hub.authority_key).sign(request, "edge-1"))
    settle(hub)
    assert hub.tls.key.read_text() == fresh and not hub.fresh_key.exists()


async def test_a_request_for_another_name_gets_ones_own(tmp_path: Path) -> None:
    """What a signing request says beside its key counts for nothing."""
    authority = Authority.new("f")
    signed = authority.sign(new_request(tmp_path / "key", "hub"), "edge-2")
    (tmp_path / "node.pem").touch(mode=0o600)
    (tmp_path / "node.pem").write_text(signed)
    assert read_certificate(tmp_path / "node.pem").subject.rfc4514_string() == "CN=edge-2"


@pytest.mark.parametrize(
    "line",
    [b"\n", b"[]\n", b"{}\n", b'{"op": "join"}\n', b'{"op": ["join"]}\n', b"\xff\n", b'{"op": "leave", "node": 1}\n'],
)
async def test_nonsense_is_answered_as_such(tmp_path: Path, line: bytes) -> None:
    """And the hub goes on."""
    hub = first_machine(tmp_path / "a", insecure=True)
    async with running(hub):
        host, _, port = hub.member().enrol[0].rpartition(":")

        def said() -> bytes:
            with socket.create_connection((host, int(port)), 5) as sock:
                sock.sendall(line)
                return sock.recv(65536)

        assert "error" in json.loads(await beside(said))
        assert "authority" in await beside(HubLine(hub.member().enrol).ask, {"op": "authority"})


async def test_names_that_cannot_be_are_refused_on_both_sides(tmp_path: Path) -> None:
    hub = first_machine(tmp_path / "a", insecure=True)
    for name in ("", "Edge", "a.b", "a*", "-a", "hub", "x" * 64):
        with pytest.raises(UsageError, match="cannot be the name of a node"):
            join_fleet(FleetFolder(tmp_path / "b" / "fleet"), token_of(hub), name)
    async with running(hub):
        question = {
            "op": "join",
            "node": "a.>",
            "key": new_seed(tmp_path / "seed").public,
            "request": new_request(tmp_path / "key", "a"),
            "secret": base64.b64encode(token_of(hub).secret).decode(),
        }
        with pytest.raises(FleetError, match="cannot be the name of a node"):
            await beside(HubLine(hub.member().enrol).ask, question)


def test_a_fleet_without_certificates_stays_on_one_machine(tmp_path: Path) -> None:
    """It cannot begin on an address of others, nor be joined over one."""
    with pytest.raises(FleetError, match="for this machine alone"):
        begin_fleet(FleetFolder(tmp_path / "fleet"), FirstNode("edge-1", address="192.168.1.10", insecure=True))
    far = Token(("192.168.1.10:7423",), bytes(16)).text()
    with pytest.raises(TokenRefused, match="without certificates"):
        Token.read(far)


def test_a_node_that_leaves_is_told_what_it_would_leave_unanswered() -> None:
    """What waits for whom, each with where to look; with nothing left it may go."""
    node = Membership("shop", "edge-2", False, (), (), "", 0)
    check_leaves(node, Unanswered(), force=False)
    check_leaves(node, Unanswered(1), force=True)
    with pytest.raises(FleetError, match="not answered yet: 2 waiting for a person, 3 in work") as told:
        check_leaves(node, Unanswered(0, 2, 3), force=False)
    assert "once they are answered (orchestrator approvals list, orchestrator status);" in told.value.cure


def test_the_hub_is_told_of_both_what_ends_and_what_it_would_leave_unanswered() -> None:
    """One ``--force`` goes past both."""
    hub = Membership("shop", "edge-1", True, (), (), "", 0)
    with pytest.raises(FleetError, match=r"is the hub: .*; and this node has requests .*: 1 kept for a target") as told:
        check_leaves(hub, Unanswered(1), force=False)
    assert told.value.cure == (
        "orchestrator node leave --force, once they are answered (orchestrator outbox list), if the fleet shall end; "
        "sooner, and nobody answers them"
    )
    with pytest.raises(FleetError, match=r"or be taken out$"):
        check_leaves(hub, Unanswered(), force=False)
    check_leaves(hub, Unanswered(1), force=True)
