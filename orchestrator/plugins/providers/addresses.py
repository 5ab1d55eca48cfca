"""Where model servers are looked for, and one form for the many ways in which people write an address. Pure."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from orchestrator.core.errors import UsageError
from orchestrator.core.hosts import fault_of_url
from orchestrator.plugins.providers.in_process.library import LIBRARIES
from orchestrator.plugins.providers.in_process.place import address_of, folder_of
from orchestrator.plugins.providers.makes import (
    foundry_local,
    generic,
    lemonade,
    llama_cpp,
    lm_studio,
    mlx,
    ollama,
    openvino,
    vllm,
)
from orchestrator.plugins.providers.makes.gateways import GATEWAYS
from orchestrator.plugins.providers.makes.make import Make

MAKES: Final[tuple[Make, ...]] = (
    ollama.MAKE,
    llama_cpp.MAKE,
    vllm.MAKE,
    lm_studio.MAKE,
    foundry_local.MAKE,
    openvino.MAKE,
    lemonade.MAKE,
    *GATEWAYS.values(),
    mlx.MAKE,  # late: it names itself nowhere
    generic.MAKE,  # last: it recognises the others too
)

DEFAULT_URLS: Final[Mapping[str, tuple[str, ...]]] = {make.kind: make.default_urls for make in MAKES}
"""Kind -> the addresses that such a server is usually found at. They say where to look, never who is there."""

ASSUMED_SLOTS: Final[Mapping[str, int]] = {make.kind: make.assumed_slots for make in MAKES}
"""Kind -> how many calls to send at once where the server does not tell."""

_API_ENDINGS: Final = ("/v1", "/v3", "/engines/v1", "/api/v1")


def default_urls(environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """``DEFAULT_URLS`` with what the environment says instead (``OLLAMA_HOST`` and the like). Raises ``UsageError`` that names
    a variable which does not fit."""
    found = dict(DEFAULT_URLS)
    for make in MAKES:
        told = environment.get(make.url_variable, "").strip() if make.url_variable else ""
        if told:
            found[make.kind] = (_told_by(make, told),)
    return found


def _told_by(make: Make, told: str) -> str:
    try:
        return root_of(told, _port_of(make))
    except ValueError as error:
        cure = f"write an address like {make.default_urls[0]}, or unset it"
        raise UsageError(
            f"{make.url_variable} is {told!r}, which is no address of a model server", cure=cure
        ) from error


def usual_places(environment: Mapping[str, str], servers: Sequence[str] | None = None) -> tuple[str, ...]:
    """Every address that is looked at, each once; folders of models that run in a process of ours come first, where the
    environment names them. ``servers`` stand in the place of the usual addresses, and not of such a folder."""
    urls = servers if servers is not None else [url for urls in default_urls(environment).values() for url in urls]
    named = [(library, environment.get(library.variable, "").strip()) for library in LIBRARIES]
    folders = [address_of(library, folder) for library, folder in named if folder]
    return tuple(dict.fromkeys([*folders, *urls]))


def root_of(url: str, port: int | None = None) -> str:
    """The root of a server, from any usual form: ``127.0.0.1:11434``, ``:8080``, ``http://host/v1/``, ``0.0.0.0``.

    ``port`` is taken where a bare host names none. An address to listen at (``0.0.0.0``) becomes one to call.
    """
    text = url.strip().rstrip("/")
    if folder_of(text) is not None:
        return text
    bare = "://" not in text
    parts = urlsplit(f"http://{text}" if bare else text)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(parts.hostname or "", _host(parts.hostname))  # noqa: S104 - recognised, not bound
    named = parts.port or (port if bare else None)
    path = parts.path
    for ending in sorted(_API_ENDINGS, key=len, reverse=True):
        path = path.removesuffix(ending)
    return f"{parts.scheme}://{host}{f':{named}' if named else ''}{path.rstrip('/')}"


def server_at(told: str) -> str:
    """``root_of`` an address, or the folder of models that run in a process of ours, as a person typed it. Raises ``UsageError``
    for what is neither."""
    given = told if "://" in told else f"http://{told}"
    try:
        if folder_of(told) is not None:
            return root_of(told)
        root = root_of(told)
        fault = fault_of_url(given if urlsplit(given).hostname else root)  # of ":8080" the host is this device
    except ValueError:
        root, fault = given, fault_of_url(given)
    if not root.startswith(("http://", "https://")):
        fault = "it begins neither with http:// nor with https://"
    elif any(character.isspace() for character in told.strip()):
        fault = "it holds a space"
    if fault:
        cure = "write an address like http://127.0.0.1:8080"
        raise UsageError(f"{told!r} is no address of a model server: {fault}", cure=cure)
    return root


@functools.lru_cache(maxsize=512)
def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(name: str | None) -> str:
    name = name or ""
    return f"[{name}]" if ":" in name else name


def _port_of(make: Make) -> int | None:
    return urlsplit(make.default_urls[0]).port
