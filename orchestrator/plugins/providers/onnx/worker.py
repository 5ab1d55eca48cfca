"""The process that runs ONNX models: requests are lines of JSON on its standard input, answers lines on its output.

It stands alone, so that a crash of native code ends nothing but itself, and it is run as a file by whichever interpreter has
the library. One request runs at a time; ``{"cancel": id}`` ends it. The model of the last request stays loaded.

In: ``{"id", "folder", "messages", "max_tokens", "temperature", "top_p", "seed", "stop", "schema"}``. Out: ``{"id", "text"}`` for
each piece, then ``{"id", "end": {"finish", "prompt_tokens", "completion_tokens"}}`` or ``{"id", "error": {"kind", "message"}}``.
"""

from __future__ import annotations

import importlib
import json
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


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


class _Model:
    """One loaded model."""

    def __init__(self, folder: str) -> None:
        self.library: Any = importlib.import_module("onnxruntime_genai")  # imported here, in its own process
        self.folder = folder
        settings = json.loads((Path(folder) / "genai_config.json").read_text(encoding="utf-8"))
        self.context = int(settings["model"].get("context_length") or settings["search"]["max_length"])
        self.model = self.library.Model(folder)
        self.tokenizer = self.library.Tokenizer(self.model)

    def answer(self, request: Mapping[str, Any], wanted: Any) -> Iterator[dict[str, Any]]:
        """The pieces of an answer, then its end."""
        prompt = self.tokenizer.apply_chat_template(json.dumps(request["messages"]), add_generation_prompt=True)
        tokens = self.tokenizer.encode(prompt)
        room = self.context - len(tokens)
        if room < 1:
            raise _Refusal("ContextTooLong", f"{len(tokens)} tokens exceed the context of {self.context}")
        limit = min(room, request.get("max_tokens") or room)
        generator = self.library.Generator(self.model, self._parameters(request, len(tokens) + limit))
        generator.append_tokens(tokens)
        stream = self.tokenizer.create_stream()
        text = _Text(request.get("stop") or ())
        made = 0
        while not text.ended and not generator.is_done():
            if not wanted():
                return
            generator.generate_next_token()
            made += 1
            yield from text.add(stream.decode(generator.get_next_tokens()[0]))
        yield from text.rest()
        finish = "length" if made >= limit and not text.ended else "stop"
        yield {"end": {"finish": finish, "prompt_tokens": len(tokens), "completion_tokens": made}}

    def _parameters(self, request: Mapping[str, Any], length: int) -> Any:
        parameters = self.library.GeneratorParams(self.model)
        temperature = request.get("temperature")
        options = {"max_length": length, "do_sample": bool(temperature) or temperature is None}
        for name, given in (("temperature", temperature or None), ("top_p", "top_p"), ("random_seed", "seed")):
            value = request.get(given) if isinstance(given, str) else given
            if value is not None:
                options[name] = value
        parameters.set_search_options(**options)
        if request.get("schema") is not None:
            parameters.set_guidance("json_schema", json.dumps(request["schema"]))
        return parameters


class _Text:
    """An answer as it grows. What may be the beginning of a word that ends it is held back."""

    def __init__(self, stops: Any) -> None:
        self._stops = stops
        self._held = max((len(stop) for stop in stops), default=1) - 1
        self._text = ""
        self._told = 0
        self.ended = False

    def add(self, piece: str) -> Iterator[dict[str, Any]]:
        """What can be told now."""
        self._text += piece
        places = [place for place in (self._text.find(stop) for stop in self._stops) if place >= 0]
        if places:
            self._text, self.ended = self._text[: min(places)], True
        yield from self._tell(len(self._text) - (0 if self.ended else self._held))

    def rest(self) -> Iterator[dict[str, Any]]:
        """What was held back."""
        yield from self._tell(len(self._text))

    def _tell(self, end: int) -> Iterator[dict[str, Any]]:
        if end > self._told:
            yield {"text": self._text[self._told : end]}
            self._told = end


def _loaded(model: _Model | None, folder: str) -> _Model:
    if model is not None and model.folder == folder:
        return model
    if not (Path(folder) / "genai_config.json").is_file():
        raise _Refusal("ModelNotFound", f"{folder} holds no genai_config.json")
    return _Model(folder)


def main() -> None:
    """Answer until the input ends."""
    work = _Work()
    threading.Thread(target=work.read, daemon=True).start()
    model: _Model | None = None
    while (request := work.requests.get()) is not None:
        number = request["id"]
        try:
            model = _loaded(model, request["folder"])
            for part in model.answer(request, lambda: number not in work.cancelled):  # noqa: B023 - used at once
                _say({"id": number, **part})
        except _Refusal as refusal:
            _say({"id": number, "error": {"kind": refusal.kind, "message": str(refusal)}})
        except ImportError as error:
            _say({"id": number, "error": {"kind": "Missing", "message": str(error)}})
        except Exception as error:  # noqa: BLE001 - whatever the library raises is told to the caller
            _say({"id": number, "error": {"kind": "ServerFailed", "message": f"{type(error).__name__}: {error}"}})
        if number in work.cancelled:
            work.cancelled.discard(number)
            _say({"id": number, "end": {"finish": "cancelled", "prompt_tokens": 0, "completion_tokens": 0}})


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
