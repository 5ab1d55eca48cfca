"""Stands for ONNX Runtime GenAI in the worker process: its "model" says the last user message again, a word a token."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from fake_words import ROUTE, act, words_of  # type: ignore[import-not-found] # it stands beside us, on the worker's path


class Model:
    """A loaded folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder


class Stream:
    """From tokens to text."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def decode(self, token: int) -> str:
        return self.words[token]


class Tokenizer:
    """A token is a word with the space behind it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def apply_chat_template(self, messages: str, add_generation_prompt: bool = True) -> str:
        assert add_generation_prompt
        return str(json.loads(messages)[-1]["content"])

    def encode(self, text: str) -> list[int]:
        Generator.words = words_of(text)
        return list(range(len(Generator.words)))

    def create_stream(self) -> Stream:
        return Stream(Generator.words)


class GeneratorParams:
    """What an answer is limited by."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.options: dict[str, Any] = {}

    def set_search_options(self, **options: Any) -> None:
        self.options = options

    def set_guidance(self, kind: str, data: str) -> None:
        assert kind == "json_schema"
        if "not" in json.loads(data):
            raise RuntimeError('Error creating grammar: Unimplemented keys: ["not"]')
        Generator.words = ROUTE


class Generator:
    """Says its words."""

    words: ClassVar[list[str]] = []

    def __init__(self, model: Model, params: GeneratorParams) -> None:
        self.model = model
        self.params = params
        self.prompt = self.made = 0

    def append_tokens(self, tokens: list[int]) -> None:
        self.prompt = len(tokens)

    def is_done(self) -> bool:
        return self.made >= len(self.words) or self.made + self.prompt >= self.params.options["max_length"]

    def generate_next_token(self) -> None:
        word = self.words[self.made]
        self.made += 1
        act(word)

    def get_next_tokens(self) -> list[int]:
        return [self.made - 1]
