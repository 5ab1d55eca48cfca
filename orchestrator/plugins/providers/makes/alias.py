"""An alias line: a make of gateway told as a row of data, where a whole make of its own would be a file of functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.plugins.providers.makes.make import LookAt, Looks, Make, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel


@dataclass(frozen=True, slots=True)
class Sign:
    """What gives a server away: an object at ``path`` with texts under all of these ``keys`` and arrays under ``lists``, a list
    of models there that are all owned by ``owner``, or the JSON text that it ``says``."""

    path: str
    keys: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    owner: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a gateway tells what is loaded: a list under ``rows`` at ``path``, the model's id under ``name``; only entries
    whose ``state`` is ``ready`` where they have one."""

    path: str
    rows: str
    name: str
    state: str = ""
    ready: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """A gateway. ``base`` is where its protocol hangs; any one of ``signs`` is enough; ``version`` are paths with a key, the first
    that has it counts. ``forwards``: it may send requests to other machines and does not tell which, so all its models count
    as the cloud; ``peer``: the keys that lead to a mark of single models which it forwards. ``can`` as in :func:`declared`.
    """

    kind: str
    summary: str
    default_urls: tuple[str, ...]
    signs: tuple[Sign, ...]
    wants: str
    url_variable: str
    base: str = "/v1"
    version: tuple[tuple[str, str], ...] = ()
    running: Running | None = None
    forwards: bool = False
    peer: tuple[str, ...] = ()
    can: Mapping[str, str] = field(default_factory=dict)


def make_of(alias: Alias) -> Make:
    """The make that a line stands for."""

    def recognise(url: str, looks: Looks) -> Identity | None:
        if not any(_shown(sign, looks) for sign in alias.signs):
            return None
        versions = (text(looks[path].document.get(key)) for path, key in alias.version)
        version = next(filter(None, versions), "")
        notes = ("forwards to wherever it is configured to: its models count as the cloud",) if alias.forwards else ()
        return Identity(alias.kind, url, version, f"{url}{alias.base}", make.capabilities, notes)

    async def served(look: LookAt) -> tuple[ServedModel, ...]:
        return await _served(alias, look)

    paths = (*(sign.path for sign in alias.signs), *(path for path, _ in alias.version))
    make = Make(
        kind=alias.kind,
        summary=alias.summary,
        default_urls=alias.default_urls,
        looks_at=tuple(dict.fromkeys(paths)),
        recognise=recognise,
        served=served,
        capabilities=declared(chat="yes", stream="yes", **alias.can),
        keeps_streams=False,  # whatever is behind it may close them
        url_variable=alias.url_variable,
        wants=alias.wants,
    )
    return make


def _shown(sign: Sign, looks: Looks) -> bool:
    document = looks[sign.path].document
    if sign.says:
        return looks[sign.path].status == 200 and looks[sign.path].value == sign.says
    if sign.owner:
        cards = objects(document.get("data"))
        return bool(cards) and all(card.get("owned_by") == sign.owner for card in cards)
    texts = all(text(document.get(key)) for key in sign.keys)
    return bool(document) and texts and all(isinstance(document.get(key), list) for key in sign.lists)


async def _served(alias: Alias, look: LookAt) -> tuple[ServedModel, ...]:
    listing = f"{alias.base}/models"
    looks = await look((listing, alias.running.path) if alias.running else (listing,))
    looks.need(listing)
    loaded = _loaded(alias.running, looks) if alias.running else None
    cards = [card for card in objects(looks[listing].document.get("data")) if text(card.get("id"))]
    return tuple(_model(alias, card, None if loaded is None else card["id"] in loaded) for card in cards)


def _loaded(running: Running, looks: Looks) -> set[str] | None:
    look = looks[running.path]
    if look.status != 200:
        return None
    entries = objects(look.document.get(running.rows))
    ready = [entry for entry in entries if not running.state or entry.get(running.state) == running.ready]
    return {text(entry.get(running.name)) for entry in ready}


def _model(alias: Alias, card: Mapping[str, Any], loaded: bool | None) -> ServedModel:
    remote = alias.forwards or (bool(alias.peer) and _below(card, alias.peer) is not None)
    return ServedModel(card["id"], loaded, remote=remote)


def _below(card: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        card = card.get(key) if isinstance(card, Mapping) else None
    return card
