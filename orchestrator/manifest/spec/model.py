"""Models: what an alias means and where it is served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from orchestrator.manifest.spec.fields import (
    BUILT_IN,
    BY_OWNER,
    BY_SHAPE,
    CALLABLE,
    MAP,
    AliasOr,
    Duration,
    ModelAlias,
    PluginOr,
    SecretReference,
    Size,
    Spec,
)
from orchestrator.manifest.spec.policy import Price
from orchestrator.manifest.spec.server import ServerOptions

BuiltinProvider = Literal[
    "foundry-local",
    "ollama",
    "vllm",
    "llama-cpp",
    "lm-studio",
    "mlx",
    "openvino",
    "onnx",
    "openvino-genai",
    "lemonade",
    "llama-swap",
    "localai",
    "litellm",
    "docker-model-runner",
    "openai-compatible",
    "openai",
    "azure-openai",
    "simulated",
]
ProviderName = Annotated[Annotated[BuiltinProvider, Tag(BUILT_IN)] | PluginOr, BY_OWNER]


class CallOptions(Spec):
    """Defaults for the calls to a model."""

    temperature: Annotated[float | None, Field(ge=0, le=2, examples=[0.2])] = None
    """How random the answer is, 0 to 2."""
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000, examples=[256])] = None
    """The longest answer, in tokens."""
    top_p: Annotated[float | None, Field(gt=0, le=1, examples=[0.9])] = None
    """Nucleus sampling."""
    seed: Annotated[int | None, Field(examples=[7])] = None
    """For repeatable answers, where the server honours it."""
    stop: Annotated[list[str] | None, Field(examples=[["###"]])] = None
    """Texts at which the answer ends."""


class ModelEntry(Spec):
    """A model: an alias of the catalogue, or any model that `provider` and `model` name."""

    alias: Annotated[ModelAlias, Field(examples=["phi-4-mini", "qwen2.5-0.5b"])]
    """The name that agents use. A known alias brings its provider ids, sizes and context from the catalogue."""
    provider: Annotated[ProviderName | None, Field(examples=["ollama", "llama-cpp"])] = None
    """Which make of server serves it; `plugin:NAME` is one of an installed package. Without it: whichever known server on this
    device serves the model."""
    model_provider: ProviderName | None = None
    """Another spelling of `provider`."""
    model: Annotated[str | None, Field(min_length=1, max_length=256, examples=["phi4-mini:latest"])] = None
    """The model's id on that server, where it is not the catalogue's."""
    model_id: Annotated[str | None, Field(min_length=1, max_length=256, examples=["phi4-mini:latest"])] = None
    """Another spelling of `model`."""
    endpoint: Annotated[
        Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=512), CALLABLE] | None,
        Field(examples=["http://127.0.0.1:8080"]),
    ] = None
    """The server's base URL. Without it: the usual places on this device are asked."""
    api_key: Annotated[SecretReference | None, Field(examples=["env:OPENAI_API_KEY"])] = None
    """A reference to the secret, never the secret itself."""
    primary: bool = False
    """Serves every agent whose own model is not named, unless another model's `tasks` claim the work."""
    secondary: bool = False
    """Takes over when the primary is unavailable, and serves its own tasks."""
    tasks: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]], Field(examples=[["conversation", "reasoning"]])
    ] = []
    """What it is meant for. `routing` makes it the model of routers; one for `embeddings` alone is asked for vectors only."""
    complexity: Annotated[list[Literal["simple", "moderate", "complex"]], Field(examples=[["simple"]])] = []
    """The requests that it is meant for, by the complexity that they come with. Of an agent's models and their fallbacks, the
    smallest that claims a request's complexity is asked first."""
    priorities: Annotated[list[Literal["high", "normal", "low"]], Field(examples=[["low"]])] = []
    """The requests that it is meant for, by their priority; chosen as by `complexity`."""
    context_length: Annotated[int | None, Field(ge=128, le=10_000_000, examples=[8192])] = None
    """Tokens that a request may take, prompt and answer together."""
    quantization: Annotated[str | None, Field(max_length=32, examples=["q4_k_m"])] = None
    """Which build of the model, where there are several. Without it: the most faithful one that fits the device."""
    memory: Annotated[Size | None, Field(examples=["2.5GB"])] = None
    """Memory that it takes in all, cache and server included, where the catalogue does not know or is wrong."""
    max_concurrent: Annotated[int | None, Field(ge=1, le=4096, examples=[4])] = None
    """Calls at the same time. Without it: what the server tells, else a careful default of its make."""
    keep_alive: Duration | None = None
    """How long it stays loaded after its last use, if no other model needs its place. A server that we start for it ends then, and
    the next request starts it."""
    pinned: bool = False
    """Loaded as soon as there is room, and never unloaded from here: not when it rests, nor for another model. A server that we
    start for it takes no turns with others."""
    options: CallOptions = CallOptions()
    """Defaults for calls."""
    zone: Literal["node", "lan", "cloud"] | None = None
    """Where the data goes: this device, the local network, or the internet. Derived from the endpoint where omitted, and never
    nearer than it; a model in `cloud` is used only when an agent names it."""
    price: Price | None = None
    """What it costs, where it is in the cloud: budgets count by it."""
    server: ServerOptions | None = None
    """A server that the orchestrator starts for it. Without it: a server that runs already is looked for."""
    fallback: Annotated[list[ModelAlias], Field(examples=[["qwen2.5-0.5b"]])] = []
    """Other aliases to try, in order, when it cannot answer."""


ModelItem = Annotated[Annotated[ModelEntry, Tag(MAP)] | AliasOr, BY_SHAPE]
