"""Probing the servers that answer: which models are asked, what is kept of it, and what binding learns from that."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from orchestrator.app.settings import Settings
from orchestrator.core.errors import StateUnusable
from orchestrator.core.message import Message
from orchestrator.plan.capabilities import FORMAT, Record, merged
from orchestrator.ports.durable import write_durably
from orchestrator.ports.lifecycle import Loader, LoadOptions
from orchestrator.ports.probe import Probed
from orchestrator.ports.provider import Capability, ChatCall, Identity, Provider, Secret, ServedModel, Support, Target

FILE: Final = "capabilities.json"
"""In the state folder."""
LOAD_SECONDS: Final = 600.0
"""The most that a model which is probed may take to load."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be probed. Without ``places`` everything that answers; without ``model`` one chat model of each server,
    and only one that is loaded unless ``load``. ``deep``: with long prompts."""

    places: tuple[str, ...] = ()
    model: str = ""
    load: bool = False
    deep: bool = False
    keys: Mapping[str, Secret] = field(default_factory=dict)


def wish_of(endpoints: Sequence[str], reference: str, settings: Settings, how: Wish) -> Wish:
    """A wish for these addresses, else for all the usual places; ``reference`` is to the key of the servers. Raises
    ``DeployError`` where it cannot be had, and ``UsageError`` for what is no address."""
    from orchestrator.app.redact import Redactor
    from orchestrator.plugins.providers.addresses import server_at, usual_places

    usual = usual_places(os.environ, settings.servers)
    places = tuple(dict.fromkeys(map(server_at, endpoints) if endpoints else usual))
    secret = Redactor().reveal(reference, Path.cwd()) if reference else None
    return replace(how, places=places, keys=dict.fromkeys(places, secret) if secret else {})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: what was probed, and why each other place was not."""

    probed: tuple[Probed, ...]
    left_out: Mapping[str, str]


async def probe_opened(wish: Wish) -> Outcome:
    """The same with providers that are opened for it."""
    from orchestrator.app.wiring import Plugins

    plugins = Plugins()
    try:
        return await probe(wish, plugins.makes())
    finally:
        await plugins.aclose()


async def probe(wish: Wish, providers: Sequence[Provider]) -> Outcome:
    """Look at every place, and probe the servers that are there, one after the other: they share the machine."""
    from orchestrator.plugins.providers.discovery import discover

    by_kind = {provider.kind: provider for provider in providers}
    probed: list[Probed] = []
    left_out: dict[str, str] = {}
    for seen in (await discover(providers, wish.places, wish.keys)).sightings:
        if seen.state == "absent":
            left_out[seen.url] = "nobody listens there"
        elif seen.identity is None or seen.trouble:
            left_out[seen.url] = seen.trouble or "it is no model server that is known"
        else:
            model, why = choose(seen.models, wish)
            if model is None:
                left_out[seen.url] = why
            else:
                provider = by_kind[seen.identity.provider]
                probed.append(await _one(provider, seen.identity, model, wish))
    return Outcome(tuple(probed), left_out)


async def _one(provider: Provider, identity: Identity, model: ServedModel, wish: Wish) -> Probed:
    from orchestrator.plugins.providers.probe.interview import interview

    target = Target(identity.provider, identity.api_base, model.id, wish.keys.get(identity.url))
    if model.loaded is False:
        model = await _brought(provider, identity, model, target)
    talk = interview(provider, target, model, wish.deep)
    return Probed(identity, model, await talk.findings() if talk is not None else {})


async def _brought(provider: Provider, identity: Identity, model: ServedModel, target: Target) -> ServedModel:
    """The model as its server tells it once it is loaded, by the server's own call for that or by asking for a token: its window,
    its slots, its build. As it was, where that fails: then the questions find out why."""
    from orchestrator.core.errors import ModelError

    try:
        if isinstance(provider, Loader):
            await provider.load(target, LoadOptions(), LOAD_SECONDS)
        else:
            await provider.chat(ChatCall(target, (Message("user", "hello"),), max_tokens=1, timeout=LOAD_SECONDS))
        served = await provider.models(identity, target.api_key)
    except ModelError:
        return model
    return next((each for each in served if each.id == model.id), model)


def choose(models: Sequence[ServedModel], wish: Wish) -> tuple[ServedModel | None, str]:
    """The model to probe, or why there is none. A model of another machine is probed only where it is named: that costs
    money, and tells somebody."""
    if wish.model:
        named = next((model for model in models if model.id == wish.model), None)
        return named, "" if named else f"it has no model {wish.model}"
    chat = [model for model in models if model.kind != "embedding" and not model.remote]
    if not chat:
        return None, "it has no chat model on this device"
    loaded = [model for model in chat if model.loaded or (model.loaded is None and len(chat) == 1)]
    if loaded or wish.load:
        return (loaded or chat)[0], ""
    return None, "none of its models is known to be loaded; --load loads one, --model names one"


class Known:
    """What was probed before, as the state folder has it; read anew when the file changes."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._stamp: tuple[int, int] | None = None
        self._records: list[Record] = []

    def records(self) -> list[Record]:
        """All of them. A file that cannot be read counts as empty: a probe writes it anew."""
        try:
            found = self._path.stat()
        except OSError:
            return []
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._records, self._stamp = _read(self._path), stamp
        return self._records

    def add(self, probed: Sequence[Probed]) -> list[Record]:
        """Keep what was found, also what is known of others. Gives the new records. Raises ``StateUnusable``."""
        fresh = [Record.of(each) for each in probed]
        every = merged(self.records(), fresh)
        text = json.dumps({"format": FORMAT, "records": [record.as_json() for record in every]}, indent=1)
        if not fresh:
            return []
        try:
            write_durably(self._path, text.encode())
        except OSError as error:
            raise StateUnusable(
                f"{self._path} cannot be written: {error.strerror}", cure="see `orchestrator doctor`"
            ) from error
        new = {(record.url, record.model) for record in fresh}
        return [record for record in every if (record.url, record.model) in new]

    def of(self, identity: Identity, models: Sequence[ServedModel]) -> dict[str, dict[str, Any]]:
        """By model id: the capabilities that were shown, and what was measured (``context`` in tokens, ``slots``)."""
        from orchestrator.plugins.providers.addresses import ASSUMED_SLOTS

        found: dict[str, dict[str, Any]] = {}
        for record in self.records():
            model = next((model for model in models if record.is_of(identity, model)), None)
            if model is not None:
                found[model.id] = _learned(record, ASSUMED_SLOTS.get(record.provider, 1))
        return found


def _read(path: Path) -> list[Record]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return [Record.from_json(told) for told in value["records"]] if value["format"] == FORMAT else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _learned(record: Record, assumed: int) -> dict[str, Any]:
    """What could not be shown leaves what the make declares. Four at once are "four or more"."""
    from orchestrator.plugins.providers.probe.interview import MOST_AT_ONCE

    shown = {
        name.value: found.support.value
        for name, found in record.findings.items()
        if found.support is not Support.UNKNOWN
    }
    values = {name: found.value for name, found in record.findings.items()}
    slots = values.get(Capability.SLOTS_TOLD)
    if slots == MOST_AT_ONCE:
        slots = max(slots, assumed)
    return {"capabilities": shown, "context": values.get(Capability.CONTEXT_TOLD), "slots": slots}
