"""What was found by trying with nats-server and nats-py, so that it is found again when they change."""

from __future__ import annotations

import resource
import shutil
import signal
import time
from pathlib import Path

import anyio
import pytest
from nats.js.api import StreamConfig

from orchestrator.plugins.buses.nats import NatsBus, opened
from orchestrator.plugins.buses.nats_warden import end_leaves
from orchestrator.plugins.sidecars.nats_server import sickness
from orchestrator.ports.bus import BusDown, Conflict, Entry, Letter
from tests.buses.servers import connected, fill, fleet_in, linked, said, until

pytestmark = pytest.mark.anyio


async def test_a_leaf_without_a_store_reaches_the_buckets_of_the_hub(tmp_path: Path) -> None:
    """Reading, writing, listing and watching, though the leaf has no JetStream of its own."""
    with fleet_in(tmp_path, "edge-1") as fleet:
        _, options = fleet.leaf("edge-1")
        async with connected(fleet.options()) as keeper, connected(options) as node:
            await keeper.prepare()
            await linked(node)
            async with keeper.watch("observed", "d.") as changes:
                written = await node.swap("observed", "d.edge-1", b"here")
                assert await anext(changes) == written
            assert await node.entries("observed", "d.") == (written,)
            with pytest.raises(Conflict):
                await node.swap("observed", "d.edge-1", b"again")


async def test_a_watch_behind_a_leaf_goes_on_when_the_hub_was_killed(tmp_path: Path) -> None:
    """Within seconds of the hub's return, though the watcher's own connection was never lost."""
    with fleet_in(tmp_path, "edge-1") as fleet:
        _, options = fleet.leaf("edge-1")
        async with connected(fleet.options()) as keeper, connected(options) as node:
            await keeper.prepare()
            await linked(node)
            async with node.watch("desired", "d.") as changes:
                fleet.servers[0].kill()
                fleet.servers[0].start()
                await linked(node)
                await keeper.ready(5)
                written = await keeper.swap("desired", "d.manifest", b"new")
                with anyio.fail_after(3):
                    assert await anext(changes) == written


async def test_an_expired_lease_is_an_entry_without_a_value(tmp_path: Path) -> None:
    """Making it anew as if nothing was there conflicts; with the revision of the mark it goes well. The watch tells of it."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            held = await bus.swap("lease", "d.controller", b"edge-1")
            async with bus.watch("lease", "d.") as changes:
                with anyio.fail_after(10):
                    expired = await anext(changes)
            assert expired == Entry("d.controller", b"", expired.revision) and expired.revision > held.revision
            assert await bus.read("lease", "d.controller") == expired
            assert await bus.entries("lease") == ()
            with pytest.raises(Conflict):
                await bus.swap("lease", "d.controller", b"edge-2")
            assert (await bus.swap("lease", "d.controller", b"edge-2", expired.revision)).value == b"edge-2"


async def test_a_server_that_hangs_is_noticed_and_left(tmp_path: Path) -> None:
    """Within four seconds there is no connection; asking is refused at once; closing does not wait for it."""
    with fleet_in(tmp_path) as fleet:
        async with opened(fleet.options()) as bus:
            await bus.ready(10)
            fleet.servers[0].running.send_signal(signal.SIGSTOP)
            await until(lambda: not bus.connected, 4)
            with pytest.raises(BusDown, match="no connection to the bus"):
                await bus.send(Letter("a"))
            began = time.monotonic()
        assert time.monotonic() - began < 2


async def test_a_lost_connection_is_noticed_though_the_library_does_not_tell(tmp_path: Path) -> None:
    """Its closing may end in an error before it tells: a process that had stood still stayed away from its bus for ever."""
    with fleet_in(tmp_path) as fleet:
        async with opened(fleet.options()) as bus, bus.listen("a") as letters:
            await bus.ready(10)
            bus._line.client._closed_cb = None
            fleet.servers[0].kill()
            fleet.servers[0].start()
            await until(lambda: bus._line.life == 2 and bus.connected, 5)
            await bus.ready(5)
            await bus.send(Letter("a", b"b"))
            with anyio.fail_after(3):
                assert (await anext(letters)).body == b"b"


async def test_closing_is_quick_while_much_waits_for_a_server_that_hangs(tmp_path: Path) -> None:
    """Also before it is noticed."""
    with fleet_in(tmp_path) as fleet:
        async with opened(fleet.options()) as bus:
            await bus.ready(10)
            fleet.servers[0].running.send_signal(signal.SIGSTOP)
            for _ in range(8):
                await bus.send(Letter("a", b"x" * 100_000))
            began = time.monotonic()
        assert time.monotonic() - began < 2


async def test_a_bus_whose_server_is_not_there_says_so_and_waits_for_it(tmp_path: Path) -> None:
    """It is no fault to open it; it connects when the server comes."""
    with fleet_in(tmp_path) as fleet:
        fleet.servers[0].kill()
        async with opened(fleet.options()) as bus:
            with pytest.raises(BusDown, match=r"no connection to the bus at nats://127\.0\.0\.1"):
                await bus.ready(0.3)
            fleet.servers[0].start()
            await bus.ready(10)
            assert bus.connected


async def test_a_store_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    """The bus says that there is no bucket; who keeps the hub makes them, and what was there is gone, not half there."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            await bus.swap("desired", "d.manifest", b"1")
            fleet.servers[0].kill()
            shutil.rmtree(tmp_path / "store")
            fleet.servers[0].start()
            await bus.ready(10)
            with pytest.raises(BusDown):
                await bus.read("desired", "d.manifest")
            assert "desired" in await bus.prepare()
            assert await bus.read("desired", "d.manifest") is None
            assert (await bus.swap("desired", "d.manifest", b"1")).revision == 1


async def test_a_bucket_that_is_not_as_it_shall_be_is_told(tmp_path: Path) -> None:
    """An acknowledged creation may come back otherwise after a crash: it is read back."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            stream = StreamConfig("KV_LEASE", subjects=["$KV.LEASE.>"], num_replicas=1)
            await bus._line.client.jetstream().add_stream(stream)
            with pytest.raises(BusDown, match=r"not as it shall be.*max_age") as told:
                await bus.prepare()
            assert "remove its stream KV_LEASE" in told.value.cure


async def test_a_lease_that_ran_out_is_remembered_for_long(tmp_path: Path) -> None:
    """What is forgotten looks like a deleted store. A bucket of an older version, which forgot after a minute, is brought up to it,
    and what it holds stays."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            jetstream = bus._line.client.jetstream()
            before = (await jetstream.stream_info("KV_LEASE")).config
            await jetstream.update_stream(before.evolve(subject_delete_marker_ttl=60.0))
            held = await bus.swap("lease", "d.lead", b"a")
            assert await bus.prepare() == ()
            assert (await jetstream.stream_info("KV_LEASE")).config.subject_delete_marker_ttl == 86_400.0
            assert await bus.read("lease", "d.lead") == held


async def test_after_a_full_disk_the_store_fails_until_a_restart(tmp_path: Path) -> None:
    """The log says so in words that we know; letters go on meanwhile; a restart mends it, and what was acknowledged is there."""
    with fleet_in(tmp_path) as fleet:
        hub = fleet.servers[0]
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            kept = await bus.swap("desired", "d.manifest", b"kept")
            await _file_size_limit(hub.running.pid, 4096)
            with pytest.raises(BusDown):
                await fill(bus)
            async with bus.listen("still.here") as letters:
                await bus.send(Letter("still.here"))
                assert (await anext(letters)).subject == "still.here"
            await _file_size_limit(hub.running.pid, resource.RLIM_INFINITY)
            with pytest.raises(BusDown):
                await bus.swap("desired", "d.later", b"x")
            assert sickness(hub.log.read_text()) != ""
            hub.kill()
            hub.start()
            await bus.ready(10)
            await linked(bus)
            assert await bus.read("desired", "d.manifest") == kept
            await bus.swap("desired", "d.later", b"x")


async def test_trials_of_the_store_do_not_disturb_each_other(tmp_path: Path) -> None:
    """The watch over the server and somebody who asks may try it in one moment; neither finds it sick for that."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(bus.probe)


async def _file_size_limit(pid: int, size: int) -> None:
    """What a full disk is to one process: it cannot make its files longer."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_a_revoked_key_is_out_and_the_others_come_back(tmp_path: Path) -> None:
    """A reload alone leaves a leaf connected (should that change, the warden can go); the hub's own connections stay throughout."""
    with fleet_in(tmp_path, "edge-1", "edge-2") as fleet:
        (first, one), (_, two) = fleet.leaf("edge-1"), fleet.leaf("edge-2")
        async with connected(fleet.options()) as keeper, connected(one) as gone, connected(two) as stays:
            await keeper.prepare()
            await linked(gone)
            await linked(stays)
            lives = keeper._line.life
            del fleet.nodes["edge-1"]
            fleet.servers[0].reload(fleet.hub_conf())
            await until(lambda: said(fleet.servers[0], "Reloaded server configuration"))
            assert await _answers(gone)
            assert await end_leaves(fleet.options().servers[0], fleet.warden) == 2
            await until(lambda: said(first, "(?i)authorization violation"))
            assert not await _answers(gone)
            with anyio.fail_after(3):
                await linked(stays)
            assert keeper._line.life == lives


async def _answers(bus: NatsBus) -> bool:
    try:
        await bus.read("desired", "nothing")
    except BusDown:
        return False
    return True


async def test_many_reconnections_leave_nothing_on_the_hub(tmp_path: Path) -> None:
    """No consumer of a watch stays behind, as none is made; no subscription of an earlier connection either."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            async with bus.watch("desired"), bus.watch("observed"), bus.listen("a.>"):
                for _ in range(3):
                    fleet.servers[0].kill()
                    life = bus._line.life
                    fleet.servers[0].start()
                    with anyio.fail_after(10):
                        await bus._line.alive(after=life)
                await linked(bus)
                jetstream = bus._line.client.jetstream()
                counts = [
                    (await jetstream.stream_info(f"KV_{name}")).state.consumer_count for name in ("DESIRED", "OBSERVED")
                ]
                assert counts == [0, 0]
                await until(
                    lambda: len(bus._line._ears) == 3
                )  # a list that is being read has one too, until it is there


async def test_more_keys_than_one_answer_holds_are_listed(tmp_path: Path) -> None:
    """The server refuses to give the newest of more than 1024 keys at once."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            for number in range(1100):
                await bus.swap("observed", f"d.edge-{number:04}", b"x")
            found = [each.key for each in await bus.entries("observed", "d.")]
            assert found == [f"d.edge-{number:04}" for number in range(1100)]


async def test_what_is_larger_than_a_message_may_be_is_refused(tmp_path: Path) -> None:
    """By our side, before the server would end the connection."""
    with fleet_in(tmp_path) as fleet:
        async with connected(fleet.options()) as bus:
            await bus.prepare()
            for act in (bus.send(Letter("a", b"x" * 1_100_000)), bus.swap("desired", "d.k", b"x" * 1_100_000)):
                with pytest.raises(BusDown, match="larger than one message may be"):
                    await act
            with pytest.raises(BusDown, match="maximum"):
                await bus.swap("desired", "d.k", b"x" * 900_000)
            assert bus.connected and bus._line.life == 1
