"""What the operator signs on any node gets onto the board by way of a hub's node, which alone may write there.

A letter holds the signed entry, and on which revision it rests. The hub's node looks at the signature and at the generation, so
that no node can put something there that the operator has not signed, nor something that was signed long ago.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import anyio

from orchestrator.core.errors import BusDown, Conflict, NotUnderstood
from orchestrator.node.desired import Desired
from orchestrator.node.subjects import Subjects, name_of
from orchestrator.ports.bus import Board, Bucket, Bus, Entry, Letter

PATIENCE: Final = 5.0
"""Seconds until the hub's node has answered."""
_ON: Final = "On-Revision"
_NUMBERS: Final = count(1)


@dataclass(frozen=True, slots=True)
class PostedBoard:
    """The board as a node has it that may not write what is wanted: that goes as a letter."""

    board: Board
    bus: Bus
    deployment: str

    async def read(self, bucket: Bucket, key: str) -> Entry | None:
        """As the board has it."""
        return await self.board.read(bucket, key)

    async def entries(self, bucket: Bucket, prefix: str = "") -> tuple[Entry, ...]:
        """As the board has them."""
        return await self.board.entries(bucket, prefix)

    def watch(self, bucket: Bucket, prefix: str = "") -> AbstractAsyncContextManager[Any]:
        """As the board tells."""
        return self.board.watch(bucket, prefix)

    async def swap(self, bucket: Bucket, key: str, value: bytes, expected: int = 0) -> Entry:
        """Have a hub's node write it. Raises ``Conflict`` or ``BusDown``."""
        if bucket != "desired":
            return await self.board.swap(bucket, key, value, expected)
        subject, inbox = Subjects(self.deployment).wish(self.bus.node), self.bus.inbox(f"wish-{next(_NUMBERS)}")
        async with self.bus.listen(inbox) as answers:
            await self.bus.send(Letter(subject, value, {_ON: str(expected)}, inbox))
            with anyio.move_on_after(PATIENCE):
                return _answered(key, value, await anext(answers))
        raise BusDown(
            f"no hub's node has answered to the wish to write {key}", cure="does the runtime of the first node run?"
        )


def _answered(key: str, value: bytes, letter: Letter) -> Entry:
    try:
        told = json.loads(letter.body)
        if "revision" in told:
            return Entry(key, value, int(told["revision"]))
        why, conflicts = str(told["error"]), bool(told["conflict"])
    except (ValueError, KeyError, TypeError) as error:
        raise BusDown(f"what the hub's node answers to the wish to write {key} is not understood") from error
    raise Conflict(why) if conflicts else BusDown(why, cure="orchestrator status, on the first node")


@dataclass(frozen=True, slots=True)
class Post:
    """A hub's node, which takes such letters. ``accepts`` says whether a manifest is signed by who may."""

    bus: Bus
    board: Board
    accepts: Callable[[Desired], bool]

    async def run(self) -> None:
        """Take them until cancelled."""
        async with self.bus.listen(Subjects.wishes()) as letters:
            async for letter in letters:
                if letter.reply:
                    answer = await self._written(letter)
                    try:
                        await self.bus.send(Letter(letter.reply, json.dumps(answer).encode()))
                    except BusDown:  # whoever waits is told by the silence
                        continue

    async def _written(self, letter: Letter) -> dict[str, Any]:
        try:
            wanted, on = Desired.read(letter.body), int(letter.headers[_ON])
            if not self.accepts(wanted) or (wanted.before is not None and not self.accepts(wanted.before)):
                raise NotUnderstood("it is not signed by the operator of this fleet")
            key = Subjects(name_of(letter.subject.split(".")[2])).manifest
            await self._check_newer(key, wanted)
            entry = await self.board.swap("desired", key, letter.body, on)
        except Conflict as error:
            return {"error": error.message, "conflict": True}
        except (BusDown, NotUnderstood) as error:
            return {"error": error.message, "conflict": False}
        except (ValueError, KeyError):
            return {"error": f"the letter says no {_ON}", "conflict": False}
        return {"revision": entry.revision}

    async def _check_newer(self, key: str, wanted: Desired) -> None:
        """Raises ``Conflict`` where this or a later one has been there."""
        entry = await self.board.read("desired", key)
        newest = Desired.read(entry.value).generation if entry is not None and entry.value else 0
        if wanted.generation <= newest:
            raise Conflict(f"generation {newest} is there already, and this is {wanted.generation}")
