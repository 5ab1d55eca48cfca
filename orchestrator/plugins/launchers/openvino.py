"""OpenVINO Model Server: ``ovms``, with a prepared folder, or with a model of the Hugging Face hub that it fetches.

Names as its documentation has them (2025 and later); not run here, as no package registry has it. Both of its addresses
are open to the network unless they are told otherwise, so they are always told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from orchestrator.plugins.launchers.flags import Advice, Command, Options, flag, true_false, value
from orchestrator.plugins.launchers.installed import Entry
from orchestrator.plugins.launchers.recipe import MadeLauncher, Recipe, add_where_had
from orchestrator.ports.lifecycle import Binary, LaunchOrder

PROGRAM: Final = "ovms"
_DRAFT: Final = Advice("the template names no real draft model: give one that OpenVINO has")
_SCENARIOS: Final[dict[Any, dict[str, Any]]] = {
    "development": {"enable_prefix_caching": False, "max_num_seqs": 1, "max_num_batched_tokens": 2048},
    "staging": {"enable_prefix_caching": True, "max_num_seqs": 4, "max_num_batched_tokens": 4096},
    "production_low": {"enable_prefix_caching": True, "max_num_seqs": 8, "max_num_batched_tokens": 8192},
    "production_high": {
        "enable_prefix_caching": True,
        "max_num_seqs": 16,
        "max_num_batched_tokens": 16384,
        "speculative_model": _DRAFT,
    },
    "enterprise": {
        "enable_prefix_caching": True,
        "max_num_seqs": 32,
        "max_num_batched_tokens": 32768,
        "speculative_model": _DRAFT,
    },
}
_FLAGS: Final = (
    flag("enable_prefix_caching", ("--enable_prefix_caching", true_false)),
    flag("max_num_seqs", ("--max_num_seqs", value)),
    flag("max_num_batched_tokens", ("--max_num_batched_tokens", value)),
    flag("speculative_model", ("--draft_source_model", value)),
    flag("tool_call_parser", ("--tool_parser", value)),
)
_BY_PLUGIN: Final = "leave it out: the plug-in of the device decides; its settings stand in the model's graph.pbtxt"
_REFUSED: Final = {
    "context_length": "leave it out: it is that of the exported model; set the model's context_length, which requests are held to",
    "max_model_len": "leave it out: it is that of the exported model; set the model's context_length, which requests are held to",
    "gpu_memory_utilization": _BY_PLUGIN,
    "gpu_layers": _BY_PLUGIN,
    "memory_lock": _BY_PLUGIN,
    "numa": _BY_PLUGIN,
    "threads": _BY_PLUGIN,
    "tensor_parallel_size": _BY_PLUGIN,
    "pipeline_parallel_size": _BY_PLUGIN,
    "batch_size": "write max_num_seqs",
    "quantization": "name a quantized build in model, such as OpenVINO/…-int4-ov",
    "enable_chunked_prefill": "leave it out: long prompts are always read in pieces of max_num_batched_tokens",
    "guided_decoding_backend": "leave it out: it has one of its own",
}


def _head(command: Command, binary: Binary, order: LaunchOrder) -> str:
    add_where_had(command, binary, "--grpc_bind_address", order.host)
    command.words += ["--rest_port", str(order.port), "--rest_bind_address", order.host, "--model_name", order.alias]
    if order.is_local:
        command.words += ["--model_path", order.model]
    else:
        task = "embeddings" if order.kind == "embedding" else "text_generation"
        command.folders.append(order.folder)
        command.words += ["--source_model", order.model, "--model_repository_path", order.folder, "--task", task]
    if order.remote_code:
        command.notes.append(f"remote_code: {PROGRAM} runs no code of a model (manifest)")
    return order.alias


RECIPE: Final = Recipe(
    kind="openvino",
    entries=(Entry(PROGRAM),),
    install={"*": "put ovms of https://github.com/openvinotoolkit/model_server/releases on the PATH"},
    options=Options(PROGRAM, _FLAGS, _REFUSED, _SCENARIOS),
    head=_head,
    known_by="--rest_port",
    slots=8,
    main_only=True,  # its target is the CPU where nobody says another one, and no option of ours does
)


def open_openvino(cache: Path | None = None) -> MadeLauncher:
    """OpenVINO Model Server."""
    return MadeLauncher(RECIPE, cache)
