"""What a node of a fleet may say and hear: the hub holds it, whatever the node's own server would let pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from nats.js.errors import ServiceUnavailableError

from orchestrator.plugins.buses.nats import NatsBus, opened
from orchestrator.plugins.buses.nkey import NKey
from orchestrator.ports.bus import BusDown, Letter
from tests.buses.servers import connected, fleet_in, hears, linked

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[tuple[NatsBus, NatsBus]]:
    """A fleet's hub with its buckets, and two nodes whose links reach it; the first may say what is wanted."""
    with fleet_in(folder, "edge-1", "edge-2", leads="edge-1") as fleet:
        (_, one), (_, two) = fleet.leaf("edge-1"), fleet.leaf("edge-2")
        async with connected(fleet.options()) as keeper, connected(one) as leads, connected(two) as node:
            await keeper.prepare()
            await linked(leads)
            await linked(node)
            yield leads, node


async def test_a_node_writes_what_is_its_own_and_no_more(tmp_path: Path) -> None:
    """A refusal is told as one, not as a hub that is away."""
    async with two_nodes(tmp_path) as (leads, node):
        await node.swap("observed", "d.edge-2", b"mine")
        await node.swap("lease", "d.controller", b"edge-2")
        await leads.swap("desired", "d.manifest", b"signed")
        for bucket, key in (("observed", "d.edge-1"), ("desired", "d.manifest")):
            with pytest.raises(BusDown, match=f"does not let node edge-2 write {key} of {bucket}"):
                await node.swap(bucket, key, b"not mine")  # type: ignore[arg-type] # a bucket's name from a table
        assert await leads.read("observed", "d.edge-1") is None


async def test_a_node_cannot_make_or_remove_buckets(tmp_path: Path) -> None:
    """That is the keeper's, which comes from the hub's own device only."""
    with fleet_in(tmp_path, "edge-1", leads="edge-1") as fleet:
        _, options = fleet.leaf("edge-1")
        async with connected(fleet.options()) as keeper, connected(options) as node:
            await keeper.prepare()
            await linked(node)
            jetstream = node._line.client.jetstream(timeout=1)
            acts = (jetstream.delete_stream, jetstream.purge_stream)
            for act in acts:
                with pytest.raises((ServiceUnavailableError, TimeoutError)):
                    await act("KV_DESIRED")
            assert await keeper.prepare() == ()


async def test_letters_under_another_name_are_dropped(tmp_path: Path) -> None:
    """A heartbeat of another node, an order of who leads, another one's inbox, and what is for inside of a device."""
    async with two_nodes(tmp_path) as (leads, node):
        assert await hears(leads, "orc.v1.d.hb.*", node, "orc.v1.d.hb.edge-2")
        assert not await hears(leads, "orc.v1.d.hb.*", node, "orc.v1.d.hb.edge-1")
        assert await hears(node, "orc.v1.d.ctl.edge-2", leads, "orc.v1.d.ctl.edge-2")
        assert not await hears(leads, "orc.v1.d.ctl.edge-1", node, "orc.v1.d.ctl.edge-1")
        assert await hears(leads, leads.inbox("x"), node, leads.inbox("x"))
        assert not await hears(node, leads.inbox("x"), leads, leads.inbox("x"))
        assert not await hears(leads, "local.>", node, "local.secret")


async def test_the_hub_is_not_used_to_speak_for_others(tmp_path: Path) -> None:
    """A node may have the hub answer to any subject with what it stored: such an answer is no letter and no news of another key."""
    async with two_nodes(tmp_path) as (leads, node):
        await node.swap("observed", "d.edge-2", b"made up")
        question = "$JS.hub.API.DIRECT.GET.KV_OBSERVED.$KV.OBSERVED.d.edge-2"
        async with leads.listen("orc.v1.d.hb.*") as beats, leads.watch("desired") as changes:
            raw: list[str] = []
            async with leads._line.ear("orc.v1.d.hb.*", lambda message: raw.append(message.subject)):
                while len(raw) < 3:
                    for victim in ("orc.kv.DESIRED.d.manifest", "orc.v1.d.hb.edge-1"):
                        await node._line.client.publish(question, reply=victim)
                    await anyio.sleep(0.02)  # a real server, which gives no sign
            await node.send(Letter("orc.v1.d.hb.edge-2", b"honest"))
            written = await leads.swap("desired", "d.manifest", b"signed")
            with anyio.fail_after(5):
                assert ((await anext(beats)).body, await anext(changes)) == (b"honest", written)


async def test_refusals_of_the_own_server_are_told_as_such(tmp_path: Path) -> None:
    """Without a leaf between, the server says so itself: for listening, for writing, and nothing else suffers."""
    with fleet_in(tmp_path, "edge-2") as fleet:
        options = replace(fleet.options("edge-2"), key=fleet.nodes["edge-2"], patience=1.0)
        async with connected(fleet.options()) as keeper, connected(options) as node:
            await keeper.prepare()
            with pytest.raises(
                BusDown, match=r"edge-2 may not listen to orc\.v1\.d\.ctl\.edge-1.*(?i:permissions violation)"
            ):
                async with node.listen("orc.v1.d.ctl.edge-1"):
                    raise AssertionError("it may listen")
            with pytest.raises(BusDown, match=r"does not let node edge-2 write d\.manifest of desired"):
                await node.swap("desired", "d.manifest", b"not mine")
            async with node.listen("orc.v1.d.ctl.edge-2") as letters:
                await keeper.send(Letter("orc.v1.d.ctl.edge-2", b"drain"))
                with anyio.fail_after(5):
                    assert (await anext(letters)).body == b"drain"


async def test_what_is_for_inside_passes_inside(tmp_path: Path) -> None:
    """The leaf carries it between two clients of its own device."""
    with fleet_in(tmp_path, "edge-1") as fleet:
        _, options = fleet.leaf("edge-1")
        async with connected(options) as one, connected(options) as other, other.listen("local.>") as letters:
            await one.send(Letter("local.secret", b"x"))
            with anyio.fail_after(5):
                assert (await anext(letters)).body == b"x"


async def test_a_stranger_is_told_so_and_does_not_come_in(tmp_path: Path) -> None:
    """A key that the server does not know; the bus goes on trying, as the key may be let in later."""
    with fleet_in(tmp_path) as fleet:
        options = fleet.options()
        async with connected(options), opened(replace(options, key=NKey.new())) as bus:
            with pytest.raises(BusDown, match=r"(?i)authorization violation"):
                await bus.ready(1)


async def test_no_secret_stands_in_a_configuration(tmp_path: Path) -> None:
    """Seeds and the key of the store are references to the environment; the files are the user's alone."""
    with fleet_in(tmp_path, "edge-1") as fleet:
        leaf, options = fleet.leaf("edge-1")
        assert options.key is not None
        for secret in (fleet.nodes["edge-1"].seed, options.key.seed, fleet.keeper.seed, "k-of-tests"):
            assert secret not in leaf.text + fleet.servers[0].text
        assert [(server.folder / "conf").stat().st_mode & 0o777 for server in fleet.servers] == [0o600, 0o600]
