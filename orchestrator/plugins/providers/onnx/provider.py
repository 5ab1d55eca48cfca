"""The provider ``onnx``: folders of models that ONNX Runtime GenAI runs in a process of ours. Its "address" is
``onnx://localhost/FOLDER``; each folder below it with a ``genai_config.json`` is a model."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, ServerFailed, Unreachable
from orchestrator.core.message import Message, Usage
from orchestrator.plugins.providers.onnx.place import VARIABLE, folder_of
from orchestrator.plugins.providers.onnx.process import EXTRA, Worker
from orchestrator.ports.provider import (
    Capability,
    ChatCall,
    ChatReply,
    Delta,
    Identity,
    Secret,
    ServedModel,
    Support,
)

KIND: Final = "onnx"
CONFIGURATION: Final = "genai_config.json"
CAPABILITIES: Final[Mapping[Capability, Support]] = {
    **dict.fromkeys(Capability, Support.UNKNOWN),
    **dict.fromkeys((Capability.CHAT, Capability.STREAM, Capability.STREAM_USAGE, Capability.JSON_SCHEMA), Support.YES),
    **dict.fromkeys((Capability.CONTEXT_TOLD, Capability.OVERFLOW_REFUSED, Capability.SLOTS_TOLD), Support.YES),
    **dict.fromkeys((Capability.TOOLS, Capability.EMBEDDINGS), Support.NO),
    **dict.fromkeys((Capability.GRAMMAR, Capability.LOGPROBS), Support.IGNORED),
}


class OnnxProvider:
    """Models in folders, behind the port ``Provider``. Nothing is started before the first call."""

    def __init__(self, worker: Worker | None = None) -> None:
        self._own = worker is None
        self._worker = worker or Worker()

    @property
    def kind(self) -> str:
        """Its name in the table of providers."""
        return KIND

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:  # noqa: ARG002 - the port's shape
        """``None`` unless ``url`` is a folder with models."""
        folder = folder_of(url)
        if folder is None or not any(_models_in(folder)):
            return None
        notes = () if not self._own or importlib.util.find_spec("onnxruntime_genai") else (f"needs {EXTRA}",)
        return Identity(KIND, url, "", url, CAPABILITIES, notes)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:  # noqa: ARG002
        """Each folder that holds one. One call runs at a time, whichever model it is for."""
        folder = folder_of(identity.url)
        if identity.notes:
            raise ServerFailed("the package onnxruntime-genai is not installed", cure=EXTRA)
        return tuple(_served(each) for each in _models_in(folder)) if folder else ()

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        async with aclosing(self.stream(call)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                if delta.reply is not None:
                    return delta.reply
        raise BrokenReply("the ONNX process ended its answer without an end")

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces, one a token."""
        said: list[str] = []
        try:
            async with aclosing(self._worker.ask(_request(call), call.timeout)) as parts:  # type: ignore[type-var]
                async for part in parts:
                    if "end" in part:
                        yield Delta("", _reply(call, "".join(said), part["end"]))
                        return
                    said.append(part["text"])
                    yield Delta(part["text"])
        except ModelError as error:
            error.partial = "".join(said)
            raise

    async def aclose(self) -> None:
        """End the process."""
        await self._worker.aclose()


def open_onnx(options: Mapping[str, Any] | None = None) -> OnnxProvider:
    """The factory in the table of kinds; it has no options."""
    if options:
        raise ValueError(f"the provider {KIND} has no options, but was given {', '.join(sorted(options))}")
    return OnnxProvider()


def _models_in(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob(f"*/{CONFIGURATION}"))


def _served(folder: Path) -> ServedModel:
    try:
        settings = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
        context = settings["model"].get("context_length")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        context = None  # the call will say what is wrong with it
    return ServedModel(folder.name, None, context if isinstance(context, int) else None, 1, "chat")


def _request(call: ChatCall) -> dict[str, Any]:
    if call.tools:
        raise BadRequest("ONNX Runtime GenAI calls no functions", cure="serve the model by Foundry Local or Lemonade")
    folder = folder_of(call.target.api_base)
    if folder is None or not folder.is_dir():
        raise Unreachable(
            f"{call.target.api_base} is no folder of models", cure=f"set {VARIABLE} to a folder of models"
        )
    return {
        "folder": str(folder / call.target.model),
        "messages": [message.as_json() for message in call.messages],
        "max_tokens": call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.extra.get("top_p"),
        "seed": call.seed,
        "stop": list(call.stop),
        "schema": call.schema,
    }


def _reply(call: ChatCall, text: str, end: Mapping[str, Any]) -> ChatReply:
    usage = Usage(int(end["prompt_tokens"]), int(end["completion_tokens"]), 1)
    return ChatReply(Message("assistant", text), str(end["finish"]), usage, call.target.model)
