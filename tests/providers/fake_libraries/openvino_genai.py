"""Stands for OpenVINO GenAI in the worker process: its "model" says the last user message again, a word a token."""

from __future__ import annotations

import enum
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fake_words import ROUTE, act, words_of  # type: ignore[import-not-found] # it stands beside us, on the worker's path

with suppress(ImportError):  # as the real one does: without it, nothing is told
    importlib.import_module("openvino_telemetry")


class StreamingStatus(enum.Enum):
    """Whether to go on."""

    RUNNING = 0
    STOP = 1
    CANCEL = 2


class GenerationFinishReason(enum.Enum):
    """Why it ended."""

    NONE = 0
    STOP = 1
    LENGTH = 2


class StructuredOutputConfig:
    """A schema for the answer."""

    def __init__(self, json_schema: str) -> None:
        if "not" in json.loads(json_schema):  # it holds to that one; the words are those for a look-ahead
            raise RuntimeError(
                "xgrammar-src/cpp/regex_converter.cc:75: Regex parsing error at position 4: Lookahead is not supported yet."
            )


class GenerationConfig:
    """What an answer is limited by."""

    apply_chat_template = True
    do_sample = False
    max_new_tokens = 2**64 - 1
    structured_output_config: StructuredOutputConfig | None = None


@dataclass
class _Ids:
    shape: tuple[int, int]


@dataclass
class _Encoded:
    input_ids: _Ids


class _Tokenizer:
    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str:
        assert add_generation_prompt
        return str(messages[-1]["content"])

    def encode(self, prompt: str, add_special_tokens: bool) -> _Encoded:
        assert not add_special_tokens
        return _Encoded(_Ids((1, len(words_of(prompt)))))


@dataclass
class _Metrics:
    made: int

    def get_num_generated_tokens(self) -> int:
        return self.made


@dataclass
class _Results:
    perf_metrics: _Metrics
    finish_reasons: list[GenerationFinishReason]


class LLMPipeline:
    """A loaded model on a device."""

    def __init__(self, path: str, device: str) -> None:
        assert device == "CPU"
        self.path = path

    def get_tokenizer(self) -> _Tokenizer:
        return _Tokenizer()

    def generate(
        self, prompts: list[str], config: GenerationConfig, streamer: Callable[[str], StreamingStatus]
    ) -> _Results:
        assert not config.apply_chat_template
        (prompt,) = prompts
        words = ROUTE if config.structured_output_config else words_of(prompt)
        made = 0
        for word in words[: config.max_new_tokens]:
            made += 1
            act(word)
            if streamer(word) is not StreamingStatus.RUNNING:
                return _Results(_Metrics(made), [GenerationFinishReason.NONE])
        ended = GenerationFinishReason.STOP if made == len(words) else GenerationFinishReason.LENGTH
        return _Results(_Metrics(made), [ended])
