"""A model server that the orchestrator starts: what is said of it in a manifest."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from orchestrator.manifest.spec.fields import Duration, Share, Spec

LAUNCHED: Final = ("llama-cpp", "vllm", "mlx", "openvino", "foundry-local", "ollama")
"""Providers whose servers can be started."""

Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$|^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$", max_length=255)]


class ServerOptions(Spec):
    """A server that the orchestrator starts, watches and stops. Each option is mapped to what the installed version of the
    program has; one that it cannot have is refused with what to write instead."""

    path: Annotated[str | None, Field(min_length=1, max_length=1024, examples=["models/phi-4-mini-q4.gguf"])] = None
    """The model's file (GGUF) or folder. For llama.cpp a folder holds builds of one model, of which the most faithful that fits
    is served, or the one that `quantization` of the model names. Relative paths count from the manifest's folder. Without it:
    `model`, which the server fetches."""
    scenario: Annotated[
        Literal["development", "staging", "production_low", "production_high", "enterprise"] | None,
        Field(examples=["production_low"]),
    ] = None
    """A set of values for a whole kind of use; what is written beside it comes first."""
    host: Annotated[Host, Field(examples=["127.0.0.1"])] = "127.0.0.1"
    """The address that it listens on. `0.0.0.0` lets the whole network call it."""
    port: Annotated[int | None, Field(ge=1, le=65535, examples=[8080])] = None
    """The port that it listens on. Without it: a free one."""
    start_timeout: Annotated[Duration, Field(gt=0)] = 300.0
    """How long it may take until it answers with a first token."""
    max_instances: Annotated[int, Field(ge=1, le=16, examples=[2])] = 1
    """How many processes of it may run at once while its slots are busy and memory allows. With `port` it is always one."""
    remote_code: bool = False
    """Lets code of the model's repository run on this device."""
    gpu_memory_utilization: Annotated[Share | None, Field(examples=[0.8])] = None
    """vLLM: the share of the GPU's memory that it may take."""
    max_model_len: Annotated[int | None, Field(ge=128, le=10_000_000, examples=[4096])] = None
    """vLLM: tokens that a request may take."""
    tensor_parallel_size: Annotated[int | None, Field(ge=1, le=1024, examples=[1])] = None
    """vLLM: GPUs over which each layer is spread."""
    pipeline_parallel_size: Annotated[int | None, Field(ge=1, le=1024, examples=[1])] = None
    """vLLM: groups of GPUs over which the layers are dealt out."""
    quantization: Annotated[str | None, Field(min_length=1, max_length=64, examples=["awq"])] = None
    """vLLM: how the weights are quantized, where the checkpoint does not say it."""
    enable_prefix_caching: bool | None = None
    """vLLM, llama.cpp, OpenVINO: keep what prompts have in common."""
    max_num_seqs: Annotated[int | None, Field(ge=1, le=4096, examples=[4])] = None
    """Requests that are worked on at once. Without it: the model's `max_concurrent`, else what the scenario says, else what is
    usual of the program. Of several numbers that are written, `resources.max_concurrent_agents` too, the least holds: for what the
    program is told, for the memory that is reckoned, and for the requests that it is given at once."""
    max_num_batched_tokens: Annotated[int | None, Field(ge=1, le=10_000_000, examples=[8192])] = None
    """vLLM, MLX, OpenVINO: tokens that one step works on."""
    enable_chunked_prefill: bool | None = None
    """vLLM: read long prompts in pieces between other work."""
    speculative_model: Annotated[str | None, Field(min_length=1, max_length=1024, examples=["models/draft.gguf"])] = (
        None
    )
    """vLLM, llama.cpp, MLX, OpenVINO: a small model of the same family that drafts tokens. A path for llama.cpp; for the
    others where it begins with `.` or `/`, else an id."""
    guided_decoding_backend: Annotated[str | None, Field(min_length=1, max_length=64, examples=["xgrammar"])] = None
    """vLLM: what holds answers to a JSON Schema."""
    tool_call_parser: Annotated[str | None, Field(min_length=1, max_length=64, examples=["hermes"])] = None
    """vLLM, OpenVINO: the format in which the model writes tool calls."""
    context_length: Annotated[int | None, Field(ge=128, le=10_000_000, examples=[4096])] = None
    """llama.cpp, Ollama: tokens that a request may take. Without it: the model's `context_length`, where it is written."""
    batch_size: Annotated[int | None, Field(ge=1, le=1_000_000, examples=[512])] = None
    """llama.cpp: tokens of a prompt that one step works on."""
    threads: Annotated[int | None, Field(ge=1, le=4096, examples=[4])] = None
    """llama.cpp: threads of the CPU."""
    gpu_layers: Annotated[int | Literal["auto", "all"] | None, Field(examples=[32, "all"])] = None
    """llama.cpp: layers of the model that are on the GPU."""
    memory_lock: bool | None = None
    """llama.cpp: never let the system move the model out of memory."""
    numa: Annotated[bool | Literal["distribute", "isolate", "numactl"] | None, Field(examples=[True])] = None
    """llama.cpp: how it spreads over the memory of several sockets; `true` is `distribute`."""

    def given(self) -> dict[str, Any]:
        """The options for the program that were written, by name."""
        told = self.model_dump(mode="json", exclude_none=True)
        return {name: value for name, value in told.items() if name not in _NOT_FOR_THE_PROGRAM}


_NOT_FOR_THE_PROGRAM: Final = frozenset(
    {"path", "scenario", "host", "port", "start_timeout", "max_instances", "remote_code"}
)
GONE: Final = {
    "disable_log_requests": "leave it out: vLLM logs no requests unless it is asked to (its option is --enable-log-requests now)",
    "served_model_name": "leave it out: the server is told the alias of the model, under which it is asked for",
    "swap_space": "leave it out: vLLM has no swap space any more; what it sets aside is worked out again",
}
"""Options of older vLLM that no server of today takes, each with what to do."""
