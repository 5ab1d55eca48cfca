"""What a blueprint wants of servers that we start, and what starting each would be on this device."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

from orchestrator.core.blueprint import Blueprint, ServerSpec
from orchestrator.core.digest import digest_of
from orchestrator.core.errors import NotInstalled, OrchestratorError, PlanError
from orchestrator.deploy.free_port import answers, holder_of, named
from orchestrator.deploy.gguf_file import build_of_file, fault_of_file
from orchestrator.deploy.server_records import ServerWant, file_name
from orchestrator.manifest.catalogue.reader import find_model, model_rows
from orchestrator.plan.builds import build_of, is_build, stem_of, stems_of
from orchestrator.plan.needs import Startable, place_of
from orchestrator.plan.observed import Prospect, server_name
from orchestrator.plan.pressure import on_battery
from orchestrator.plan.started_builds import told_build
from orchestrator.plan.wish import Wish
from orchestrator.ports.device import Device
from orchestrator.ports.lifecycle import Launch, LaunchOrder

LaunchOf = Callable[[str, LaunchOrder], Launch]
"""The command for a kind and an order. Raises ``DeployError`` where its program is not installed, with the line that
installs it, and ``PlanError`` for an option that cannot be had."""
_WEIGHTS: Final = ("*.gguf", "*.safetensors", "*.bin", "*.npz", "*.onnx", "*.data")
"""Files that are loaded, in a folder of a model."""
_PART: Final = re.compile(r"-(\d{5})-of-\d{5}$")
"""What llama.cpp adds to the name of a file that is one of several."""
_NO_NAME: Final = frozenset({"model", "ggml-model"})
"""What converters call a file that nobody named."""


_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Looked:
    """A want with one build of its model, and what starting that would be."""

    want: ServerWant
    startable: Startable


def server_names(blueprint: Blueprint) -> list[str]:
    """Names of the servers that a blueprint wants."""
    models = [each.spec for each in blueprint.of_kind("model") if each.spec["server"]]
    return [server_name(blueprint.name, spec["alias"]) for spec in models]


def most_of(blueprint: Blueprint, device: Device | None) -> dict[str, int]:
    """How many processes may run now of servers of which the manifest allows more than one: on battery one, where it says to
    spare that. Half of the slots are used then, so that the same work looks like twice as much."""
    specs = [each.spec for each in blueprint.of_kind("model") if each.spec["server"]]
    most = {server_name(blueprint.name, spec["alias"]): spec["server"].get("max_instances", 1) for spec in specs}
    saves = bool(on_battery(blueprint, device))
    return {name: 1 if saves else number for name, number in most.items() if number > 1}


def wants_of(blueprint: Blueprint, folders: Path, device: Device | None = None) -> list[ServerWant]:
    """The servers that a blueprint wants on a device; each may write to a folder of its own below ``folders``."""
    models = [each.spec for each in blueprint.of_kind("model") if each.spec["server"]]
    return [_want(blueprint, spec, folders, device) for spec in models]


def _want(blueprint: Blueprint, spec: Any, folders: Path, device: Device | None) -> ServerWant:
    server = cast(ServerSpec, spec["server"])
    name = server_name(blueprint.name, spec["alias"])
    order = LaunchOrder(
        model=server["model"],
        alias=spec["alias"],
        host=server["host"],
        port=server["port"] or 0,
        kind=spec["kind"],
        scenario=cast(Any, server["scenario"]),
        options={**server["options"], **told_build(spec)},
        remote_code=server["remote_code"],
        folder=str(folders / file_name(name)),
        most=blueprint.max_concurrent,
    )
    names = [spec["alias"], *(each for ids in spec["ids"].values() for each in ids)]
    stems = frozenset(map(stem_of, names))
    place, wish = place_of(blueprint, spec, device), Wish.of(spec)
    return ServerWant(name, server["kind"], order, server["start_timeout"], stems=stems, place=place, wish=wish)


def as_needed(want: ServerWant, usual: LaunchOf) -> ServerWant:
    """Without what bounds nothing: a change of ``max_concurrent_agents`` beyond the requests that a server works on at once is
    no other server, and its model is not loaded again. By the ``usual`` version of its program: what runs must be known again
    also while the installed one cannot be asked."""
    free = replace(want.order, most=None)
    try:
        same = want.order.most is not None and _told(usual(want.kind, want.order)) == _told(usual(want.kind, free))
    except Exception:  # noqa: BLE001 - of a launcher of another package too; looking at the server tells it
        return want
    return replace(want, order=free) if same else want


def _told(launch: Launch) -> tuple[object, ...]:
    return launch.argv, dict(launch.environment), launch.aside


def look_at(want: ServerWant, launch: LaunchOf, program: str, stamps: Mapping[str, str] = _NONE) -> list[Looked]:
    """What starting it would be, with each build that there is. ``stamps`` hold for these models, by their paths, whatever
    became of their files since; what cannot be read is a prospect that says so. Looks at the disk and may ask a program for its
    options: not for the event loop."""
    place = Path(want.order.model)
    try:
        if want.kind != "llama-cpp" or not want.order.is_local or not place.is_dir():
            return [_looked(want, launch, program, stamps)]
        files = builds_in(place)
    except OSError as error:
        return [_unreadable(want, program, error)]
    if not files:
        why, cure = f"there is no GGUF file in {place}", "put a build of the model there, or mend `path`"
        return [Looked(want, Startable(_cannot(Prospect(want.name, want.kind, program, want.digest), why, cure)))]
    mine, supposed = _of_its_model(files, want, stamps)
    if not mine:
        told = Prospect(want.name, want.kind, program, want.digest)
        return [Looked(want, Startable(_cannot(told, *_strange(place, files, want), refused=True)))]
    strangers = tuple(file.name for file in files if file not in mine)
    wants = [replace(want, order=replace(want.order, model=str(file))) for file in mine]
    found = [_looked(each, launch, program, stamps) for each in wants]
    return [replace(each, startable=replace(each.startable, strangers=strangers, supposed=supposed)) for each in found]


def _of_its_model(files: Sequence[Path], want: ServerWant, stamps: Mapping[str, str]) -> tuple[Sequence[Path], bool]:
    """Those that are builds of its model by their names; where none is known to be, all of one name that may be, and that this
    is supposed; or what it was started with before."""
    named = [file for file in files if _stems(file) & want.stems]
    if named:
        return named, False
    if len(set(map(_stem, files))) == 1:
        if not find_model(want.order.alias):
            return files, False
        if not model_of_file(files[0]) and _may_be(files[0], want.stems):
            return files, True
    return [file for file in files if str(file) in stamps], False


def _may_be(file: Path, wanted: frozenset[str]) -> bool:
    """Whether a file that the catalogue does not know may be of this model: its name holds the model's, or is none at all."""
    stem = _stem(file)
    return stem in _NO_NAME or any(f"-{name}-" in f"-{stem}-" for name in wanted)


def _strange(place: Path, files: Sequence[Path], want: ServerWant) -> tuple[str, str]:
    """Why none of these files is taken for its model, and what to write."""
    alias = want.order.alias
    known = {file: model_of_file(file) for file in files}
    told = ", ".join(f"{file.name} ({known[file]})" if known[file] else file.name for file in files)
    several = len(set(map(_stem, files))) > 1
    what = f"several models, and none is known as {alias}" if several else f"another model than {alias}"
    cure = f"name the file that is meant, like path: {files[0]}"
    if find_model(alias) and not any(known.values()):
        cure += ", or write an alias that the catalogue does not know: that takes the builds of one name"
    return f"{place} holds files of {what}: {told}", cure


def _stem(file: Path) -> str:
    return stem_of(_PART.sub("", file.stem))


def _stems(file: Path) -> frozenset[str]:
    return stems_of(_PART.sub("", file.stem))


@lru_cache(maxsize=1)
def _known() -> Mapping[str, str]:
    rows = model_rows()
    return {
        stem_of(name): row["alias"]
        for row in rows
        for name in (row["alias"], *row.get("aliases", ()), *row["ids"].values())
    }


def model_of_file(file: Path) -> str:
    """The alias of the catalogue whose model a file is of, by its name; empty where it knows none."""
    return next((_known()[stem] for stem in _stems(file) if stem in _known()), "")


def builds_in(folder: Path) -> list[Path]:
    """The GGUF files of a folder that a server can be started with: of a model in several files the first; none of what
    only goes with a model (``mmproj``)."""
    files = [file for file in sorted(folder.glob("*.gguf")) if not file.name.casefold().startswith("mmproj")]
    return [file for file in files if (part := _PART.search(file.stem)) is None or int(part[1]) == 1]


def _looked(want: ServerWant, launch: LaunchOf, program: str, stamps: Mapping[str, str]) -> Looked:
    frozen, order = stamps.get(want.order.model), want.order
    try:
        want = replace(want, stamp=stamp_of(order) if frozen is None else frozen)
        is_there, weights = not order.is_local or Path(order.model).exists(), _weights(want.kind, order)
    except OSError as error:
        return _unreadable(want, program, error)
    told = Prospect(
        want.name,
        want.kind,
        program,
        want.digest,
        model=order.model.rpartition("/")[2] if order.is_local else order.model,
    )
    if not is_there:
        why = f"there is no file {order.model}"
        return Looked(want, Startable(_cannot(told, why, "put the model there, or mend `path`")))
    draft = Path(str(order.options.get("speculative_model") or ""))
    if draft.is_absolute() and not draft.exists():
        why = f"there is no file {draft}"
        return Looked(want, Startable(_cannot(told, why, "put the draft model there, or mend `speculative_model`")))
    build = _build_of(want)
    try:
        made = launch(want.kind, order)
        room = want.place and want.place.room_for(Startable(told, build, weights, made.aside))
        if room:
            want = replace(want, order=replace(order, room=room))
            made = launch(want.kind, want.order)
    except OrchestratorError as error:
        refused = isinstance(error, PlanError)
        told = replace(told, code=error.code if isinstance(error, NotInstalled) else "")
        return Looked(want, Startable(_cannot(told, error.message, error.cure, refused=refused)))
    except Exception as error:  # noqa: BLE001 - a fault of one launcher must not keep the others' servers down
        why = f"{program} cannot be looked at: {type(error).__name__}: {error}"
        return Looked(want, Startable(_cannot(told, why, "")))
    note = want.wish.note if want.wish else ""
    found = {
        "command": made.argv,
        "notes": (*made.notes, *([note] if note else [])),
        "port": order.port,
        "taken": _taken(order),
        "broken": _broken(want),
    }
    prospect = Prospect(**{**asdict(told), **found})
    return Looked(want, Startable(prospect, build, weights, made.aside))


def _build_of(want: ServerWant) -> str:
    """What it is started with, or asked for: as the manifest or its name says, else as the file itself does; empty where nobody
    does."""
    order = want.order
    if want.wish is not None and want.wish.build:
        return want.wish.build
    told = str(order.options.get("quantization") or "")
    named = told if is_build(told) else build_of(_PART.sub("", order.model.removesuffix(".gguf"))).quantization
    return named or (build_of_file(order.model) if want.kind == "llama-cpp" and order.is_local else "")


def _broken(want: ServerWant) -> str:
    """What is the matter with a file of its model, with which no server can start."""
    if want.kind != "llama-cpp" or not want.order.is_local:
        return ""
    faults = ((file.name, fault_of_file(str(file))) for file in sorted(_files(Path(want.order.model))))
    return next((f"{name} {fault}" for name, fault in faults if fault), "")


def _taken(order: LaunchOrder) -> str:
    """Who has the port that is written for it; empty where it is free, or any will do."""
    if not order.port or not answers(order.host, order.port):
        return ""
    return f"port {order.port} is taken{named(holder_of(order.port)) or ' by another process'}"


def _unreadable(want: ServerWant, program: str, error: OSError) -> Looked:
    """The disk does not give what is known of its files, which a process that has them open may outlive."""
    why = f"{error.filename or want.order.model} cannot be read: {error.strerror or error}"
    told = Prospect(want.name, want.kind, program, want.digest)
    return Looked(want, Startable(_cannot(told, why, "mend the disk or the rights on it, or mend `path`")))


def _cannot(told: Prospect, why: str, cure: str, *, refused: bool = False) -> Prospect:
    return Prospect(**{**asdict(told), "why": why, "cure": cure, "refused": refused})


def _weights(kind: str, order: LaunchOrder) -> int | None:
    """Bytes of the files that it loads, those of its draft model too; ``None`` where it fetches the model, or there are none."""
    if not order.is_local:
        return None
    draft = str(order.options.get("speculative_model") or "")
    size = _size(_loaded(kind, Path(order.model)))
    return (size + (_size(_loaded(kind, Path(draft))) if Path(draft).is_absolute() else 0)) or None


def _loaded(kind: str, place: Path) -> list[Path]:
    """Of the files of a model those that are loaded. A folder of vLLM's may hold the same weights in several formats, of which it
    takes one, and Mistral's own file of all of them beside the parts."""
    files = _files(place)
    if kind != "vllm" or not place.is_dir():
        return files
    mine = [file for file in files if file.parent == place and not file.name.startswith("consolidated")]
    there = [[file for file in mine if file.suffix == suffix] for suffix in (".safetensors", ".bin")]
    return next(filter(None, there), files)


def stamp_of(order: LaunchOrder) -> str:
    """Of the files that it loads, by their sizes and times: reading gigabytes would tell no more. Empty where it fetches them,
    or they are not there."""
    if not order.is_local:
        return ""
    stamps = []
    for file in sorted(_files(Path(order.model))):
        with suppress(FileNotFoundError):  # it is just put in place of another one
            found = file.stat()
            stamps.append([str(file), found.st_size, found.st_mtime_ns])
    return digest_of(stamps)[:16] if stamps else ""


def _size(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())


def _files(place: Path) -> list[Path]:
    """The files that a model is loaded from."""
    if place.is_dir():
        return [file for pattern in _WEIGHTS for file in place.rglob(pattern)]
    part = _PART.search(place.stem)
    return list(place.parent.glob(f"{_PART.sub('', place.stem)}-*-of-*{place.suffix}")) if part else [place]


def is_there(path: str) -> bool:
    """Whether a file can be looked at; one that the disk does not give is as good as gone."""
    try:
        return Path(path).exists()
    except OSError:
        return False
