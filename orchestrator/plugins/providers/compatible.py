"""One provider for every make of OpenAI-compatible server; the factories at the end are what a table of kinds names."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

from orchestrator.core.errors import BrokenReply, ModelError, ModelNotFound
from orchestrator.core.surrogates import whole_value
from orchestrator.plugins.providers.addresses import root_of
from orchestrator.plugins.providers.at_work import CountersTold, SlotsTold
from orchestrator.plugins.providers.body import BodyMaker, grammar_fields
from orchestrator.plugins.providers.counting import LlamaCount, VllmCount
from orchestrator.plugins.providers.decisions import Decisions
from orchestrator.plugins.providers.lifecycle.lemonade import LemonadeLifecycle
from orchestrator.plugins.providers.lifecycle.llama_router import LlamaLifecycle
from orchestrator.plugins.providers.lifecycle.lm_studio import StudioLifecycle
from orchestrator.plugins.providers.lifecycle.ollama import Forwards, OllamaLifecycle
from orchestrator.plugins.providers.line.answer import Answer, Errand, OpenAnswer
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.line.place import address
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
from orchestrator.plugins.providers.makes.make import Look, Looks, Make
from orchestrator.plugins.providers.passing_on import ListTells, ShowTells
from orchestrator.plugins.providers.reply import MOST_READ, ReplyInPieces, not_json, read_json, whole_reply
from orchestrator.plugins.providers.sse import EventStream, LineTooLong
from orchestrator.ports.probe import Heard
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel, Sign, Target

LOOK_TIMEOUT: Final = 0.8
"""Seconds that a server has to say who it is."""
AT_ONCE: Final = 4
"""Connections that one look takes at once: Python's plain HTTP server, which MLX uses, lets five wait to be accepted."""


_FIELDS: Final = (b":", b"data", b"event", b"id", b"retry")
"""How the lines of an event stream begin."""
_COUNTS: Final = re.compile(rb": *keepalive \d")


class CompatibleProvider:
    """A make of server behind the ports ``Provider`` and ``Embedder``. Its connections open on first use.

    ``line`` carries its requests: one of its own, where none is given.
    """

    def __init__(self, make: Make, line: HttpLine | None = None) -> None:
        self.make = make
        self._line = line or HttpLine()
        self._decisions = Decisions(self._line)
        self._bodies = BodyMaker(make.dialect)
        self._listed: set[tuple[str, str]] = set()
        """Addresses and models that may be asked for, where a make serves only what it lists."""
        self._listing = asyncio.Lock()

    @property
    def kind(self) -> str:
        """The make's name in the table of providers."""
        return self.make.kind

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """Who answers at ``url`` (with or without ``/v1``): ``None`` if nobody does, or another make."""
        root = root_of(url)
        try:
            looks = await self.look(root, api_key, self.make.looks_at)
        except ModelError:
            return None  # nobody there, or nobody who speaks HTTP: not this make either way
        return self.judge(root, looks)

    def judge(self, root: str, looks: Looks) -> Identity | None:
        """Who answered so; pure."""
        identity = self.make.recognise(root, looks)
        return self.make.of_version(identity) if identity else None

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """What it serves now. Raises a ``ModelError`` where no list can be had, such as ``ServerBusy`` or ``Refused``."""

        async def look(paths: tuple[str, ...]) -> Looks:
            return await self.look(identity.url, api_key, paths)

        return await self.make.served(look)

    async def look(self, root: str, api_key: Secret | None, paths: tuple[str, ...]) -> Looks:
        """What a server says to ``GET`` of each path. Raises a ``ModelError`` where none of them is answered."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(path: str) -> Look | ModelError:
            try:
                # A kept connection would hold one of the few threads that llama-server has for connections.
                async with turns:
                    answer = await self._line.get(Errand(address(root, path), LOOK_TIMEOUT, api_key, once=True))
            except ModelError as error:
                return error
            return _look_of(answer)

        found = dict(zip(paths, await asyncio.gather(*map(one, paths)), strict=True))
        looks = Looks({path: look for path, look in found.items() if isinstance(look, Look)})
        errors = [look for look in found.values() if isinstance(look, ModelError)]
        if not looks and errors:
            raise errors[0]
        return looks

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        await self._need_listed(call.target)
        if call.choice is not None and self.make.chooses:
            decided = await self._decisions.ask(call)
            if decided is not None:
                return decided
        answer = await self._line.post(_errand(call), self._bodies.chat(call, stream=False))
        if answer.status != 200:
            raise answer.failure()
        return whole_reply(answer.body, call)

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces, one for each time that bytes arrive; the last carries the whole reply."""
        await self._need_listed(call.target)
        errand = _errand(call, once=not self.make.keeps_streams)
        answer = await self._line.open("POST", errand, self._bodies.chat(call, stream=True))
        try:
            if answer.status != 200:
                raise (await answer.whole()).failure()
            if not answer.is_stream:  # a server that ignores "stream" answers whole
                reply = whole_reply((await answer.whole()).body, call)
                yield Delta(reply.message.content, reply)
                return
            async with aclosing(_deltas(answer, call)) as deltas:
                async for delta in deltas:
                    if delta.reply is not None and not errand.once:
                        await answer.drain()
                    yield delta
        finally:
            answer.close()

    async def _need_listed(self, target: Target) -> None:
        """Raise ``ModelNotFound`` for a model that the server does not have and would fetch from the internet."""
        place = (target.api_base, target.model)
        if not self.make.only_listed or place in self._listed:
            return
        async with self._listing:
            if place not in self._listed:
                await self._list(target)
        if place not in self._listed:
            raise ModelNotFound(
                f"{self.make.summary} does not list {target.model}, and would fetch it from the internet",
                cure="download the model first, or start the server with it",
            )

    async def _list(self, target: Target) -> None:
        identity = Identity(self.kind, root_of(target.api_base), api_base=target.api_base)
        self._listed |= {(target.api_base, model.id) for model in await self.models(identity, target.api_key)}

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:
        """One vector a text, by ``POST embeddings``."""
        errand = Errand(address(target.api_base, "embeddings"), timeout, target.api_key, target.zone)
        body = json.dumps({"model": target.model, "input": list(texts)}, ensure_ascii=False)
        answer = await self._line.post(errand, body.encode())
        if answer.status != 200:
            raise answer.failure()
        return _vectors(answer.body, len(texts))

    async def hear(self, call: ChatCall, stream: bool) -> Heard:
        """What comes of a call, unread: for probes, which judge servers and not answers."""
        return await self._heard(_errand(call, once=stream), self._bodies.chat(call, stream))

    async def hear_embedding(self, target: Target, text: str, timeout: float) -> Heard:
        """The same for one embedding."""
        errand = Errand(address(target.api_base, "embeddings"), timeout, target.api_key, target.zone)
        return await self._heard(errand, json.dumps({"model": target.model, "input": [text]}).encode())

    async def _heard(self, errand: Errand, body: bytes) -> Heard:
        try:
            answer = await self._line.post(errand, body)
        except ModelError as error:
            return Heard(0, error.message)
        return Heard(answer.status, answer.body.decode("utf-8", "replace"))

    def grammar(self, rules: str) -> dict[str, Any]:
        """The fields that ask this make for a grammar."""
        return grammar_fields(self.make.dialect, rules)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._line.aclose()


def _errand(call: ChatCall, once: bool = False) -> Errand:
    target = call.target
    place = address(target.api_base, "chat/completions")
    return Errand(place, call.timeout, target.api_key, target.zone, call.request_id, once, call.key)


async def _deltas(answer: OpenAnswer, call: ChatCall) -> AsyncGenerator[Delta, None]:
    pieces = ReplyInPieces(call)
    events = EventStream()
    head, any_event = b"", False  # what comes before the first event is nothing, or this is no stream of events
    while not pieces.done:
        arrived = await _arrived(answer, pieces)
        told = events.comment
        try:
            payloads = events.feed(arrived) if arrived else events.end()
            text = pieces.take(payloads)
        except LineTooLong as error:
            raise BrokenReply(f"the stream holds {error}", partial=pieces.text) from error
        sign = pieces.sign() or _reading(told, events.comment)
        if text:
            yield Delta(text)
        elif sign:
            yield Delta(sign=sign)
        if not arrived:
            break
        any_event = any_event or bool(payloads)
        head += b"" if any_event else arrived[: MOST_READ - len(head)]
    if head and not any_event and not head.lstrip().startswith(_FIELDS):
        raise not_json(head, "no stream of events")
    yield pieces.last()


def _reading(before: bytes, comment: bytes) -> Sign:
    """MLX counts in comments how far it has read the prompt. A comment that only repeats itself keeps the connection open, and
    says nothing about the model."""
    return "reading" if comment is not before and comment != before and _COUNTS.match(comment) else ""


async def _arrived(answer: OpenAnswer, pieces: ReplyInPieces) -> bytes:
    """The next bytes, empty at the end. Errors carry the text so far."""
    try:
        return await answer.read()
    except ModelError as error:
        if pieces.finished:
            return b""  # the model had said that it is done; only the count of tokens may be lost
        error.partial = pieces.text
        raise


def _look_of(answer: Answer) -> Look:
    text = answer.body.decode("utf-8", "replace")
    try:
        value: Any = whole_value(json.loads(text))
    except (ValueError, RecursionError):
        value = None
    return Look(answer.status, answer.headers, text, value)


def _vectors(body: bytes, wanted: int) -> tuple[tuple[float, ...], ...]:
    value = read_json(body)
    try:
        rows = sorted(value["data"], key=lambda row: row["index"])
        vectors = tuple(tuple(float(number) for number in row["embedding"]) for row in rows)
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenReply(f"the answer holds no vectors: {body[:80]!r}") from error
    if len(vectors) != wanted:
        raise BrokenReply(f"{len(vectors)} vectors came for {wanted} texts")
    return vectors


class OllamaProvider(ShowTells, OllamaLifecycle, CompatibleProvider):
    """Ollama: loads, pulls and removes too. Each model is asked whether it is only passed on to another machine."""

    def __init__(self, make: Make, line: HttpLine | None = None) -> None:
        super().__init__(make, line)
        self._forwards = Forwards(self._line)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """See :meth:`CompatibleProvider.models`."""
        return await self._forwards.told(identity, api_key, await super().models(identity, api_key))


class SwapProvider(ListTells, CompatibleProvider):
    """llama-swap: lists which models its peers have."""


class LlamaProvider(SlotsTold, LlamaCount, LlamaLifecycle, CompatibleProvider):
    """llama.cpp: counts tokens and tells what its slots do; as a router it loads, pulls and removes too."""


class VllmProvider(CountersTold, VllmCount, CompatibleProvider):
    """vLLM: counts tokens, and tells how many it has read and written."""


class StudioProvider(StudioLifecycle, CompatibleProvider):
    """LM Studio: loads and pulls too."""


class LemonadeProvider(LemonadeLifecycle, CompatibleProvider):
    """Lemonade: loads, pulls and removes too."""


_CLASSES: Final[Mapping[str, type[CompatibleProvider]]] = {
    "ollama": OllamaProvider,
    "llama-swap": SwapProvider,
    "llama-cpp": LlamaProvider,
    "vllm": VllmProvider,
    "lm-studio": StudioProvider,
    "lemonade": LemonadeProvider,
}
"""Makes whose servers do more than answer. The class is what decides which ports of ``ports/lifecycle.py`` a provider fits."""


def provider_of(make: Make, line: HttpLine | None = None) -> CompatibleProvider:
    """A provider of a make, with what its servers can do beside answering."""
    if make.kind == foundry_local.MAKE.kind:
        from orchestrator.plugins.providers.foundry import FoundryProvider  # which is made from what stands above

        return FoundryProvider(make, line)
    return _CLASSES.get(make.kind, CompatibleProvider)(make, line)


Options = Mapping[str, Any]


def open_ollama(options: Options | None = None) -> CompatibleProvider:
    """Ollama. Like every factory here it takes the options of its kind; these kinds have none."""
    return _opened(ollama.MAKE, options)


def open_llama_cpp(options: Options | None = None) -> CompatibleProvider:
    """llama.cpp's llama-server."""
    return _opened(llama_cpp.MAKE, options)


def open_vllm(options: Options | None = None) -> CompatibleProvider:
    """vLLM."""
    return _opened(vllm.MAKE, options)


def open_lm_studio(options: Options | None = None) -> CompatibleProvider:
    """LM Studio."""
    return _opened(lm_studio.MAKE, options)


def open_foundry_local(options: Options | None = None) -> CompatibleProvider:
    """Foundry Local, both generations."""
    return _opened(foundry_local.MAKE, options)


def open_mlx(options: Options | None = None) -> CompatibleProvider:
    """MLX's mlx_lm.server."""
    return _opened(mlx.MAKE, options)


def open_openvino(options: Options | None = None) -> CompatibleProvider:
    """OpenVINO Model Server."""
    return _opened(openvino.MAKE, options)


def open_lemonade(options: Options | None = None) -> CompatibleProvider:
    """Lemonade."""
    return _opened(lemonade.MAKE, options)


def open_llama_swap(options: Options | None = None) -> CompatibleProvider:
    """llama-swap."""
    return _opened(GATEWAYS["llama-swap"], options)


def open_localai(options: Options | None = None) -> CompatibleProvider:
    """LocalAI."""
    return _opened(GATEWAYS["localai"], options)


def open_litellm(options: Options | None = None) -> CompatibleProvider:
    """LiteLLM's proxy."""
    return _opened(GATEWAYS["litellm"], options)


def open_docker_model_runner(options: Options | None = None) -> CompatibleProvider:
    """Docker Model Runner."""
    return _opened(GATEWAYS["docker-model-runner"], options)


def open_openai_compatible(options: Options | None = None) -> CompatibleProvider:
    """Any other server of the OpenAI protocol."""
    return _opened(generic.MAKE, options)


def _opened(make: Make, options: Options | None) -> CompatibleProvider:
    if options:
        raise ValueError(f"the provider {make.kind} has no options, but was given {', '.join(sorted(options))}")
    return provider_of(make)
