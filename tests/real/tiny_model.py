"""Make a tiny chat model with random weights, for real model servers: 2 MB, in a second, with no download.

The architecture is qwen3 with 2 layers and half a million parameters. Purely random weights would hardly ever close a
string or stop, so every reply would run into its token limit. Here hidden channel 0 is a constant that no layer writes
to, which makes column 0 of the output matrix a bias per token: replies end after about 20 tokens, and with a higher
`tool_bias` the model really emits tool calls. What it says is noise; what a server makes of it is real.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from pydoc_data import topics

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Array = NDArray[np.float32]

VOCABULARY = 1024
HIDDEN = 128
LAYERS = 2
HEADS = 4
KEY_VALUE_HEADS = 2
HEAD_SIZE = 32
FEED_FORWARD = 256
CONTEXT = 4096

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (PAD, START, END)
TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
# Yes and no are one token each, so that a classifying endpoint can compare them.
USER_DEFINED = (TOOL_CALL, TOOL_CALL_END, "Yes", "No", "yes", "no")
UNUSED = "<|unused_{}|>"
NEVER = -6.0  # a bias that keeps a token out of nearly every reply

CHAT_TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text()


@dataclass(frozen=True)
class TinyModel:
    """What tells two tiny models apart. `stop_bias` ends replies, `tool_bias` starts tool calls (from 2 on, often)."""

    seed: int = 0
    stop_bias: float = 1.3
    tool_bias: float = NEVER


CHATTY = TinyModel()
CALLS_TOOLS = TinyModel(stop_bias=2.0, tool_bias=2.2)


def make(model: TinyModel, folder: Path) -> Path:
    """Return the model's GGUF file in `folder`; write it unless this very recipe has written it before."""
    recipe = hashlib.sha256(Path(__file__).read_bytes() + CHAT_TEMPLATE.encode())
    recipe.update(repr((astuple(model), sys.version_info[:2])).encode())  # the training text comes with Python
    target = folder / f"tiny-{recipe.hexdigest()[:16]}.gguf"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}.part")
        tokenizer = train_tokenizer()
        write_gguf(unfinished, tokenizer, dict(weights(model, tokenizer.get_vocab())))
        unfinished.replace(target)
    return target


def train_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer of exactly `VOCABULARY` tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CONTROL) - len(USER_DEFINED),
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_training_text(), trainer)
    tokenizer.add_special_tokens(list(CONTROL))
    tokenizer.add_tokens(list(USER_DEFINED))
    # A user-defined token may have been trained already, so fill up to the exact size.
    tokenizer.add_special_tokens([UNUSED.format(i) for i in range(VOCABULARY - tokenizer.get_vocab_size())])
    return tokenizer


def _training_text() -> Iterator[str]:
    yield from list(topics.topics.values())[:60]
    yield inspect.getsource(json.decoder)
    yield from ['{"expert": "math", "confidence": 0.9, "route": ["a", "b"]}\n'] * 50


def weights(model: TinyModel, vocabulary: dict[str, int]) -> Iterator[tuple[str, Array]]:
    """Every tensor of the model, by its GGUF name."""
    draw = np.random.default_rng(model.seed)
    embedding = draw.standard_normal((VOCABULARY, HIDDEN)).astype(np.float32)
    embedding[:, 0] = 6.0  # the constant channel
    output = _matrix(draw, VOCABULARY, HIDDEN) * np.float32(2.0)
    output[vocabulary[END]] *= 0.3  # an end that hardly depends on the text makes the reply's length a dice throw
    output[:, 0] = _token_biases(model, vocabulary)
    yield "token_embd.weight", embedding
    yield "output_norm.weight", np.ones(HIDDEN, np.float32)
    yield "output.weight", output
    for layer in range(LAYERS):
        for name, tensor in _layer(draw):
            yield f"blk.{layer}.{name}.weight", tensor


def _token_biases(model: TinyModel, vocabulary: dict[str, int]) -> Array:
    biases = np.zeros(VOCABULARY, np.float32)
    for token, place in vocabulary.items():
        if token in {'"', '",', '"}', '"]'}:
            biases[place] = model.stop_bias * 0.5
        elif token in {PAD, START, TOOL_CALL_END} or token.startswith(UNUSED.partition("{")[0]):
            biases[place] = NEVER
    biases[vocabulary[END]] = model.stop_bias
    biases[vocabulary[TOOL_CALL]] = model.tool_bias
    return biases


def _layer(draw: np.random.Generator) -> Iterator[tuple[str, Array]]:
    attention = HEADS * HEAD_SIZE
    key_value = KEY_VALUE_HEADS * HEAD_SIZE
    yield "attn_norm", np.ones(HIDDEN, np.float32)
    yield "ffn_norm", np.ones(HIDDEN, np.float32)
    yield "attn_q_norm", np.ones(HEAD_SIZE, np.float32)
    yield "attn_k_norm", np.ones(HEAD_SIZE, np.float32)
    yield "attn_q", _matrix(draw, attention, HIDDEN)
    yield "attn_k", _matrix(draw, key_value, HIDDEN)
    yield "attn_v", _matrix(draw, key_value, HIDDEN)
    yield "attn_output", _leaves_channel_0(_matrix(draw, HIDDEN, attention))
    yield "ffn_gate", _matrix(draw, FEED_FORWARD, HIDDEN)
    yield "ffn_up", _matrix(draw, FEED_FORWARD, HIDDEN)
    yield "ffn_down", _leaves_channel_0(_matrix(draw, HIDDEN, FEED_FORWARD))


def _matrix(draw: np.random.Generator, rows: int, columns: int) -> Array:
    matrix: Array = (draw.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)
    return matrix


def _leaves_channel_0(matrix: Array) -> Array:
    matrix[0] = 0.0
    return matrix


def write_gguf(path: Path, tokenizer: Tokenizer, tensors: dict[str, Array]) -> None:
    """Write a GGUF file that llama.cpp loads."""
    writer = GGUFWriter(path, "qwen3")
    _describe_model(writer)
    _describe_tokenizer(writer, tokenizer)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe_model(writer: GGUFWriter) -> None:
    writer.add_name("tiny-random")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_vocab_size(VOCABULARY)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_key_length(HEAD_SIZE)
    writer.add_value_length(HEAD_SIZE)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)


def _describe_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([_token_type(token) for token in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokens.index(PAD))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(PAD))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _token_type(token: str) -> TokenType:
    if token in CONTROL or token.startswith(UNUSED.partition("{")[0]):
        return TokenType.CONTROL
    return TokenType.USER_DEFINED if token in USER_DEFINED else TokenType.NORMAL
