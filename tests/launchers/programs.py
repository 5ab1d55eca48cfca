"""Programs of several versions, by the options that they say they have, and fakes that print them when they are asked."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from orchestrator.ports.lifecycle import Binary

_LLAMA: Final = (
    *("--model", "--alias", "--host", "--port", "--jinja", "--metrics", "--slots", "--parallel", "--ctx-size"),
    *("--batch-size", "--threads", "--gpu-layers", "--n-gpu-layers", "--numa", "--embeddings"),
)
_VLLM: Final = (
    *("--model", "--served-model-name", "--host", "--port", "--trust-remote-code", "--gpu-memory-utilization"),
    *("--max-model-len", "--tensor-parallel-size", "--pipeline-parallel-size", "--quantization", "--max-num-seqs"),
    *("--max-num-batched-tokens", "--enable-prefix-caching", "--enable-chunked-prefill", "--tool-call-parser"),
)


def _binary(argv: tuple[str, ...], version: str, *options: str) -> Binary:
    return Binary(argv, version, frozenset(options))


PROGRAMS: Final = {
    # As its own --help has them (sdist of llama-cpp-python 0.3.36).
    "llama-cpp": _binary(
        ("llama-server",),
        "0.5.0-dev",
        *_LLAMA,
        *("--no-ui", "--no-webui", "--offline", "--load-mode", "--cache-prompt", "--no-cache-prompt"),
        *("--spec-draft-model", "--model-draft", "--spec-type"),
    ),
    # Names that builds of 2024 had.
    "llama-cpp-old": _binary(("llama-server",), "b3600", *_LLAMA, "--mlock", "--model-draft", "--no-webui"),
    "vllm": _binary(
        ("vllm", "serve"),
        "0.32.0",
        *_VLLM,
        *("--no-enable-prefix-caching", "--no-enable-chunked-prefill", "--speculative-config"),
        *("--structured-outputs-config", "--enable-auto-tool-choice", "--runner"),
    ),
    "vllm-old": _binary(
        ("python", "-m", "vllm.entrypoints.openai.api_server"),
        "0.6.3",
        *_VLLM,
        *("--speculative-model", "--num-speculative-tokens", "--guided-decoding-backend", "--disable-log-requests"),
    ),
    # As server.py of mlx-lm 0.32.2 has them.
    "mlx": _binary(
        ("mlx_lm.server",),
        "0.32.2",
        *("--model", "--host", "--port", "--draft-model", "--trust-remote-code", "--decode-concurrency"),
        *("--prompt-concurrency", "--prefill-step-size", "--prompt-cache-size"),
    ),
    "openvino": _binary(
        ("ovms",),
        "2026.1",
        *(
            "--rest_port",
            "--rest_bind_address",
            "--grpc_bind_address",
            "--model_name",
            "--model_path",
            "--source_model",
            "--task",
        ),
        *("--model_repository_path", "--enable_prefix_caching", "--max_num_seqs", "--max_num_batched_tokens"),
        *("--draft_source_model", "--tool_parser"),
    ),
    "foundry-local": _binary(("python", "foundry_program.py"), "2.2.1", "--port"),
    "ollama": _binary(
        ("ollama", "serve"),
        "0.33.0",
        *("--help", "OLLAMA_HOST", "OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL", "OLLAMA_KEEP_ALIVE"),
    ),
}


def put(folder: Path, name: str, script: str) -> Path:
    """A program of this name in a folder: a shell script."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
