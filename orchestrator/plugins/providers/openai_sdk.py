"""Cloud endpoints through the official ``openai`` library, behind the same port; also what our own client is held to.

The library is imported when the first call is made: it takes half a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import BrokenReply, ModelError
from orchestrator.plugins.providers.reply import ReplyInPieces, reply_from
from orchestrator.plugins.providers.sdk_failures import translated
from orchestrator.ports.provider import (
    Capability,
    ChatCall,
    ChatReply,
    Delta,
    Identity,
    Secret,
    ServedModel,
    Support,
    Target,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

LOOK_TIMEOUT: Final = 5.0
"""Seconds for a list of models from the cloud."""

AZURE_API_VERSION: Final = "2024-10-21"
"""Used for Azure endpoints that do not end in ``/openai/v1`` unless the option ``api_version`` says otherwise."""

_CAPABILITIES: Final = {
    **dict.fromkeys(Capability, Support.YES),
    Capability.GRAMMAR: Support.NO,
    Capability.TOOL_TEXT: Support.NO,
    Capability.CONTEXT_TOLD: Support.NO,
    Capability.SLOTS_TOLD: Support.NO,
    Capability.LOAD: Support.NO,
    Capability.PULL: Support.NO,
    Capability.REMOVE: Support.NO,
}
OpenClient = Callable[[str, str], "AsyncOpenAI"]
"""From a base address and a key to a client of the library."""


class OpenAIProvider:
    """OpenAI or Azure OpenAI behind the ports ``Provider`` and ``Embedder``."""

    def __init__(self, kind: str, open_client: OpenClient) -> None:
        self._kind = kind
        self._open_client = open_client
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}

    @property
    def kind(self) -> str:
        """``openai`` or ``azure-openai``."""
        return self._kind

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """``None`` unless ``url`` lists models for this key."""
        base = url.rstrip("/")
        identity = Identity(self._kind, base, "", base, _CAPABILITIES)
        try:
            await self.models(identity, api_key)
        except ModelError:
            return None
        return identity

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """What the account may use; all of it runs elsewhere."""
        client = self._client(identity.api_base, api_key)
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                names = [model.id async for model in client.models.list()]
        except Exception as error:
            raise translated(error) from error
        return tuple(
            ServedModel(name, True, kind="embedding" if "embed" in name else "unknown", remote=True) for name in names
        )

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        client = self._client(call.target.api_base, call.target.api_key)
        try:
            async with asyncio.timeout(call.timeout):
                completion: Any = await client.chat.completions.create(**_parameters(call, stream=False))
        except Exception as error:
            raise translated(error) from error
        return reply_from(_plain(completion), call)

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces."""
        client = self._client(call.target.api_base, call.target.api_key)
        pieces = ReplyInPieces(call)
        stream: Any = None
        until = asyncio.get_running_loop().time() + call.timeout
        try:
            async with asyncio.timeout_at(until):
                stream = await client.chat.completions.create(**_parameters(call, stream=True))
            while (text := await _next_text(stream, pieces, until)) is not None:
                sign = pieces.sign()
                if text:
                    yield Delta(text)
                elif sign:
                    yield Delta(sign=sign)
        except ModelError:
            raise
        except Exception as error:
            raise translated(error, pieces.text) from error
        finally:
            if stream is not None:
                await stream.close()
        yield pieces.last()

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:
        """One vector a text."""
        client = self._client(target.api_base, target.api_key)
        try:
            async with asyncio.timeout(timeout):
                answer = await client.embeddings.create(model=target.model, input=list(texts), encoding_format="float")
        except Exception as error:
            raise translated(error) from error
        if len(answer.data) != len(texts):
            raise BrokenReply(f"{len(answer.data)} vectors came for {len(texts)} texts")
        return tuple(tuple(row.embedding) for row in sorted(answer.data, key=lambda row: row.index))

    async def aclose(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _client(self, api_base: str, api_key: Secret | None) -> AsyncOpenAI:
        # Without a key of ours the library would take one from the environment, which nobody asked for.
        key = api_key.reveal() if api_key is not None else "none"
        client = self._clients.get((api_base, key))
        if client is None:
            client = self._clients[api_base, key] = self._open_client(api_base, key)
        return client


async def _next_text(stream: Any, pieces: ReplyInPieces, until: float) -> str | None:
    """The text of the next chunk, ``None`` after the last."""
    try:
        async with asyncio.timeout_at(until):
            chunk = await anext(stream)
    except StopAsyncIteration:
        return None
    return pieces.add(_plain(chunk))


def _plain(answer: Any) -> Mapping[str, Any]:
    """The JSON form of what the library parsed; it hands on a text where the server sent no JSON."""
    if not hasattr(answer, "to_dict"):
        raise BrokenReply(f"the answer is no JSON object: {str(answer)[:80]!r}")
    plain: Mapping[str, Any] = answer.to_dict(mode="json", use_api_names=True, exclude_unset=True)
    return plain


def _parameters(call: ChatCall, stream: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": call.target.model,
        "messages": [message.as_json() for message in call.messages],
        "temperature": call.temperature,
        "max_completion_tokens": call.max_tokens,
        "seed": call.seed,
        "stop": list(call.stop) or None,
        "tools": [tool.as_json() for tool in call.tools] or None,
        "tool_choice": _tool_choice(call.tool_choice) if call.tools else None,
        "logprobs": bool(call.top_logprobs) or None,
        "top_logprobs": call.top_logprobs or None,
        "response_format": _response_format(call),
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream else None,
        "extra_body": dict(call.extra) or None,
        "extra_headers": {name: value for name, value in _headers(call) if value} or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _headers(call: ChatCall) -> tuple[tuple[str, str], ...]:
    return ("X-Request-Id", call.request_id), ("Idempotency-Key", call.key)


def _tool_choice(choice: str) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}} if choice else None


def _response_format(call: ChatCall) -> dict[str, Any] | None:
    if call.schema is None:
        return None
    wrapper = {"name": call.schema_name, "strict": True, "schema": dict(call.schema)}
    return {"type": "json_schema", "json_schema": wrapper}


def open_openai(options: Mapping[str, Any] | None = None) -> OpenAIProvider:
    """OpenAI, and anything else that the official library is to be used for. It has no options."""
    _known_options("openai", options, ())
    return OpenAIProvider("openai", _plain_client)


def open_azure_openai(options: Mapping[str, Any] | None = None) -> OpenAIProvider:
    """Azure OpenAI; the model is a deployment's name. Option ``api_version``."""
    _known_options("azure-openai", options, ("api_version",))
    version = str((options or {}).get("api_version", AZURE_API_VERSION))

    def open_client(api_base: str, key: str) -> AsyncOpenAI:
        if api_base.endswith("/openai/v1"):  # Azure's newer address is OpenAI's own protocol
            return _plain_client(api_base, key)
        from openai import AsyncAzureOpenAI

        return AsyncAzureOpenAI(
            azure_endpoint=api_base, api_key=key, api_version=version, max_retries=0, http_client=_http(api_base)
        )

    return OpenAIProvider("azure-openai", open_client)


def _known_options(kind: str, options: Mapping[str, Any] | None, known: tuple[str, ...]) -> None:
    unknown = sorted(set(options or ()) - set(known))
    if unknown:
        raise ValueError(f"the provider {kind} has no option {', '.join(unknown)}")


def _plain_client(api_base: str, key: str) -> AsyncOpenAI:
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=api_base, api_key=key, max_retries=0, http_client=_http(api_base))


def _http(api_base: str) -> Any:
    """The library's own HTTP client; the environment's proxies are for what is not on this machine."""
    from urllib.parse import urlsplit

    from openai import DefaultAsyncHttpxClient

    from orchestrator.plugins.providers.addresses import is_loopback

    return DefaultAsyncHttpxClient(trust_env=not is_loopback(urlsplit(api_base).hostname or ""))
