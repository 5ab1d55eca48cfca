"""What is signed on a node that may not write on the board itself: a hub's node writes it, and nothing else."""

from __future__ import annotations

import anyio
import pytest

from orchestrator.app.fleet.keys import OperatorKey, check_signature
from orchestrator.app.fleet.posting import Post, PostedBoard
from orchestrator.core.errors import BusDown, Conflict, OrchestratorError
from orchestrator.node.desired import Desired
from orchestrator.ports.bus import Letter
from tests.mesh.sim import DEPLOYMENT, SUBJECTS, Fleet, fleet

pytestmark = pytest.mark.anyio
KEY = OperatorKey.new()


def signed(generation: int, key: OperatorKey = KEY) -> bytes:
    wanted = Desired(generation, {"name": DEPLOYMENT, "number": generation})
    return Desired(generation, wanted.blueprint, key.sign(wanted.signed)).written()


def accepts(desired: Desired) -> bool:
    try:
        check_signature(KEY.public, desired.signed, desired.signature)
    except OrchestratorError:
        return False
    return True


async def posted(net: Fleet) -> PostedBoard:
    """A hub's node that takes letters, and another node."""
    hub, hub_board = net.net.join("first")
    net.group.start_soon(Post(hub, hub_board, accepts).run)
    bus, board = net.net.join("second")
    await anyio.sleep(0.1)
    return PostedBoard(board, bus, DEPLOYMENT)


async def test_what_the_operator_signed_is_written_and_read_back() -> None:
    async with fleet() as net:
        board = await posted(net)
        written = await board.swap("desired", SUBJECTS.manifest, signed(1))
        assert await board.read("desired", SUBJECTS.manifest) == written
        later = await board.swap("desired", SUBJECTS.manifest, signed(2), written.revision)
        assert later.revision > written.revision


async def test_what_somebody_else_signed_or_nobody_is_not_written() -> None:
    """Nor what is no manifest at all."""
    async with fleet() as net:
        board = await posted(net)
        for value in (signed(1, OperatorKey.new()), Desired(1, {}).written(), b"", b"{}"):
            with pytest.raises(BusDown, match=r"not signed by the operator|is broken"):
                await board.swap("desired", SUBJECTS.manifest, value)
        assert await board.read("desired", SUBJECTS.manifest) is None


async def test_what_was_signed_long_ago_is_not_written_again() -> None:
    """Whoever has seen it could send it; and who was slower than somebody else is told so."""
    async with fleet() as net:
        board = await posted(net)
        first = await board.swap("desired", SUBJECTS.manifest, signed(1))
        second = await board.swap("desired", SUBJECTS.manifest, signed(2), first.revision)
        with pytest.raises(Conflict, match="generation 2 is there already"):
            await board.swap("desired", SUBJECTS.manifest, signed(1), second.revision)
        with pytest.raises(Conflict):
            await board.swap("desired", SUBJECTS.manifest, signed(3), first.revision)
        assert await board.read("desired", SUBJECTS.manifest) == second


async def test_a_hub_that_does_not_answer_is_told() -> None:
    async with fleet() as net:
        bus, board = net.net.join("second")
        with pytest.raises(BusDown, match="no hub's node has answered"):
            await PostedBoard(board, bus, DEPLOYMENT).swap("desired", SUBJECTS.manifest, signed(1))


async def test_letters_that_say_no_revision_are_answered_and_do_no_harm() -> None:
    async with fleet() as net:
        board = await posted(net)
        async with board.bus.listen(inbox := board.bus.inbox("mine")) as answers:
            await board.bus.send(Letter(SUBJECTS.wish("second"), signed(1), reply=inbox))
            assert b"says no On-Revision" in (await anext(answers)).body
            await board.bus.send(Letter(SUBJECTS.wish("second"), signed(1)))  # nobody waits for its answer
        assert (await board.swap("desired", SUBJECTS.manifest, signed(1))).revision == 1
