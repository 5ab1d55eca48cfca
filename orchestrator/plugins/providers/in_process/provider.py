"""Folders of models that a library runs in a process of ours: the providers ``onnx`` and ``openvino-genai``."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from time import perf_counter
from typing import Any

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, ModelNotFound, ServerFailed, Unreachable
from orchestrator.core.extras import EXTRAS, install_line
from orchestrator.core.message import Message, Usage
from orchestrator.plugins.providers.in_process.library import ONNX, OPENVINO, Library, size_of
from orchestrator.plugins.providers.in_process.place import folder_of
from orchestrator.plugins.providers.in_process.process import Worker
from orchestrator.plugins.providers.lifecycle.asking import refuse
from orchestrator.ports.lifecycle import Loaded, LoadOptions
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel, Target


class InProcessProvider:
    """Models of one library, behind the port ``Provider``. Nothing is started before the first call."""

    def __init__(self, library: Library, worker: Worker | None = None) -> None:
        self._library = library
        self._own = worker is None
        self._worker = worker or Worker(library)

    @property
    def kind(self) -> str:
        """Its name in the table of providers."""
        return self._library.kind

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:  # noqa: ARG002 - the port's shape
        """``None`` unless ``url`` is a folder with models."""
        folder = folder_of(url, self._library)
        if folder is None or not self._library.found(folder):
            return None
        there = not self._own or importlib.util.find_spec(self._library.module)
        notes = () if there else (f"needs {install_line(self._library.extra)}",)
        return Identity(self.kind, url, "", url, self._library.capabilities, notes)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:  # noqa: ARG002 - the port's shape
        """Each that the folder holds. One call runs at a time, whichever model it is for."""
        folder, library = folder_of(identity.url, self._library), self._library
        if identity.notes:
            package = EXTRAS[library.extra].package
            raise ServerFailed(f"the package {package} is not installed", cure=install_line(library.extra))
        found = library.found(folder) if folder else {}
        return tuple(self._served(name, path) for name, path in found.items())

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        async with aclosing(self.stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            async for delta in deltas:
                if delta.reply is not None:
                    return delta.reply
        raise BrokenReply(f"the process of {self._library.title} ended its answer without an end")

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces, as they come."""
        said: list[str] = []
        try:
            async with aclosing(self._worker.ask(self._request(call), call.timeout)) as parts:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                async for part in parts:
                    if "end" in part:
                        yield Delta("", _reply(call, "".join(said), part["end"]))
                        return
                    said.append(part["text"])
                    yield Delta(part["text"])
        except ModelError as error:
            error.partial = "".join(said)
            raise

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """Start the process with this model, in the place of the one that it has. Raises ``BadRequest`` for a context, which the
        model's own files set, and for a time of rest: it unloads nothing by itself."""
        refuse(options, "context", "write it into the model's own files")
        refuse(options, "keep_alive", "leave keep_alive out")
        model = self._model(target)
        context = self._library.context(model)
        if self._worker.holds == str(model):
            return Loaded(0.0, context=context)
        began = perf_counter()
        async with aclosing(self._worker.ask({"model": str(model), "context": context}, timeout)) as parts:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            async for _ in parts:
                pass
        return Loaded(perf_counter() - began, context=context)

    async def unload(self, target: Target, timeout: float) -> None:
        """End the process that has it in memory."""
        await self._worker.free(str(self._model(target)), timeout)

    async def aclose(self) -> None:
        """End the process."""
        await self._worker.aclose()

    def _request(self, call: ChatCall) -> dict[str, Any]:
        library = self._library
        if call.tools:
            raise BadRequest(f"{library.title} calls no functions", cure=library.instead)
        model = self._model(call.target)
        return {
            "model": str(model),
            "context": library.context(model),
            "messages": [message.as_json() for message in call.messages],
            "max_tokens": call.max_tokens,
            "temperature": call.temperature,
            "top_p": call.extra.get("top_p"),
            "seed": call.seed,
            "stop": list(call.stop),
            "schema": call.schema,
        }

    def _served(self, name: str, path: Path) -> ServedModel:
        holds = self._worker.holds
        loaded = None if holds is None else holds == str(path)
        return ServedModel(name, loaded, self._library.context(path), 1, "chat", size=size_of(path))

    def _model(self, target: Target) -> Path:
        library, place = self._library, target.api_base
        folder = folder_of(place, library)
        if folder is None or not folder.is_dir():
            cure = f"set {library.variable} to a folder of models"
            raise Unreachable(f"{place} is no folder of models", cure=cure)
        found = library.found(folder)
        if target.model not in found:
            raise ModelNotFound(f"{folder / target.model} holds no {library.marker}")
        return found[target.model]


def open_onnx(options: Mapping[str, Any] | None = None) -> InProcessProvider:
    """The factory of ``onnx`` in the table of kinds; it has no options."""
    return _open(ONNX, options)


def open_openvino_genai(options: Mapping[str, Any] | None = None) -> InProcessProvider:
    """The factory of ``openvino-genai`` in the table of kinds; it has no options."""
    return _open(OPENVINO, options)


def _open(library: Library, options: Mapping[str, Any] | None) -> InProcessProvider:
    if options:
        raise ValueError(f"the provider {library.kind} has no options, but was given {', '.join(sorted(options))}")
    return InProcessProvider(library)


def _reply(call: ChatCall, text: str, end: Mapping[str, Any]) -> ChatReply:
    usage = Usage(int(end["prompt_tokens"]), int(end["completion_tokens"]), 1)
    return ChatReply(Message("assistant", text), str(end["finish"]), usage, call.target.model)
