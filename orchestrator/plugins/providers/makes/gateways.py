"""Gateways: servers of the OpenAI protocol that pass requests on to others. One line each; what stands behind one is not told,
so little is declared and the rest is found out by a probe. Signs read from their sources and documents, August 2026."""

from __future__ import annotations

from typing import Final

from orchestrator.plugins.providers.makes.alias import Alias, Running, Sign, make_of
from orchestrator.plugins.providers.makes.make import Make

LINES: Final[tuple[Alias, ...]] = (
    Alias(
        kind="llama-swap",
        summary="llama-swap",
        default_urls=("http://127.0.0.1:8080",),
        signs=(Sign("/running", lists=("running",)), Sign("/v1/models", owner="llama-swap")),
        running=Running("/running", "running", "model", "state", "ready"),
        peer=("meta", "llamaswap", "peerID"),
        url_variable="LLAMA_SWAP_URL",
        wants="llama-swap --config config.yaml",
    ),
    Alias(
        kind="localai",
        summary="LocalAI",
        default_urls=("http://127.0.0.1:8080",),
        signs=(Sign("/system", lists=("backends", "loaded_models")),),
        version=(("/version", "version"),),
        running=Running("/system", "loaded_models", "id"),
        url_variable="LOCALAI_URL",
        wants="local-ai run MODEL",
    ),
    Alias(
        kind="litellm",
        summary="LiteLLM's proxy",
        default_urls=("http://127.0.0.1:4000",),
        signs=(
            Sign("/health/readiness", keys=("status", "litellm_version")),  # before it told strangers less
            Sign("/public/model_hub/info", keys=("litellm_version",)),
            Sign("/health/liveliness", says="I'm alive!"),
        ),
        version=(("/public/model_hub/info", "litellm_version"), ("/health/readiness", "litellm_version")),
        forwards=True,
        url_variable="LITELLM_URL",
        wants="litellm --config config.yaml; in the manifest the model's zone: cloud, and its api_key",
    ),
    Alias(
        kind="docker-model-runner",
        summary="Docker Model Runner",
        default_urls=("http://127.0.0.1:12434",),
        signs=(Sign("/engines/v1/models", owner="docker"),),
        base="/engines/v1",
        version=(("/version", "version"),),
        can={"stream_usage": "yes", "tools": "yes"},
        url_variable="MODEL_RUNNER_URL",
        wants="docker model pull MODEL, and its TCP port switched on",
    ),
)

GATEWAYS: Final[dict[str, Make]] = {line.kind: make_of(line) for line in LINES}
"""Kind -> make."""
