"""What waits for people, in the control API: list, show, approve, deny, answer, and wait for the end of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import anyio.to_thread

from orchestrator.core.approval import STATE_OF, Act, Approval, Verdict
from orchestrator.core.errors import NoSuchApproval, UsageError, WaitsThere
from orchestrator.core.names import did_you_mean
from orchestrator.gateway.answering import Asked, Telling, tell_and_answer
from orchestrator.gateway.guard import send_json
from orchestrator.ports.store import RunStore
from orchestrator.serve.forward import Forwarder
from orchestrator.serve.people import PeopleDesk

LONGEST: Final = 100_000
"""Characters of an answer or a reason."""
LONGEST_NAME: Final = 200
USUAL_COUNT: Final = 100
MOST_LOOKED_AT: Final = 1_000
"""Runs that wait elsewhere, among which one is looked for."""


class Peopled(Protocol):
    """What the routes need. ``flush`` has every run that has ended in ``runs``."""

    @property
    def desk(self) -> PeopleDesk: ...
    @property
    def forwarder(self) -> Forwarder: ...
    @property
    def runs(self) -> RunStore: ...
    @property
    def flush(self) -> Callable[[], Awaitable[None]]: ...


class Approvals:
    """The routes."""

    def __init__(self, it: Peopled) -> None:
        self._it = it

    async def look(self, asked: Asked) -> None:
        """One of them, or the newest: those that wait, with ``all`` the others too."""
        if asked.rest:
            found = await self._or_where(asked.rest, self._it.desk.find(asked.rest))
            await send_json(asked.send, 200, {"approval": self._told(found)})
            return
        count, closed = asked.count("count", USUAL_COUNT), asked.query.get("all") in ("1", "true")
        newest = await self._it.desk.newest(asked.query.get("name", ""), max(1, count), closed=closed)
        await send_json(asked.send, 200, {"approvals": [self._told(each) for each in newest]})

    def _told(self, approval: Approval) -> dict[str, Any]:
        """With whether its deployment is applied: else no run of it goes on, whatever is decided."""
        return {**approval.as_json(), "applied": self._it.desk.is_applied(approval.deployment)}

    async def decide(self, asked: Asked) -> None:
        """``ID/approve``, ``ID/deny``, ``ID/answer``."""
        approval, _, act = asked.rest.partition("/")
        decided = await self._or_where(approval, self._it.desk.decide(approval, _verdict(asked, act)))
        await send_json(asked.send, 200, {"approval": self._told(decided)})

    async def _or_where(self, approval: str, doing: Awaitable[Approval]) -> Approval:
        """What comes of it. Where it is not known here and a run of this node waits for it, the fault says on which node it is."""
        try:
            return await doing
        except NoSuchApproval as error:
            waiting = await self._it.forwarder.newest("", MOST_LOOKED_AT, closed=False)
            waits = next((each for each in waiting if each.there and approval in each.away), None)
            if waits is None or not approval:
                raise
            told = f"{error.message} here: {waits.run} {waits.away.removeprefix('it ')}"
            raise NoSuchApproval(told, cure=f"there: orchestrator approvals show {approval}") from error

    async def wait(self, asked: Asked) -> None:
        """The stored form of a run, once it waits for nobody any more. Raises ``WaitsThere`` where that is not known here."""
        run = asked.text("run")

        async def work(_: Telling) -> Any:
            while True:
                changed = self._it.desk.ends.changed
                await self._it.flush()
                found = await anyio.to_thread.run_sync(self._it.runs.find, run)
                if found is None:
                    raise NoSuchApproval(f'no run is called "{run}"', cure="orchestrator logs NAME lists runs")
                if found["status"] != "waiting":
                    return dict(found)
                await self._check_waits_here(found)
                await changed.wait()

        await tell_and_answer(asked, work, cancel_on_leave=True)

    async def _check_waits_here(self, run: Mapping[str, Any]) -> None:
        """Raises ``WaitsThere`` for a run of a fleet whose approval is not this node's, and whose end it does not ask that one for:
        an earlier version of the program began it."""
        waits, node = str(run["approval"]), run.get("node", "")
        if node and waits.startswith("apv_") and not await self._it.forwarder.keeps(run["id"]):
            try:
                await self._it.desk.find(waits)
            except NoSuchApproval as error:
                raise WaitsThere(
                    f"{run['id']} waits for a person on node {node} ({waits}), where it goes on",
                    cure=f"orchestrator approvals show {waits}, on {node}",
                ) from error


def _verdict(asked: Asked, act: str) -> Verdict:
    known: dict[str, Act] = {each: each for each in STATE_OF}
    if act not in known:
        raise UsageError(f'an approval cannot be "{act}"', cure=did_you_mean(act, known) or "approve, deny or answer")
    by, text = asked.words("by", LONGEST_NAME), asked.words("text", LONGEST)
    if act == "answer" and not text.strip():
        raise UsageError("the answer is empty", cure="say what the one who asked shall read")
    return Verdict(known[act], by, text, asked.words("digest", LONGEST_NAME))
