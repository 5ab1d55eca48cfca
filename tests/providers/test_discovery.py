"""A server is recognised by what it answers, on any port, beside any other; whatever else listens is told apart."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import cast

import anyio
import pytest

from orchestrator.core.errors import UsageError
from orchestrator.plugins.providers.addresses import DEFAULT_URLS, MAKES, default_urls, root_of
from orchestrator.plugins.providers.compatible import AT_ONCE, LOOK_TIMEOUT, CompatibleProvider
from orchestrator.plugins.providers.discovery import Discovery, discover
from orchestrator.plugins.providers.makes.make import LOADING, older
from orchestrator.ports.provider import Capability, Identity, Provider, Secret, ServedModel, Support
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.faces import FACES
from orchestrator.testing.http_protocol import Connection, HttpRequest
from orchestrator.testing.http_shell import HttpShell, serving, serving_bytes
from tests.providers.opened import open_all

pytestmark = pytest.mark.anyio

KIND_OF = {
    "openai": "openai-compatible",
    "ollama": "ollama",
    "llama-cpp": "llama-cpp",
    "llama-cpp-router": "llama-cpp",
    "vllm": "vllm",
    "vllm-without-calls": "vllm",
    "lm-studio": "lm-studio",
    "lm-studio-v0": "lm-studio",
    "foundry-local": "foundry-local",
    "foundry-local-v1": "foundry-local",
    "ollama-old": "ollama",
    "mlx": "mlx",
    "mlx-empty": "mlx",
    "openvino": "openvino",
    "openvino-old": "openvino",
    "lemonade": "lemonade",
    "lemonade-old": "lemonade",
    "llama-swap": "llama-swap",
    "localai": "localai",
    "litellm": "litellm",
    "litellm-old": "litellm",
    "docker-model-runner": "docker-model-runner",
    "website": None,
    "other-api": None,
}
MODELS = ("phi4-mini", "nomic-embed-text", "gpt-oss:120b-cloud")
OWN_PORT = {"ollama": 11434, "vllm": 8000, "lm-studio": 1234, "llama-cpp": 8080}
ANY = "0.0.0.0"  # noqa: S104 - what OLLAMA_HOST often says; nothing is bound here


@pytest.fixture
async def providers() -> AsyncIterator[tuple[CompatibleProvider, ...]]:
    opened = open_all()
    yield opened
    for provider in opened:
        await provider.aclose()


async def look_at(providers: tuple[CompatibleProvider, ...], *faces: str, slots: int = 4) -> Discovery:
    async with AsyncExitStack() as stack:
        shells = [await stack.enter_async_context(serving(simulated(MODELS, slots=slots), face)) for face in faces]
        return await discover(providers, [shell.url for shell in shells])


def test_every_face_has_its_kind() -> None:
    """No face is left out of the tests below."""
    assert KIND_OF.keys() == FACES.keys()


@pytest.mark.parametrize("face", FACES)
async def test_a_server_is_recognised_on_any_port(providers: tuple[CompatibleProvider, ...], face: str) -> None:
    """Each make is recognised on a port that is not its own; what is no model server is reported as foreign."""
    (sighting,) = (await look_at(providers, face)).sightings
    kind = KIND_OF[face]
    assert sighting.state == ("served" if kind else "foreign")
    assert (sighting.identity.provider if sighting.identity else None) == kind


@pytest.mark.parametrize("face", [face for face, kind in KIND_OF.items() if kind not in (None, "openai-compatible")])
async def test_only_its_own_provider_and_the_generic_one_recognise_a_server(
    providers: tuple[CompatibleProvider, ...], face: str
) -> None:
    """No make takes another's server for its own."""
    async with serving(simulated(MODELS), face) as shell:
        found = {provider.kind for provider in providers if await provider.identify(shell.url)}
    assert found - {"openai-compatible"} == {KIND_OF[face]}


async def test_all_at_once_in_any_order(providers: tuple[CompatibleProvider, ...]) -> None:
    """All faces at once, on ports in the opposite order, are each recognised, within a second or so."""
    faces = list(reversed(FACES))
    started = time.monotonic()
    found = await look_at(providers, *faces)
    assert time.monotonic() - started < 5
    kinds = [sighting.identity.provider if sighting.identity else None for sighting in found.sightings]
    assert kinds == [KIND_OF[face] for face in faces]
    assert {sighting.url for sighting in found.foreign}.isdisjoint(sighting.url for sighting in found.served)


ONE_OF_EACH = [kind for kind in KIND_OF if kind == KIND_OF[kind]]


@pytest.mark.parametrize("face", ONE_OF_EACH)
async def test_two_of_one_make(providers: tuple[CompatibleProvider, ...], face: str) -> None:
    """Two servers of the same make, with other models, are two servers."""
    async with serving(simulated(["one"]), face) as first, serving(simulated(["two"]), face) as second:
        found = await discover(providers, [first.url, second.url])
    assert [[model.id for model in sighting.models] for sighting in found.served] == [["one"], ["two"]]


@pytest.mark.parametrize("face", ONE_OF_EACH)
async def test_two_makes_on_swapped_ports(providers: tuple[CompatibleProvider, ...], face: str) -> None:
    """Two servers that change their ports are still what they are: nothing is known by an address."""
    other = ONE_OF_EACH[ONE_OF_EACH.index(face) - 1]
    async with serving(simulated(["one"]), face) as first, serving(simulated(["two"]), other) as second:
        before = await discover(providers, [first.url, second.url])
        ports = first.port, second.port
    async with serving(simulated(["one"]), face, ports[1]), serving(simulated(["two"]), other, ports[0]):
        after = await discover(providers, [first.url, second.url])
    assert kinds_of(before) == [face, other]
    assert kinds_of(after) == [other, face]


def kinds_of(found: Discovery) -> list[str | None]:
    return [sighting.identity.provider if sighting.identity else None for sighting in found.sightings]


@pytest.mark.parametrize(
    ("face", "version", "oldest"),
    [("ollama-old", "0.1.48", "0.5.0"), ("openvino-old", "2024.5", "2025.2"), ("lemonade-old", "8.1.0", "9.1")],
)
async def test_a_version_that_is_too_old_is_told(
    providers: tuple[CompatibleProvider, ...], face: str, version: str, oldest: str
) -> None:
    """It is recognised, with a note; what its version cannot do is not expected of it."""
    (sighting,) = (await look_at(providers, face)).sightings
    assert sighting.identity is not None
    assert sighting.identity.notes[-1] == (
        f"version {version} is too old: nothing is known of versions before {oldest}"
    )
    if face == "ollama-old":
        able = sighting.identity.capabilities
        assert able[Capability.TOOLS] is able[Capability.JSON_SCHEMA] is Support.IGNORED


@pytest.mark.parametrize(
    ("one", "other", "is_older"),
    [
        ("0.4.9", "0.5.0", True),
        ("0.10.0", "0.5.0", False),
        ("v0.5", "0.5.0", True),
        ("2025.3.0", "2025.3", False),
        ("b6000-0000000", "0.5.0", False),
        ("", "0.5.0", False),
        ("0.5.0", "", False),
        ("0.33.0-rc2", "0.33.0", False),
    ],
)
def test_versions_are_compared_by_their_numbers(one: str, other: str, is_older: bool) -> None:
    """Whatever stands before or after them; a server that tells no version is not old."""
    assert older(one, other) is is_older


async def test_a_server_on_the_port_of_another(providers: tuple[CompatibleProvider, ...]) -> None:
    """A vLLM that listens where an Ollama is looked for is a vLLM."""
    url = "http://127.0.0.1:11499"
    environment = {"OLLAMA_HOST": "127.0.0.1:11499"}
    async with serving(simulated(["m"]), "vllm", port=11499):
        found = await discover(providers, default_urls(environment)["ollama"])
    assert [(sighting.url, sighting.identity and sighting.identity.provider) for sighting in found.served] == [
        (url, "vllm")
    ]


EXPECTED: dict[str, list[ServedModel]] = {
    "openai": [
        ServedModel("phi4-mini"),
        ServedModel("nomic-embed-text", kind="embedding"),
        ServedModel("gpt-oss:120b-cloud"),
    ],
    "ollama": [
        ServedModel("phi4-mini", True, 4096),
        ServedModel("nomic-embed-text", False, kind="embedding"),
        ServedModel("gpt-oss:120b-cloud", False, remote=True),
    ],
    "llama-cpp": [ServedModel("phi4-mini", True, 4096, 3, "chat")],
    "llama-cpp-router": [
        ServedModel("phi4-mini", True, 4096, 3, "chat"),
        ServedModel("nomic-embed-text", False, kind="chat"),
        ServedModel("gpt-oss:120b-cloud", False, kind="chat"),
    ],
    "vllm": [ServedModel(name, True, 4096) for name in MODELS],
    "lm-studio": [
        ServedModel("phi4-mini", True, 4096, 3, "chat"),
        ServedModel("nomic-embed-text", False, kind="embedding"),
        ServedModel("gpt-oss:120b-cloud", False, kind="chat"),
    ],
    "lm-studio-v0": [
        ServedModel("phi4-mini", True, 4096, kind="chat"),
        ServedModel("nomic-embed-text", False, kind="embedding"),
        ServedModel("gpt-oss:120b-cloud", False, kind="chat"),
    ],
    "foundry-local": [
        ServedModel("phi4-mini", True, kind="chat"),
        ServedModel("nomic-embed-text", True, kind="embedding"),
        ServedModel("gpt-oss:120b-cloud", True, kind="chat"),
    ],
    "mlx": [ServedModel(name, kind="chat") for name in MODELS],
    "mlx-empty": [],
    "openvino": [
        ServedModel("phi4-mini", True),
        ServedModel("nomic-embed-text", False),
        ServedModel("gpt-oss:120b-cloud", False),
    ],
    "openvino-old": [ServedModel(name, True) for name in MODELS],
    "lemonade": [
        ServedModel("phi4-mini", True, 4096),
        ServedModel("nomic-embed-text", False, 4096, kind="embedding"),
        ServedModel("gpt-oss:120b-cloud", False, 4096),
    ],
    "lemonade-old": [
        ServedModel("phi4-mini", True),
        ServedModel("nomic-embed-text", False),
        ServedModel("gpt-oss:120b-cloud", False),
    ],
    "llama-swap": [
        ServedModel("phi4-mini", True),
        ServedModel("nomic-embed-text", False),
        ServedModel("gpt-oss:120b-cloud", False, remote=True),
    ],
    "localai": [
        ServedModel("phi4-mini", True),
        ServedModel("nomic-embed-text", False),
        ServedModel("gpt-oss:120b-cloud", False),
    ],
    "litellm": [ServedModel(name, remote=True) for name in MODELS],
    "litellm-old": [ServedModel(name, remote=True) for name in MODELS],
    "docker-model-runner": [ServedModel(name) for name in MODELS],
}


@pytest.mark.parametrize("face", EXPECTED)
async def test_what_a_server_tells_of_its_models(providers: tuple[CompatibleProvider, ...], face: str) -> None:
    """Loaded or not, the context and slots where it tells them, embedding or chat, and what leaves the device."""
    (sighting,) = (await look_at(providers, face, slots=3)).sightings
    plain = [replace(model, size=None, quantization="", digest="") for model in sighting.models]
    assert plain == EXPECTED[face]


TELL = {"ollama": "phi4-mini", "llama-cpp-router": "phi4-mini", "lm-studio": "nomic-embed-text"}


@pytest.mark.parametrize("face", TELL)
async def test_what_a_server_tells_of_the_weights(providers: tuple[CompatibleProvider, ...], face: str) -> None:
    """Size and quantization where it tells them, and the digest of Ollama."""
    (sighting,) = (await look_at(providers, face)).sightings
    model = next(model for model in sighting.models if model.id == TELL[face])
    assert (model.size, model.quantization) == (2_500_000_000, "Q4_K_M")
    assert bool(model.digest) is (face == "ollama")


class Counting(HttpShell):
    """Counts what it is asked, and how many clients it has at once."""

    def __init__(self) -> None:
        super().__init__(simulated(MODELS), "mlx")
        self.asked: list[str] = []
        self.most = 0

    def serve(self, connection: Connection, request: HttpRequest) -> None:
        self.asked.append(request.path)
        self.most = max(self.most, len(self._connections))
        super().serve(connection, request)


async def test_a_look_asks_nothing_twice_and_little_at_a_time(providers: tuple[CompatibleProvider, ...]) -> None:
    """However many makes there are: a server with a short line of connections is not flooded by it."""
    shell = Counting()
    await shell.start()
    found = await discover(providers, [shell.url])
    await shell.stop()
    assert kinds_of(found) == ["mlx"]
    to_recognise = {path for make in MAKES for path in make.looks_at}
    assert set(shell.asked) == to_recognise
    assert len(shell.asked) == len(to_recognise) + 1, "the last one lists the models"
    assert shell.most <= 2 * AT_ONCE  # one that is closed may not be gone yet


async def test_nobody_there_is_found_out_at_once(providers: tuple[CompatibleProvider, ...]) -> None:
    """A dozen addresses where nobody listens cost well below a second of work, and are not waited for one by one."""
    places = [f"http://127.0.0.1:{port}" for port in range(2, 14)]
    spent = time.process_time()
    with anyio.fail_after(len(places) * LOOK_TIMEOUT):
        found = await discover(providers, places)
    assert time.process_time() - spent < 1.0
    assert {sighting.state for sighting in found.sightings} == {"absent"}


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01\x02garbage\xff" * 50,
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[1,2]",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 999 ?\r\n\r\n",
        b"",
    ],
    ids=["bytes", "ssh", "array", "deep", "short", "status", "nothing"],
)
async def test_a_server_that_speaks_otherwise_is_foreign(
    providers: tuple[CompatibleProvider, ...], answer: bytes
) -> None:
    """Whatever a listener sends, looking at it ends well and recognises nobody."""
    async with serving_bytes([answer]) as url:
        (sighting,) = (await discover(providers, [url])).sightings
    assert (sighting.state, sighting.identity) == ("foreign", None)


@pytest.mark.parametrize(
    ("answer", "stranger"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", True),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", False),
        (b"", False),
    ],
    ids=["another-program", "another-api", "no-key", "failing", "nothing"],
)
async def test_a_stranger_is_told_from_a_server_that_cannot_answer_now(
    providers: tuple[CompatibleProvider, ...], answer: bytes, stranger: bool
) -> None:
    """Only what answers as another program has taken the place of the server that was there."""
    async with serving_bytes([answer] * 200) as url:
        (sighting,) = (await discover(providers, [url])).sightings
    assert (sighting.state, sighting.stranger) == ("foreign", stranger)


async def test_a_server_that_loads_is_known_but_lists_nothing(providers: tuple[CompatibleProvider, ...]) -> None:
    """A llama-server that loads its model is recognised by its name, with a note."""
    endpoint = simulated(["m"])
    async with serving(endpoint, "llama-cpp") as shell:
        endpoint.loading_until = time.monotonic() + 60
        (sighting,) = (await discover(providers, [shell.url])).sightings
    assert sighting.identity is not None
    assert sighting.identity.provider == "llama-cpp"
    assert "loading its model" in sighting.identity.notes
    assert "Loading model" in sighting.trouble


async def test_a_server_that_wants_a_key(providers: tuple[CompatibleProvider, ...]) -> None:
    """With its key a server is recognised with its models; llama-server also tells its name without."""
    async with serving(simulated(["m"], api_key="sesame"), "llama-cpp") as shell:
        (locked,) = (await discover(providers, [shell.url])).sightings
        (opened,) = (await discover(providers, [shell.url], {shell.url: Secret("sesame")})).sightings
    assert locked.identity is not None
    assert locked.identity.notes == ("wants an API key",)
    assert [model.id for model in opened.models] == ["m"]


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080/v1", "http://localhost:8080"),
        (":8080", "http://127.0.0.1:8080"),
        (ANY, "http://127.0.0.1:11434"),
        (f"{ANY}:9999", "http://127.0.0.1:9999"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("https://models.example", "https://models.example"),
        ("https://models.example/team/v1", "https://models.example/team"),
        ("http://127.0.0.1:12434/engines/v1", "http://127.0.0.1:12434"),
    ],
)
def test_an_address_is_read_however_it_is_written(written: str, root: str) -> None:
    """Host and port, with or without scheme and path, also as an address to listen at."""
    assert root_of(written, 11434) == root


def test_the_environment_says_where_to_look() -> None:
    """OLLAMA_HOST and the like replace the usual address of that make, and of no other."""
    urls = default_urls({"OLLAMA_HOST": ANY, "FOUNDRY_LOCAL_ENDPOINT": "http://localhost:59959/v1", "VLLM_URL": " "})
    assert urls["ollama"] == ("http://127.0.0.1:11434",)
    assert urls["foundry-local"] == ("http://localhost:59959",)
    assert urls["vllm"] == DEFAULT_URLS["vllm"]


@pytest.mark.parametrize("told", [":::", "http://[::1", "host:99999"])
def test_what_is_no_address_is_refused_with_the_name_of_its_variable(told: str) -> None:
    """And not with words about a port that nobody wrote."""
    with pytest.raises(UsageError, match=r"^OLLAMA_HOST is .*, which is no address of a model server$") as caught:
        default_urls({"OLLAMA_HOST": told})
    assert caught.value.cure == "write an address like http://127.0.0.1:11434, or unset it"


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.kind)
def test_every_make_says_what_it_can(make: object) -> None:
    """A row declares every capability, and chats and streams."""
    capabilities = make.capabilities  # type: ignore[attr-defined] # a row of MAKES
    assert capabilities.keys() == set(Capability)
    assert capabilities[Capability.CHAT] is capabilities[Capability.STREAM] is Support.YES


@pytest.mark.parametrize("face", ["openai", "vllm"])
async def test_a_server_that_wants_a_key_is_told_as_such(providers: tuple[CompatibleProvider, ...], face: str) -> None:
    """A wrong key, or none, is no reason to call it unknown; with the right one it is recognised."""
    async with serving(simulated(["m"], api_key="sesame"), face) as shell:
        for keys in ({}, {shell.url: Secret("wrong")}):
            [sighting] = (await discover(providers, [shell.url], keys)).sightings
            told = (sighting.state, sighting.trouble)
            assert told == ("foreign", "it answers 401: its key is wrong or missing")
        [sighting] = (await discover(providers, [shell.url], {shell.url: Secret("sesame")})).served


class Loads:
    """A server that becomes ready between the question who it is and the one for its models."""

    kind = "llama-cpp"

    def __init__(self) -> None:
        self.asked = 0

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity:
        del api_key
        self.asked += 1
        told = ("", (LOADING,)) if self.asked == 1 else ("b1234", ())
        return Identity("llama-cpp", url, told[0], f"{url}/v1", notes=told[1])

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        del identity, api_key
        return (ServedModel("tiny"),)


async def test_one_that_became_ready_while_it_was_asked_is_seen_as_it_is_then() -> None:
    """Else it would be another server at the next look, and be bound anew."""
    provider = Loads()
    async with serving(simulated(["tiny"])) as server:
        found = await discover([cast(Provider, provider)], [server.url])
    (sighting,) = found.served
    assert sighting.identity is not None
    assert (sighting.identity.version, sighting.identity.notes, provider.asked) == ("b1234", (), 2)
