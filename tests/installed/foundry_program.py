"""Runs the real core and web service of Foundry Local 2 on a folder of ONNX: ``python foundry_program.py MODEL WORK PORT``.

Its web service serves only what is in its catalogue, so the model is put where a download would be, with the catalogue's file
beside it. The catalogue's address leads nowhere. Ends with SIGTERM.
"""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

NAME, ALIAS = "tiny-random-cpu", "tiny"
VARIANT = f"{NAME}:1"


def put_model(model: str | Path, cache: Path) -> None:
    """Put a folder of ONNX where a download would be, and the catalogue's file beside it."""
    place = cache / "Test" / f"{NAME}-1"
    shutil.copytree(model, place)
    (place / "inference_model.json").write_text(json.dumps({"Name": VARIANT, "PromptTemplate": None}))
    catalogue = {"version": 1, "savedAtUnix": int(time.time()), "models": [_entry(int(time.time()))]}
    (cache / "foundry.modelinfo.json").write_text(json.dumps(catalogue))


def main(model: str, work: str, port: str) -> None:
    """Serve until it is told to end."""
    cache = Path(work) / "cache"
    put_model(model, cache)
    sdk: Any = importlib.import_module("foundry_local_sdk")
    sdk.FoundryLocalManager.initialize(
        sdk.Configuration(
            app_name="tests",
            app_data_dir=f"{work}/data",
            model_cache_dir=str(cache),
            logs_dir=f"{work}/logs",
            log_level=sdk.LogLevel.WARNING,
            web=sdk.Configuration.WebService(urls=f"http://127.0.0.1:{port}"),
            catalog_urls=[("http://127.0.0.1:9/asset-gallery/v1.0/models", None)],
            disable_nonessential_telemetry=True,
        )
    )
    core = sdk.FoundryLocalManager.instance
    core.catalog.list_models()[0].load()
    core.start_web_service()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    core.stop_web_service()
    core.close()


def _entry(now: int) -> dict[str, Any]:
    """The model as the catalogue has it."""
    asset = f"azureml://registries/azureml/models/{NAME}/versions/1"
    numbers = {"context_length": 4096, "max_output_tokens": 2048, "created_at_unix": now, "filesize_mb": 3}
    texts = {"display_name": NAME, "license": "MIT", "publisher": "Test", "task": "chat-completion", "type": "ONNX"}
    return {
        "id": VARIANT,
        "name": NAME,
        "alias": ALIAS,
        "version": 1,
        "displayName": NAME,
        "uri": asset,
        "modelType": "ONNX",
        "providerType": "FoundryLocal",
        "publisher": "Test",
        "license": "MIT",
        "task": "chat-completion",
        "createdAt": now,
        "fileSizeMb": 3,
        "maxOutputTokens": 2048,
        "supportsToolCalling": True,
        "supportsReasoning": False,
        "parentModelUri": asset,
        "runtime": {"deviceType": "CPU", "executionProvider": "CPUExecutionProvider"},
        "intProperties": {**numbers, "supports_reasoning": 0, "supports_tool_calling": 1},
        "stringProperties": {
            **texts,
            "capabilities": "tool-calling",
            "input_modalities": "text",
            "output_modalities": "text",
            "model_provider": "FoundryLocal",
            "parent_uri": asset,
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
