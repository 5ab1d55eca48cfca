"""Which model is meant by a name, which servers have it, and which one to ask. Pure: facts in, decisions out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.core.errors import NoServer, UsageError
from orchestrator.core.extras import install_line
from orchestrator.core.hosts import distance_of_url
from orchestrator.core.names import did_you_mean, nearest
from orchestrator.manifest.catalogue.reader import NEAR, find_model, ids_of, model_rows
from orchestrator.plan.builds import build_of, means, names_build, same_build, same_model
from orchestrator.plan.lines import is_pulled
from orchestrator.plan.matching import COMPATIBLE
from orchestrator.plan.observed import ObservedServer
from orchestrator.plan.started_words import LISTENS
from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.plugins.providers.in_process.library import LIBRARIES
from orchestrator.ports.provider import ServedModel

GGUF: Final[Mapping[str, str]] = {"lm-studio": "llama-cpp"}
"""Providers that take what another one does where the catalogue names nothing of their own: both serve GGUF files."""
INSTALL: Final = (
    "install one, like Ollama (https://ollama.com/download), and start it; `orchestrator doctor` says where it looks"
)
PULLS: Final = "; a server's own id needs --provider or --endpoint to pull it"
_WORDS: Final = {"load": "loads models on request", "pull": "pulls models", "remove": "removes models"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A server that was chosen, the id that it knows the model by, and the others that would have done."""

    server: ObservedServer
    model: str
    served: ServedModel | None = None
    others: tuple[ObservedServer, ...] = ()


def called(server: ObservedServer) -> str:
    """``ollama at 127.0.0.1:11434``."""
    return f"{server.provider} at {urlsplit(server.url).netloc}"


def wanted_ids(row: Mapping[str, Any], provider: str) -> list[str]:
    """What this provider may call the catalogue's model, what to ask it for first."""
    ids = ids_of(row)
    if provider == COMPATIBLE:
        return [name for names in ids.values() for name in names]
    return ids.get(provider) or ids.get(GGUF.get(provider, ""), [])


def aliases_of(provider: str, model: str) -> list[str]:
    """The aliases of the catalogue that a served model stands for."""
    return [row["alias"] for row in model_rows() if _serves(row, provider, model)]


def holders(servers: Iterable[ObservedServer], name: str) -> list[Choice]:
    """Every server that lists what a name means: an alias of the catalogue, of which any build will do, or an id of its own."""
    row = find_model(name)
    found = [
        Choice(server, model.id, model)
        for server in servers
        for model in server.models
        if means(server.provider, name, model, any_build=False) or _is_any_build(row, name, server.provider, model)
    ]
    return sorted(found, key=lambda choice: (not _is_exact(choice, name), _rank(row, choice.server)))


def holder(
    servers: Sequence[ObservedServer], name: str, act: str, *, loaded: bool = False, own: bool = False
) -> Choice:
    """The server that has the model and can do it; ``loaded``: rather one that has it in memory; ``own``: a name that the
    catalogue does not know may be one of a server that does not list all that it has.

    Raises ``NoServer``, ``UsageError`` for a name that nobody knows.
    """
    _check_any(servers)
    found = holders(servers, name) or _hidden(servers, name, own=own and not loaded)
    if not found:
        raise _nobody_has(servers, name)
    near = [choice for choice in found if choice.served is None or not choice.served.remote]
    if not near:
        message = f"{called(found[0].server)} only forwards {name} to another machine"
        raise NoServer(message, cure="there is nothing to load or remove here")
    able = [choice for choice in near if choice.server.capabilities.get(act) == "yes"]
    if not able:
        raise NoServer(f"{called(near[0].server)} is no server that {_WORDS[act]}", cure=_makes_that(act))
    chosen = _first(sorted(able, key=lambda choice: loaded and not (choice.served and choice.served.loaded)))
    if act == "remove":
        _check_one(chosen, able, name)
    return chosen


def source(servers: Sequence[ObservedServer], name: str, *, own: bool) -> Choice:
    """The server that is to pull a model, and the id to ask it for; ``own``: a name that the catalogue does not know is an
    id of the server's. Raises ``NoServer``, ``UsageError`` for a name that nobody knows."""
    row = find_model(name)
    if row is None and not own:
        raise unknown(servers, name, PULLS)
    _check_any(servers)
    able = [server for server in servers if server.capabilities.get("pull") == "yes"]
    if not able:
        who = ", ".join(called(server) for server in servers)
        raise NoServer(f"no server here pulls models (found: {who})", cure=_makes_that("pull"))
    ids = {server.url: wanted_ids(row, server.provider) if row else [name] for server in able}
    found = [Choice(server, ids[server.url][0]) for server in able if ids[server.url]]
    if not found:
        raise NoServer(f"the catalogue has no id of {name} for {called(able[0])}", cure=_by_its_name(able[0]))
    return _first(sorted(found, key=lambda choice: _rank(row, choice.server)))


def unknown(servers: Iterable[ObservedServer], name: str, more: str = "") -> UsageError:
    """The error for a name that nobody knows, with near names of the catalogue and of what the servers list; ``more`` is what
    helps where there is none."""
    listed = [model.id for server in servers for model in server.models if model.id != name]
    spelled = {spelling: row["alias"] for row in model_rows() for spelling in (row["alias"], *row.get("aliases", ()))}
    near = list(dict.fromkeys(spelled.get(found, found) for found in nearest(name, [*spelled, *listed], alike=NEAR)))
    cure = did_you_mean(name, near) or (f"did you mean {' or '.join(near)}?" if near else "")
    if not cure:
        cure = f"`orchestrator models list` shows what servers have{more}"
    elif set(":/") & set(name):  # it looks like an id, and not like an alias that was mistyped
        cure += more
    return UsageError(f'no model is called "{name}"', cure=cure)


def size_of(name: str, provider: str, model: str) -> int | None:
    """Bytes that a pull of this id brings, as the catalogue says; ``None`` where it does not, as of a build that it has no size
    of: that of another one would be told as the whole."""
    row = find_model(name)
    if row is None:
        return None
    build = build_of(model).quantization or row.get("served_as", {}).get(provider, "")
    return next((size for name, size in row["sizes"].items() if same_build(name, build)), None)


def cache_of(row: Mapping[str, Any], tokens: int) -> int | None:
    """Bytes of the key/value cache for so many tokens in 16 bits; ``None`` where the catalogue does not tell its shape."""
    if row.get("kv_heads") is None or row.get("head_dim") is None:
        return None
    return int(2 * row["layers"] * row["kv_heads"] * row["head_dim"] * 2 * tokens)


def applied_places(deployments: Iterable[Mapping[str, Any]]) -> list[str]:
    """The addresses on this device that applied deployments use, that their manifests name, or where servers were started for
    them: they need not be among the usual ones."""
    applied = list(deployments)
    in_process = {library.kind for library in LIBRARIES}  # their models have a folder, and no server
    netlocs = [netloc for kind, netloc, _ in applied_names(applied) if kind not in in_process]
    named = [str(model["at"]) for each in applied for model in each["models"] if model.get("at")]
    named += [server["url"] for each in applied for server in each.get("servers", ()) if server["state"] in LISTENS]
    netlocs += [plain_netloc(urlsplit(url).netloc) for url in named]
    return [url for netloc in dict.fromkeys(netlocs) if distance_of_url(url := f"http://{netloc}") == "node"]


def plain_netloc(netloc: str) -> str:
    """Host and port with this device's own name as its address, so that one server is one place."""
    return netloc.replace("localhost:", "127.0.0.1:")


def applied_names(deployments: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[str]]:
    """What `status` says is served: (provider, host and port, model) -> ``deployment: alias``."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for deployment in deployments:
        for model in deployment["models"]:
            for endpoint in model["endpoints"]:
                provider, _, rest = str(endpoint).partition("@")
                netloc, _, served = rest.partition("/")
                place = (provider, plain_netloc(netloc), served.partition("#")[0])
                found.setdefault(place, []).append(f"{deployment['name']}: {model['alias']}")
    return found


def users_of(choice: Choice, deployments: Iterable[Mapping[str, Any]]) -> str:
    """Who uses the model, by what `status` says, in words; empty where nobody does."""
    place = plain_netloc(urlsplit(choice.server.api_base).netloc)
    users = applied_names(deployments).get((choice.server.provider, place, choice.model), [])
    return f"used by {', '.join(dict.fromkeys(users))}" if users else ""


def _hidden(servers: Iterable[ObservedServer], name: str, *, own: bool) -> list[Choice]:
    """Servers that list only what is loaded: they may have the model, and say so when they are asked."""
    row = find_model(name)
    secretive = {make.kind for make in MAKES if make.lists_loaded_only}
    found = [server for server in servers if server.provider in secretive]
    if row is None:
        return [Choice(server, name) for server in found] if own else []
    return [Choice(server, ids[0]) for server in found if (ids := wanted_ids(row, server.provider))]


def _is_any_build(row: Mapping[str, Any] | None, name: str, provider: str, model: ServedModel) -> bool:
    """Whether a name of the catalogue's that names no build there means it."""
    return row is not None and not names_build(provider, name) and _serves(row, provider, model.id)


def _serves(row: Mapping[str, Any], provider: str, model: str) -> bool:
    names = wanted_ids(row, provider) or [name for names in ids_of(row).values() for name in names]
    # A make for which the catalogue has no id has its models under the names that they have elsewhere, as binding takes it.
    return any(same_model(provider, wanted, model) for wanted in (*names, row["alias"]))


def _is_exact(choice: Choice, name: str) -> bool:
    """Whether the name is its id, letter by letter."""
    ids = (name.casefold(), f"{name.casefold()}:latest") if choice.server.provider == "ollama" else (name.casefold(),)
    return choice.model.casefold() in ids


def _check_one(chosen: Choice, able: Iterable[Choice], name: str) -> None:
    """What is deleted is what was named: raises ``UsageError`` where that may be one of several builds, or on several servers."""
    if chosen.others:
        servers = [chosen.server, *chosen.others]
        raise UsageError(
            f"{len(servers)} servers have {name}: {', '.join(map(called, servers))}",
            cure=f"name the one that is to delete it: {', or '.join(f'--endpoint {each.url}' for each in servers)}",
        )
    there = [each.model for each in able if each.server.url == chosen.server.url]
    if len(there) > 1 and not _is_exact(chosen, name):
        raise UsageError(
            f"{called(chosen.server)} has {len(there)} builds of {name}: {', '.join(there)}",
            cure="name the one that is meant",
        )


def _rank(row: Mapping[str, Any] | None, server: ObservedServer) -> tuple[bool, bool, int, str]:
    """On this device first, then in the order in which the catalogue names providers."""
    order = list(row["ids"]) if row else []
    place = order.index(server.provider) if server.provider in order else len(order)
    return (server.zone != "node", server.provider == COMPATIBLE, place, server.url)


def _first(choices: Sequence[Choice]) -> Choice:
    first, *rest = choices
    others = tuple(
        {choice.server.url: choice.server for choice in rest if choice.server.url != first.server.url}.values()
    )
    return Choice(first.server, first.model, first.served, others)


def _check_any(servers: Sequence[ObservedServer]) -> None:
    if not servers:
        raise NoServer("no model server answers on this device", cure=INSTALL)


def _nobody_has(servers: Sequence[ObservedServer], name: str) -> NoServer | UsageError:
    row = find_model(name)
    other = _other_builds(servers, name)
    if other is not None:
        return other
    if row is None:
        return unknown(servers, name)
    who = ", ".join(called(server) for server in servers)
    able = [server for server in servers if server.capabilities.get("pull") == "yes"]
    cure = _by_its_name(able[0]) if able else _makes_that("pull")
    if any(wanted_ids(row, server.provider) for server in able):
        cure = f"orchestrator models pull {row['alias']}"
    return NoServer(f"no server has {row['alias']} ({who})", cure=cure)


def _other_builds(servers: Sequence[ObservedServer], name: str) -> NoServer | None:
    """The error for a build that is not there, where others of its model are."""
    row = find_model(name)
    there = {
        called(server): [
            model.id
            for model in server.models
            if means(server.provider, name, model) or (row and _serves(row, server.provider, model.id))
        ]
        for server in servers
    }
    there = {who: nearest(name, models, len(models), alike=0.0) for who, models in there.items() if models}
    if not there:
        return None
    has = "; ".join(f"{who} has {', '.join(models)}" for who, models in there.items())
    first = next(iter(there.values()))[0]
    able = [server for server in servers if server.capabilities.get("pull") == "yes"]
    pulls = next((server for server in able if is_pulled(server.provider, name)), None)
    pull = f"; or orchestrator models pull {name} --endpoint {pulls.url}" if pulls else ""
    return NoServer(f"no server has the build {name}: {has}", cure=f"name one that is there, like {first}{pull}")


def _by_its_name(server: ObservedServer) -> str:
    return f"name what it calls the model: orchestrator models pull ID --provider {server.provider}"


def _makes_that(act: str) -> str:
    which = {
        "load": "Ollama, LM Studio, Lemonade, Foundry Local, and llama-server with --models-dir do",
        "pull": "Ollama, LM Studio, Lemonade, and llama-server with --models-dir do; Foundry Local 2 does with "
        f"{install_line('foundry')}, else: foundry model download MODEL",
        "remove": "Ollama, Lemonade, llama-server with --models-dir, and Foundry Local 2 with the extra foundry do; else delete "
        "its files where the server keeps them",
    }
    return which[act]
