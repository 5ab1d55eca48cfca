"""What model servers answer on this device: every usual address is looked at, all at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

import anyio

from orchestrator.core.errors import ModelError, Refused
from orchestrator.plugins.providers.addresses import root_of
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.providers.in_process.place import folder_of
from orchestrator.plugins.providers.makes.make import LOADING
from orchestrator.ports.provider import WRONG_KEY, Identity, Provider, Secret, ServedModel

_CONNECT: Final = 1.0
"""Seconds. On a device a port is open or refused at once, but one that computes may be late to see it."""
_NO_KEY: Final = frozenset((401, 403))
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_TITLE_LENGTH: Final = 60
_ALL: Final = 4.0  # seconds for one address that does answer


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one address showed.

    ``state``: ``served`` (a model server, with ``identity`` and ``models``), ``foreign`` (something else listens there),
    ``absent`` (nobody does). ``trouble`` says why a known server could not tell its models. ``stranger``: what is there
    answered, and as another program does, so that a server which was there before is gone and not only busy.
    """

    url: str
    state: Literal["served", "foreign", "absent"]
    identity: Identity | None = None
    models: tuple[ServedModel, ...] = ()
    trouble: str = ""
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a look around found, in the order of the addresses."""

    sightings: tuple[Sighting, ...]

    @property
    def served(self) -> tuple[Sighting, ...]:
        """Model servers."""
        return tuple(sighting for sighting in self.sightings if sighting.state == "served")

    @property
    def foreign(self) -> tuple[Sighting, ...]:
        """Addresses where something else answers."""
        return tuple(sighting for sighting in self.sightings if sighting.state == "foreign")


async def discover(
    providers: Sequence[Provider], urls: Iterable[str], api_keys: Mapping[str, Secret] | None = None
) -> Discovery:
    """Look at every address once. The first provider that recognises a server has it, so put the narrow ones first.

    ``api_keys`` are by address. Takes well below a second where every port is refused, and about
    one where a machine is away.
    """
    places = tuple(dict.fromkeys(urls))
    keys = api_keys or {}
    seen: dict[str, Sighting] = {}

    async def visit(url: str) -> None:
        with anyio.move_on_after(_ALL):
            seen[url] = await _sighting(providers, url, keys.get(url))
        seen.setdefault(url, Sighting(url, "foreign", trouble="it accepts connections and then says nothing"))

    async with anyio.create_task_group() as tasks:
        for url in places:
            tasks.start_soon(visit, url)
    return Discovery(tuple(seen[url] for url in places))


async def _sighting(providers: Sequence[Provider], url: str, api_key: Secret | None) -> Sighting:
    if not await _listens(url):
        return Sighting(url, "absent")
    faults: list[str] = []
    found, stranger = await _identities(providers, url, api_key, faults)
    for provider in providers:
        identity = found.get(provider.kind)
        if identity is not None:
            return await _with_models(provider, identity, url, api_key)
    trouble = "; ".join(faults) or await _why_foreign(providers, url, api_key)
    return Sighting(url, "foreign", trouble=trouble, stranger=stranger)


async def _why_foreign(providers: Sequence[Provider], url: str, api_key: Secret | None) -> str:
    """The last provider is the widest: where it is refused, nobody can tell who is there without a key."""
    for provider in providers[-1:]:
        try:
            await provider.models(Identity(provider.kind, root_of(url)), api_key)
        except Refused as error:
            return f"it answers {error.status}: {WRONG_KEY}"
        except ModelError:
            break
    return f"it answers like no model server that is known{await _what_is_there(providers, url, api_key)}"


async def _what_is_there(providers: Sequence[Provider], url: str, api_key: Secret | None) -> str:
    """What its first page is, so that a person knows whom the address belongs to."""
    asker = next((provider for provider in providers if isinstance(provider, CompatibleProvider)), None)
    if asker is None:
        return ""
    try:
        look = (await asker.look(root_of(url), api_key, ("/",)))["/"]
    except ModelError:
        return ""  # it answers other paths only: nothing more is known of it
    title = _TITLE.search(look.text)
    kind = next((value for name, value in look.headers.items() if name.casefold() == "content-type"), "")
    what = "a web page" if "html" in kind or look.text.lstrip()[:1] == "<" else kind.partition(";")[0]
    called = f' called "{" ".join(title[1].split())[:_TITLE_LENGTH]}"' if title else ""
    return f" (GET / gives {what}{called})" if what else ""


async def _listens(url: str) -> bool:
    folder = folder_of(url)
    if folder is not None:
        return folder.is_dir()
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with anyio.fail_after(_CONNECT):
            stream = await anyio.connect_tcp(parts.hostname or "", port)
    except (OSError, TimeoutError):
        return False
    await stream.aclose()
    return True


async def _identities(
    providers: Sequence[Provider], url: str, api_key: Secret | None, faults: list[str]
) -> tuple[dict[str, Identity], bool]:
    """Who is there, as each says, and whether it answered as a stranger does; why one could not say it is added to ``faults``.
    Each path is asked once, however many makes judge by it: some servers take few connections at a time."""
    judges = [provider for provider in providers if isinstance(provider, CompatibleProvider)]
    found, stranger = await _judged(judges, url, api_key) if judges else ({}, False)

    async def ask(provider: Provider) -> None:
        try:
            identity = await provider.identify(url, api_key)
        except ModelError as error:
            faults.append(error.message)
            return
        if identity is not None:
            found[provider.kind] = identity

    async with anyio.create_task_group() as tasks:
        for provider in providers:
            if provider not in judges:
                tasks.start_soon(ask, provider)
    return found, stranger and not found


async def _judged(
    judges: Sequence[CompatibleProvider], url: str, api_key: Secret | None
) -> tuple[dict[str, Identity], bool]:
    root = root_of(url)
    paths = dict.fromkeys(path for judge in judges for path in judge.make.looks_at)
    try:
        looks = await judges[0].look(root, api_key, tuple(paths))
    except ModelError:
        return {}, False
    verdicts = {judge.kind: judge.judge(root, looks) for judge in judges}
    found = {kind: identity for kind, identity in verdicts.items() if identity is not None}
    statuses = {look.status for look in looks.values()}
    return found, any(200 <= status < 500 for status in statuses) and statuses.isdisjoint(_NO_KEY)


async def _with_models(provider: Provider, identity: Identity, url: str, api_key: Secret | None) -> Sighting:
    try:
        models = await provider.models(identity, api_key)
    except ModelError as error:
        return Sighting(url, "served", identity, trouble=error.message)
    if LOADING in identity.notes:  # it has become ready in between, and tells of itself what it could not tell before
        with suppress(ModelError):  # what it told first is true too
            identity = await provider.identify(url, api_key) or identity
    return Sighting(url, "served", identity, models)
