"""vLLM: ``vllm serve``, or its module where the command is broken.

Names as vLLM 0.32 has them; what earlier versions called otherwise stays as a second form. The scenarios are the seed's
templates, without the three things that no template can know: which draft model, which build, and whether code of the
model's repository may run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from orchestrator.core.memory import BITS
from orchestrator.plugins.launchers.flags import (
    GIVEN,
    Advice,
    Command,
    Options,
    Words,
    flag,
    in_json,
    on_off,
    value,
)
from orchestrator.plugins.launchers.installed import Entry
from orchestrator.plugins.launchers.recipe import MadeLauncher, Recipe
from orchestrator.ports.lifecycle import Binary, LaunchOrder

PROGRAM: Final = "vllm"
DRAFTED: Final = 5
"""Tokens that a draft model proposes at a time, where nobody says."""
_AWQ: Final = Advice(
    "awq is not forced on the model: vLLM reads how a checkpoint is quantized from the checkpoint; name an AWQ build in model"
)
_METHODS: Final = frozenset(("awq", "gptq", "fp8", "mxfp4"))
"""Of the builds that are known, those that are also methods of vLLM's ``--quantization``."""
_DRAFT: Final = Advice("the template names no real draft model: give one of the same family")
_SCENARIOS: Final[dict[Any, dict[str, Any]]] = {
    "development": {
        "gpu_memory_utilization": 0.6,
        "max_model_len": 2048,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "enable_prefix_caching": False,
        "max_num_seqs": 32,
        "max_num_batched_tokens": 2048,
    },
    "staging": {
        "gpu_memory_utilization": 0.8,
        "max_model_len": 4096,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "quantization": _AWQ,
        "enable_prefix_caching": True,
        "max_num_seqs": 64,
        "max_num_batched_tokens": 4096,
    },
    "production_low": {
        "gpu_memory_utilization": 0.85,
        "max_model_len": 4096,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "quantization": _AWQ,
        "enable_prefix_caching": True,
        "max_num_seqs": 128,
        "max_num_batched_tokens": 8192,
        "enable_chunked_prefill": True,
    },
    "production_high": {
        "gpu_memory_utilization": 0.9,
        "max_model_len": 8192,
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 1,
        "quantization": _AWQ,
        "enable_prefix_caching": True,
        "max_num_seqs": 256,
        "max_num_batched_tokens": 16384,
        "enable_chunked_prefill": True,
        "speculative_model": _DRAFT,
    },
    "enterprise": {
        "gpu_memory_utilization": 0.95,
        "max_model_len": 16384,
        "tensor_parallel_size": 4,
        "pipeline_parallel_size": 2,
        "quantization": _AWQ,
        "enable_prefix_caching": True,
        "max_num_seqs": 512,
        "max_num_batched_tokens": 32768,
        "enable_chunked_prefill": True,
        "speculative_model": _DRAFT,
        "guided_decoding_backend": "outlines",
    },
}


def _drafted(name: str, model: Any) -> Words:
    """As versions before 0.7 had it."""
    return (name, str(model), "--num-speculative-tokens", str(DRAFTED))


def _parsed(name: str, parser: Any) -> Words:
    return ("--enable-auto-tool-choice", name, str(parser))


_FLAGS: Final = (
    flag("gpu_memory_utilization", ("--gpu-memory-utilization", value)),
    flag("max_model_len", ("--max-model-len", value)),
    flag("tensor_parallel_size", ("--tensor-parallel-size", value)),
    flag("pipeline_parallel_size", ("--pipeline-parallel-size", value)),
    flag("quantization", ("--quantization", value)),
    flag("enable_prefix_caching", ("--enable-prefix-caching", on_off)),
    flag("max_num_seqs", ("--max-num-seqs", value)),
    flag("max_num_batched_tokens", ("--max-num-batched-tokens", value)),
    flag("enable_chunked_prefill", ("--enable-chunked-prefill", on_off)),
    flag(
        "speculative_model",
        ("--speculative-config", in_json(model=GIVEN, num_speculative_tokens=DRAFTED)),
        ("--speculative-model", _drafted),
    ),
    flag(
        "guided_decoding_backend",
        ("--structured-outputs-config", in_json(backend=GIVEN)),
        ("--guided-decoding-backend", value),
    ),
    flag("tool_call_parser", ("--tool-call-parser", _parsed)),
)
_REFUSED: Final = {
    "context_length": "write max_model_len",
    "batch_size": "write max_num_batched_tokens (tokens a step) or max_num_seqs (requests a step)",
    "threads": "leave it out: on a CPU it takes every core that it is bound to",
    "gpu_layers": "leave it out: it holds the whole model; gpu_memory_utilization says how much memory it may take",
    "memory_lock": "leave it out: the weights are in the memory of the GPU",
    "numa": "leave it out: it binds its workers to nodes by itself",
}


def _no_method(quantization: Any) -> str:
    """What to do where it is the name of a build that vLLM has no method for; of methods, versions have different ones."""
    build = str(quantization).casefold()
    if build not in BITS or build in _METHODS:
        return ""
    return (
        "leave it out, as vLLM reads how a checkpoint is quantized from the checkpoint, and name that build in model; "
        f"its methods are {', '.join(sorted(_METHODS))} and others, and a GGUF file of {quantization} is served by llama-cpp"
    )


def _head(command: Command, binary: Binary, order: LaunchOrder) -> str:
    module = "-m" in binary.argv
    command.words += ["--model", order.model] if module else [order.model]
    command.words += ["--served-model-name", order.alias, "--host", order.host, "--port", str(order.port)]
    if order.kind == "embedding":
        command.words += ["--runner", "pooling"]
    command.environment |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if order.is_local:
        command.environment["HF_HUB_OFFLINE"] = "1"
    if order.remote_code:
        command.words.append("--trust-remote-code")
        command.notes.append("remote_code: --trust-remote-code, code of the model's repository runs here (manifest)")
    elif order.scenario:
        command.notes.append("--trust-remote-code of the template: left out; remote_code: true allows it")
    if "--disable-log-requests" in binary.options:
        command.words.append("--disable-log-requests")
    elif order.scenario:
        command.notes.append("--disable-log-requests of the template: gone, requests are not logged unless asked for")
    if "tool_call_parser" not in order.options:
        command.notes.append("agents with tools need tool_call_parser (hermes, llama3_json, phi4_mini_json, …)")
    return order.alias


RECIPE: Final = Recipe(
    kind="vllm",
    entries=(
        Entry(PROGRAM, ("serve",), ("--help=all",)),
        Entry(PROGRAM, ("serve",)),
        Entry("python", ("-m", "vllm.entrypoints.openai.api_server"), ("--help=all",), beside=PROGRAM),
        Entry("python", ("-m", "vllm.entrypoints.openai.api_server"), beside=PROGRAM),
    ),
    install={"linux": "pip install vllm", "*": "vLLM runs on Linux: pip install vllm there, or use llama-cpp here"},
    options=Options(PROGRAM, _FLAGS, _REFUSED, _SCENARIOS, lacking={"quantization": _no_method}),
    head=_head,
    share=0.9,  # its own default of --gpu-memory-utilization
    slots=32,  # its own default is hundreds; it queues without a word, so that we hold back ourselves
    whole=True,  # without --max-model-len it takes all that the model was trained for
    patience=60.0,  # it imports all of PyTorch before it prints its help
)


def open_vllm(cache: Path | None = None) -> MadeLauncher:
    """vLLM."""
    return MadeLauncher(RECIPE, cache)
