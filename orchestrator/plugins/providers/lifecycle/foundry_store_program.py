"""What Foundry Local's SDK knows of a cache, and does with it: ``python foundry_store_program.py ACT CACHE DATA SERVICE [MODEL]``.

It stands alone, and is run as a file by whichever Python has ``foundry-local-sdk``, so that a crash of native code ends nothing
but itself. ACT is ``list``, ``pull`` or ``remove``. It prints lines of JSON, the last of which has ``models``, ``done`` or
``error``. A pull is cancelled by closing the standard input. SERVICE is the address of the service that keeps the cache: with
it only the cache is read, and the network is not asked; empty, the catalogue is asked for anew. ``FOUNDRY_LOCAL_CATALOG`` names
another catalogue.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any


class _Unknown(Exception):
    """The catalogue has no such model."""


def main(act: str, cache: str, data: str, service: str, model: str = "") -> None:
    """Do it, tell it, and end at once: the core would take a second more to end in order."""
    try:
        core = _opened(cache, data, service)
        acts = {"list": _list, "pull": _pull, "remove": _remove}
        acts[act](core.catalog, model)
    except _Unknown as unknown:
        _say({"error": {"kind": "Unknown", "message": str(unknown)}})
    except ImportError as error:
        _say({"error": {"kind": "Missing", "message": str(error)}})
    except Exception as error:  # noqa: BLE001 - whatever the library raises is told to the caller
        _say({"error": {"kind": "Failed", "message": f"{type(error).__name__}: {error}"}})
    os._exit(0)


def _opened(cache: str, data: str, service: str) -> Any:
    """The core, which a process has once."""
    sdk: Any = importlib.import_module("foundry_local_sdk")
    catalogue = os.environ.get("FOUNDRY_LOCAL_CATALOG")
    sdk.FoundryLocalManager.initialize(
        sdk.Configuration(
            app_name="orchestrator",
            app_data_dir=data,
            model_cache_dir=cache,
            logs_dir=os.path.join(data, "logs"),  # noqa: PTH118 - a text for the core
            web=sdk.Configuration.WebService(external_url=service) if service else None,
            catalog_urls=[(catalogue, None)] if catalogue else None,
            disable_nonessential_telemetry=True,
        )
    )
    return sdk.FoundryLocalManager.instance


def _variants(catalogue: Any) -> Iterator[Any]:
    for model in catalogue.list_models():
        yield from model.variants


def _list(catalogue: Any, _model: str) -> None:
    _say({"models": [_told(variant) for variant in _variants(catalogue)]})


def _told(variant: Any) -> dict[str, Any]:
    info = variant.info
    return {
        "id": variant.id,
        "alias": variant.alias,
        "cached": variant.is_cached,
        "context": variant.context_length,
        "megabytes": info.file_size_mb,
        "task": info.task or "",
    }


def _found(catalogue: Any, name: str) -> Any:
    """By the id of a variant, by its name without a version, or by the alias: that which is there, else the one that the core
    chooses."""
    variants = list(_variants(catalogue))
    for variant in variants:
        if name in (variant.id, variant.id.partition(":")[0]):
            return variant
    for variant in variants:
        if name == variant.alias and variant.is_cached:
            return variant
    chosen = catalogue.get_model(name)
    if chosen is None:
        known = ", ".join(sorted({variant.alias for variant in variants})) or "none: is the network there?"
        raise _Unknown(f"the catalogue has no model {name}; it has {known}")
    return chosen


def _pull(catalogue: Any, name: str) -> None:
    model, cancelled = _found(catalogue, name), threading.Event()
    _say({"model": _told(model)})

    def wait() -> None:
        sys.stdin.read()
        cancelled.set()

    threading.Thread(target=wait, daemon=True).start()
    model.download(lambda percent: _say({"percent": percent}), cancelled)
    _say({"done": model.id})


def _remove(catalogue: Any, name: str) -> None:
    model = _found(catalogue, name)
    if not model.is_cached:
        raise _Unknown(f"{model.id} is not in the cache")
    model.remove_from_cache()
    _say({"done": model.id})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
