"""The process that runs models: requests are lines of JSON on its standard input, answers lines on its output.

It stands alone, so that a crash of native code ends nothing but itself, and it is run as a file by whichever interpreter has
the library, which its one argument names. One request runs at a time; ``{"cancel": id}`` ends it. The model of the last request
stays loaded.

In: ``{"id", "model", "context", "messages", "max_tokens", "temperature", "top_p", "seed", "stop", "schema"}``, or without
``messages`` to load the model and say nothing. Out: ``{"id",
"text"}`` for each piece, then ``{"id", "end": {"finish", "prompt_tokens", "completion_tokens"}}`` or ``{"id", "error": {"kind",
"message"}}``.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

_LONGEST = 4096
"""Tokens of an answer where neither the caller nor the model's files set a limit: some models never end by themselves."""


_LOADED = {"finish": "loaded", "prompt_tokens": 0, "completion_tokens": 0}


class _Refusal(Exception):
    """What cannot be done, with the class of the error that the caller raises for it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Work:
    """Requests that wait, and those that nobody wants any more."""

    def __init__(self) -> None:
        self.requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.cancelled: set[int] = set()

    def read(self) -> None:
        """Take lines until the caller is gone."""
        for line in sys.stdin:
            message = json.loads(line)
            if "cancel" in message:
                self.cancelled.add(message["cancel"])
            else:
                self.requests.put(message)
        self.requests.put(None)


class _Text:
    """An answer as it grows, told by ``tell``. What may be the beginning of a word that ends it is held back; ``wanted`` says
    whether anybody waits for it."""

    def __init__(self, stops: Any, tell: Callable[[str], None], wanted: Callable[[], bool]) -> None:
        self._stops = stops
        self._held = max((len(stop) for stop in stops), default=1) - 1
        self._tell = tell
        self._wanted = wanted
        self._text = ""
        self._told = 0
        self._ended = False

    @property
    def over(self) -> bool:
        """Whether nothing more is to be written."""
        return self._ended or not self._wanted()

    def add(self, piece: str) -> None:
        """One more piece, of which what can be told is told now."""
        self._text += piece
        places = [place for place in (self._text.find(stop) for stop in self._stops) if place >= 0]
        if places:
            self._text, self._ended = self._text[: min(places)], True
        self._tell_to(len(self._text) - (0 if self._ended else self._held))

    def end(self, prompt: int, made: int, *, cut: bool) -> dict[str, Any]:
        """What was held back is told; gives the end of the answer. ``cut``: it was longer than it may be."""
        self._tell_to(len(self._text))
        finish = "length" if cut and not self._ended else "stop"
        return {"finish": finish, "prompt_tokens": prompt, "completion_tokens": made}

    def _tell_to(self, end: int) -> None:
        if end > self._told:
            self._tell(self._text[self._told : end])
            self._told = end


def _room(request: Mapping[str, Any], prompt: int) -> int | None:
    """How many tokens an answer may have; ``None`` where nothing is known of the context."""
    context = request["context"]
    if context is None:
        return None
    if prompt >= context:
        raise _Refusal("ContextTooLong", f"{prompt} tokens exceed the context of {context}")
    return int(context) - prompt


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit), default=None)


class _Onnx:
    """A loaded model of ONNX Runtime GenAI."""

    def __init__(self, library: Any, path: str) -> None:
        self._library = library
        self._model = library.Model(path)
        self._tokenizer = library.Tokenizer(self._model)

    def answer(self, request: Mapping[str, Any], text: _Text) -> dict[str, Any]:
        prompt = self._tokenizer.apply_chat_template(json.dumps(request["messages"]), add_generation_prompt=True)
        tokens = self._tokenizer.encode(prompt)
        limit = _least(_room(request, len(tokens)), request.get("max_tokens"))
        generator = self._library.Generator(self._model, self._parameters(request, len(tokens), limit))
        generator.append_tokens(tokens)
        stream = self._tokenizer.create_stream()
        made = 0
        while not text.over and not generator.is_done():
            generator.generate_next_token()
            made += 1
            text.add(stream.decode(generator.get_next_tokens()[0]))
        return text.end(len(tokens), made, cut=limit is not None and made >= limit)

    def _parameters(self, request: Mapping[str, Any], prompt: int, limit: int | None) -> Any:
        parameters = self._library.GeneratorParams(self._model)
        temperature = request.get("temperature")
        options = {"do_sample": bool(temperature) or temperature is None}
        given = {"temperature": temperature or None, "top_p": request.get("top_p"), "random_seed": request.get("seed")}
        given["max_length"] = prompt + limit if limit is not None else None
        options |= {name: value for name, value in given.items() if value is not None}
        parameters.set_search_options(**options)
        if request.get("schema") is not None:
            parameters.set_guidance("json_schema", json.dumps(request["schema"]))
        return parameters


class _OpenVino:
    """A loaded model of OpenVINO GenAI, on the device that ``OPENVINO_DEVICE`` names: CPU, GPU, NPU or AUTO."""

    def __init__(self, library: Any, path: str) -> None:
        self._library = library
        self._pipeline = library.LLMPipeline(path, os.environ.get("OPENVINO_DEVICE") or "CPU")
        self._tokenizer = self._pipeline.get_tokenizer()

    def answer(self, request: Mapping[str, Any], text: _Text) -> dict[str, Any]:
        prompt = self._tokenizer.apply_chat_template(request["messages"], add_generation_prompt=True)
        tokens = self._tokenizer.encode(prompt, add_special_tokens=False).input_ids.shape[1]
        limit = _least(_room(request, tokens), request.get("max_tokens"))
        status = self._library.StreamingStatus

        def take(piece: str) -> Any:
            text.add(piece)
            return status.CANCEL if text.over else status.RUNNING

        result = self._pipeline.generate([prompt], self._configuration(request, limit), take)
        made = result.perf_metrics.get_num_generated_tokens()
        cut = result.finish_reasons[0] == self._library.GenerationFinishReason.LENGTH
        return text.end(tokens, made, cut=cut)

    def _configuration(self, request: Mapping[str, Any], limit: int | None) -> Any:
        made = self._library.GenerationConfig()
        made.apply_chat_template = False
        temperature = request.get("temperature")
        made.do_sample = bool(temperature) or temperature is None
        given = {"temperature": temperature or None, "top_p": request.get("top_p"), "rng_seed": request.get("seed")}
        given["max_new_tokens"] = limit or _LONGEST
        for name, value in given.items():
            if value is not None:
                setattr(made, name, value)
        if request.get("schema") is not None:
            schema = self._library.StructuredOutputConfig(json_schema=json.dumps(request["schema"]))
            made.structured_output_config = schema
        return made


def _library(module: str) -> Any:
    """Import it. OpenVINO would tell its makers each time that it is used, by a process of its own: it does without where the
    package for that is not there."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # how Python is told that there is none
    return importlib.import_module(module)


_MODELS: dict[str, Any] = {"onnxruntime_genai": _Onnx, "openvino_genai": _OpenVino}


def main(module: str) -> None:
    """Answer until the input ends."""
    work = _Work()
    threading.Thread(target=work.read, daemon=True).start()
    path, model = "", None
    while (request := work.requests.get()) is not None:
        number = request["id"]
        try:
            if model is None or path != request["model"]:
                model = None  # the room of one before the next is loaded
                path, model = request["model"], _MODELS[module](_library(module), request["model"])
            text = _Text(request.get("stop") or (), _teller(number), lambda: number not in work.cancelled)  # noqa: B023 - used at once
            end = model.answer(request, text) if "messages" in request else _LOADED
            if number not in work.cancelled:
                _say({"id": number, "end": end})
        except _Refusal as refusal:
            _say({"id": number, "error": {"kind": refusal.kind, "message": str(refusal)}})
        except ImportError as error:
            _say({"id": number, "error": {"kind": "Missing", "message": str(error)}})
        except Exception as error:  # noqa: BLE001 - whatever the library raises is told to the caller
            _say({"id": number, "error": {"kind": "ServerFailed", "message": f"{type(error).__name__}: {error}"}})
        if number in work.cancelled:
            work.cancelled.discard(number)
            _say({"id": number, "end": {"finish": "cancelled", "prompt_tokens": 0, "completion_tokens": 0}})


def _teller(number: int) -> Callable[[str], None]:
    return lambda text: _say({"id": number, "text": text})


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
