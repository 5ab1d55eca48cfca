"""What must run, and since when: the revisions that are desired, recorded before anything is done for them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import anyio.to_thread

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, NoSuchDeployment
from orchestrator.core.unknown import no_deployment
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.origin import check_origin
from orchestrator.ports.store import Revision, RevisionStore

Recompile = Callable[[Revision], Blueprint]
"""Makes the blueprint of a revision anew from its sources, where its stored form is of another format."""


@dataclass(frozen=True, slots=True)
class Desired:
    """A desired revision, ready to be planned."""

    revision: Revision
    blueprint: Blueprint


class DesiredTable:
    """Desired revisions, in memory and in the store; a write is durable before it counts."""

    def __init__(self, store: RevisionStore, recompile: Recompile, now: Callable[[], float]) -> None:
        self._store = store
        self._recompile = recompile
        self._now = now
        self._desired: dict[str, Desired] = {}
        self.unreadable: dict[str, Exception] = {}
        """Deployments whose stored form cannot be read, and why."""
        self._served: dict[str, Revision] = {}
        self._is_read = False

    async def restore(self) -> None:
        """Read what the store holds."""
        self._served = {each.deployment: each for each in await anyio.to_thread.run_sync(self._store.served)}
        for revision in await anyio.to_thread.run_sync(self._store.desired):
            try:
                self._desired[revision.deployment] = Desired(revision, self._blueprint(revision))
            except Exception as error:  # noqa: BLE001 - one deployment that cannot be read must not keep the others down
                self.unreadable[revision.deployment] = error
        self._is_read = True

    def get(self, name: str) -> Desired | None:
        """What is desired under this name."""
        return self._desired.get(name)

    def has(self, name: str) -> bool:
        """Whether something is desired under this name, readable or not."""
        return name in self._desired or name in self.unreadable

    def may_have(self, name: str) -> bool:
        """The same; and of every name while the store has not been read yet."""
        return not self._is_read or self.has(name)

    def all(self) -> list[Desired]:
        """Everything that is desired; what has served already comes first, so that nothing new takes what it needs, then who was
        applied first."""
        return sorted(
            self._desired.values(), key=lambda each: (not self._has_served(each.revision), each.revision.created)
        )

    def _has_served(self, revision: Revision) -> bool:
        served = self._served.get(revision.deployment)
        return served is not None and served.number == revision.number

    async def serves(self, revision: Revision) -> None:
        """It serves now: should a later one not come to serve, the next start falls back to it."""
        if not self._has_served(revision):
            await anyio.to_thread.run_sync(self._store.mark_served, revision.deployment, revision.number)
            self._served[revision.deployment] = revision

    def fallback(self, name: str) -> Desired | None:
        """The revision that served last, where another one is desired since."""
        revision = self._served.get(name)
        if revision is None or name not in self._desired or self._has_served(self._desired[name].revision):
            return None
        return Desired(revision, self._blueprint(revision))

    def check(self, wanted: Wanted) -> None:
        """Raise ``DeployError`` where it would take the place of what another manifest is applied as."""
        before = self._desired.get(wanted.blueprint.name)
        if before is not None and wanted.cause == "apply":
            check_origin(wanted.blueprint.name, before.revision.origin, wanted.origin)

    async def record(self, wanted: Wanted, other_code: bool = False) -> Desired:
        """Make it the desired one, with the next number; the same content keeps its number. ``other_code``: files of its
        ``python`` tools have changed since the last apply, so that the same manifest is another revision."""
        name, digest = wanted.blueprint.name, wanted.blueprint.digest
        self.check(wanted)
        before, cause = self._desired.get(name), wanted.cause
        if before is not None and before.revision.digest == digest:
            if not other_code:
                return before
            cause = f"{cause}, other tool code"
        last = await anyio.to_thread.run_sync(self._store.last_number, name)
        revision = Revision(
            deployment=name,
            number=last + 1,
            digest=digest,
            blueprint=wanted.blueprint.as_json(),
            sources=dict(wanted.sources),
            created=self._now(),
            origin=wanted.origin,
            cause=cause,
        )
        await anyio.to_thread.run_sync(self._store.add, revision)
        self.unreadable.pop(name, None)
        self._desired[name] = Desired(revision, wanted.blueprint)
        return self._desired[name]

    async def remove(self, name: str) -> None:
        """Nothing is desired under this name any more. Raises ``NoSuchDeployment``."""
        if not self.has(name):
            raise self._unknown(name)
        await anyio.to_thread.run_sync(self._store.remove, name)
        self._desired.pop(name, None)
        self._served.pop(name, None)
        self.unreadable.pop(name, None)

    async def history(self, name: str) -> list[Revision]:
        """The kept revisions of a deployment that can be read, newest first."""
        return list(await anyio.to_thread.run_sync(self._store.history, name))

    async def earlier(self, name: str, number: int | None, serving: Callable[[str], int | None]) -> Wanted:
        """What ``number`` was, to be wanted again; without it, the revision that serves where another one is desired, else the
        one that served before. ``serving`` gives the number that serves now. Raises ``DeployError`` where there is none."""
        history = await self.history(name)
        if not history:
            raise self._unknown(name)
        live = serving(name)
        number = self._instead(name, live) if number is None else number
        current = self._desired[name].revision if name in self._desired else history[0]
        sound = await anyio.to_thread.run_sync(self._store.ever_served, name)
        found = next((each for each in history if _is_meant(each, current, number, sound)), None)
        if found is None:
            what = "revision to go back to that has served" if number is None else f"revision {number}"
            there = _counted([each.number for each in history])
            raise DeployError(f"{name} has no {what}; it has {there}", cure=f"see `orchestrator history {name}`")
        kept = live if live == found.number else None
        return Wanted(self._blueprint(found), found.sources, found.origin, f"rollback to {found.number}", kept=kept)

    def _instead(self, name: str, live: int | None) -> int | None:
        """What serves, or did last, in the place of the desired revision."""
        served, desired = self._served.get(name), self._desired.get(name)
        number = served.number if live is None and served is not None else live
        return None if desired is not None and desired.revision.number == number else number

    def _blueprint(self, revision: Revision) -> Blueprint:
        try:
            return Blueprint.from_json(revision.blueprint)
        except (ValueError, KeyError, TypeError):
            return self._recompile(revision)

    def _unknown(self, name: str) -> NoSuchDeployment:
        return no_deployment(name, [*self._desired, *self.unreadable])


def _counted(numbers: list[int]) -> str:
    """``1 to 7``; each by itself where some are gone."""
    first, last = min(numbers), max(numbers)
    whole = len(numbers) == last - first + 1 > 1
    return f"{first} to {last}" if whole else ", ".join(map(str, sorted(numbers)))


def _is_meant(revision: Revision, current: Revision, number: int | None, sound: Collection[int]) -> bool:
    if number is not None:
        return revision.number == number
    return revision.number < current.number and revision.digest != current.digest and revision.number in sound
