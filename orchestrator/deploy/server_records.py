"""What is written down of servers that we started, so that a later runtime finds them again: a small file for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from orchestrator.core.digest import digest_of
from orchestrator.plan.generations import want_digest
from orchestrator.plan.needs import Place
from orchestrator.plan.wish import Wish
from orchestrator.ports.durable import write_durably
from orchestrator.ports.host import Processes, ProcessIdentity, make_private
from orchestrator.ports.lifecycle import LaunchOrder

_OWN: Final = "process-"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._#-]")


@dataclass(frozen=True, slots=True)
class ServerWant:
    """A server that shall run: its ``name`` (deployment/alias, see ``generations``), the provider ``kind``, and the order for
    its launcher, whose port is 0 where any free one will do. ``memory``: the bytes that it is reckoned to take, 0 where
    unknown, on so many ``cards`` (see ``plan/pools.py``), with ``slots`` of ``context`` tokens, 0 where unknown. ``turns``: it
    takes turns in memory with others. ``stamp``: of the files that it loads as they were when it was wanted, empty where it fetches
    its model. ``stems``: what files of its model are called, without their build; ``place``: what its need is reckoned by; neither
    is kept. ``wish``: which of its models it is for, where it loads them on request: another one needs no other process."""

    name: str
    kind: str
    order: LaunchOrder
    start_timeout: float = 300.0
    memory: int = 0
    stamp: str = ""
    cards: int | None = None
    turns: bool = False
    slots: int = 0
    context: int = 0
    stems: frozenset[str] = field(default=frozenset(), compare=False)
    place: Place | None = field(default=None, compare=False)
    wish: Wish | None = None

    @property
    def digest(self) -> str:
        """Of everything that needs another process when it changes."""
        order = asdict(self.order) | {"options": dict(self.order.options), "folder": ""}
        del order["room"]  # of the device, and of what is asked for here
        if self.order.most is None:  # as it was before there was any: what runs is no other server for it
            del order["most"]
        return want_digest(digest_of([self.kind, order]), self.stamp)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        order = asdict(self.order) | {"options": dict(self.order.options)}
        told = {"name": self.name, "kind": self.kind, "start_timeout": self.start_timeout, "memory": self.memory}
        held = {"cards": self.cards, "slots": self.slots, "context": self.context}
        wish = {"wish": self.wish.as_json()} if self.wish else {}
        held |= {"turns": self.turns}
        return told | held | {"stamp": self.stamp, "order": order} | wish

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServerWant:
        """From the plain form."""
        order = LaunchOrder(**value["order"])
        known = {"memory": value.get("memory", 0), "stamp": value.get("stamp", ""), "cards": value.get("cards")}
        held = {"slots": value.get("slots", 0), "context": value.get("context", 0), "turns": value.get("turns", False)}
        wish = Wish.from_json(value.get("wish"))
        return cls(value["name"], value["kind"], order, value["start_timeout"], **known, **held, wish=wish)


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """One process of a server: what was wanted, where it listens, and by what it is known again. ``process`` is ``None``
    from just before its start until it is known; ``members`` are the processes that it was last seen to have begun."""

    want: ServerWant
    argv: tuple[str, ...]
    url: str
    serves: str
    marker: str
    process: ProcessIdentity | None = None
    members: tuple[ProcessIdentity, ...] = ()


class ServerRecords:
    """The files, in a folder of their own; nothing is made before the first is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, record: ServerRecord) -> None:
        """Put it in place of what was there, at once and durably. Raises ``OSError``."""
        make_private(self.folder)
        process = asdict(record.process) if record.process else None
        value = {
            "want": record.want.as_json(),
            "argv": list(record.argv),
            "url": record.url,
            "serves": record.serves,
            "marker": record.marker,
            "process": process,
            "members": [asdict(each) for each in record.members],
        }
        write_durably(self._file(record.want.name), json.dumps(value).encode())

    def remove(self, name: str) -> None:
        """There is no process for it any more. One that cannot be removed names a mark that nothing has: it does no harm."""
        with suppress(OSError):
            self._file(name).unlink(missing_ok=True)

    def all(self) -> list[ServerRecord]:
        """Every record that can be read; one that cannot is removed, as nobody can do anything with it."""
        found = []
        for file in sorted(self.folder.glob("*.json")):
            try:
                found.append(_record(json.loads(file.read_text(encoding="utf-8"))))
            except (OSError, ValueError, KeyError, TypeError):
                file.unlink(missing_ok=True)
        return found

    def _file(self, name: str) -> Path:
        return self.folder / f"{file_name(name)}.json"


def place_of_process(servers: Path, process: ProcessIdentity) -> Path:
    """Where a process that is no runtime keeps its records: below all others, told by its number and its start."""
    return servers / f"{_OWN}{process.pid}-{process.started:.2f}"


def places_of_processes(servers: Path) -> list[tuple[Path, ProcessIdentity]]:
    """All such places, with whose they are."""
    found = []
    for folder in sorted(servers.glob(f"{_OWN}*-*")):
        pid, _, started = folder.name.removeprefix(_OWN).partition("-")
        if pid.isdecimal() and started.replace(".", "", 1).isdecimal():
            found.append((folder, ProcessIdentity(int(pid), float(started))))
    return found


def end_recorded(folder: Path, processes: Processes) -> int:
    """End at once all servers that are written down in a folder whose owner is no more; gives how many there were."""
    records = ServerRecords(folder)
    found = records.all()
    for record in found:
        processes.kill(record.process or ProcessIdentity(0, 0.0), record.marker, record.members)
        records.remove(record.want.name)
    return len(found)


def _record(value: Mapping[str, Any]) -> ServerRecord:
    process = ProcessIdentity(**value["process"]) if value["process"] else None
    want = ServerWant.from_json(value["want"])
    members = tuple(ProcessIdentity(**each) for each in value.get("members", ()))
    return ServerRecord(want, tuple(value["argv"]), value["url"], value["serves"], value["marker"], process, members)


def known(record: ServerRecord, process: ProcessIdentity) -> ServerRecord:
    """The same record, with its process."""
    return replace(record, process=process)


def file_name(name: str) -> str:
    """A name for files: readable, and different for different names."""
    fit = _UNFIT.sub("-", name.replace("/", ".", 1))
    return fit if fit == name.replace("/", ".", 1) and len(fit) < 120 else f"{fit[:100]}-{digest_of(name)[:8]}"
